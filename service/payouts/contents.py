"""What is in a payout: Stripe lists it once the payout is reconciled, for automatic payouts alone.

It is listed once, page by page. Each page is stored when it is read, so that a listing that breaks off goes on where it
was. It begins when all movements older than the payout have been swept: one that is not known here by then is older
than this installation, and is left out.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from functools import partial
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncEngine

from service.effects import in_order
from service.foundation import log
from service.foundation.events import Event
from service.foundation.postgres.sql import Record, Statement, connect
from service.stripe_gateway.objects import MOMENT_MAX, BalanceTransaction, IncompleteListing

PAGE = 100  # what one call brings
PAGES_MAX = 20  # of one turn
_MOVEMENTS = "balance_transactions"  # the kind of their sweep


class Lists(Protocol):
    """Who lists what is in a payout."""

    def list_payout_transactions(
        self, payout_id: str, created_gte: int, created_lt: int
    ) -> AsyncIterator[BalanceTransaction]:
        """Those created in [gte, lt) Unix seconds, newest first. Raises IncompleteListing."""
        ...


async def list_contents(engine: AsyncEngine, gateway: Lists) -> None:
    """Note what is in each payout that Stripe can list now, and has not been listed.

    One whose listing is not complete is said, and tried again in another turn; it holds up no other.
    """
    turn = _Turn(engine, gateway)
    after = ""
    while turn.left > 0 and (payout := await _next(engine, after)) is not None:
        after = payout.id
        try:
            await turn.read(payout)
        except IncompleteListing as error:
            log.event(Event.PAYOUT_CONTENTS_INCOMPLETE, payout=payout.id, reason=str(error))


class _Unlisted(Record):
    id: str
    oldest: datetime | None


# What is in a payout is no younger than its own movement.
_NEXT = Statement("""
SELECT p.id, (SELECT min(b.stripe_created) FROM balance_transactions b WHERE b.payout_id = p.id) AS oldest
  FROM payouts p LEFT JOIN balance_transactions own ON own.id = p.balance_transaction_id
  JOIN sweeps s ON s.kind = :movements AND s.swept_until >= coalesce(own.stripe_created, p.stripe_created)
 WHERE p.listed_at IS NULL AND p.automatic AND p.reconciliation_status = 'completed' AND p.id > :after
 ORDER BY p.id LIMIT 1
""").returning(_Unlisted)


async def _next(engine: AsyncEngine, after: str) -> _Unlisted | None:
    async with connect(engine) as connection:
        return await connection.row(_NEXT, {"after": after, "movements": _MOVEMENTS})


class _Turn:
    """One turn of listing; `left` is how many pages of it are left."""

    def __init__(self, engine: AsyncEngine, gateway: Lists) -> None:
        self._engine = engine
        self._gateway = gateway
        self.left = PAGES_MAX

    async def read(self, payout: _Unlisted) -> None:
        """Read the payout's listing on, to its end or to that of the turn. Raises IncompleteListing."""
        # A listing goes back in time, so what is stored ends in the second that was read last.
        until = MOMENT_MAX if payout.oldest is None else int(payout.oldest.timestamp()) + 1
        page: list[BalanceTransaction] = []
        async for movement in in_order(partial(self._gateway.list_payout_transactions, payout.id), 0, until):
            page.append(movement)
            if len(page) == PAGE:
                brought = await self._store(payout, page)
                page = []
                if brought and self.left <= 0:  # a page that brings nothing is no place to go on from
                    return
        await self._store(payout, page)
        async with connect(self._engine) as connection:
            await connection.run(_LISTED, {"payout": payout.id})

    async def _store(self, payout: _Unlisted, page: Sequence[BalanceTransaction]) -> int:
        """How many of the page are known here and new. A payout's own movements, which Stripe lists, are not in it."""
        self.left -= 1
        ids = [movement.id for movement in page if movement.source != payout.id]
        async with connect(self._engine) as connection:
            return len(await connection.rows(_STORE, {"payout": payout.id, "ids": ids}))


class _Stored(Record):
    id: str


_STORE = Statement("""
UPDATE balance_transactions SET payout_id = :payout
 WHERE id IN (SELECT id FROM balance_transactions
               WHERE id = ANY(CAST(:ids AS text[])) AND payout_id IS DISTINCT FROM :payout
               ORDER BY id FOR NO KEY UPDATE)
RETURNING id
""").returning(_Stored)

_LISTED = Statement("UPDATE payouts SET listed_at = now(), updated_at = now() WHERE id = :payout AND listed_at IS NULL")
