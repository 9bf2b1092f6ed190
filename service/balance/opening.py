"""What was in Stripe's balance before this installation: booked once, at a quiet moment after the first sweep.

It is Stripe's balance less all movements that are stored, whether they are booked or not: so it does not hide what the
books lack. Two readings that are a sweep apart must say the same, unless nothing was there. From then on it is never
determined again, and a currency that comes later begins from nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger
from service.balance.booking import book_shown
from service.balance.gateway import BalanceGateway
from service.balance.quiet import OVERLAP_S, Still, hold_still
from service.foundation import log
from service.foundation.events import Event
from service.foundation.postgres.sql import NO_TIMEOUT, Connection, Record, Statement, begin, connect
from service.stripe_gateway.objects import BalanceTransaction, IncompleteListing

PAGE = 100  # movements of one transaction


class _Swept(Record):
    is_open: bool
    swept_until: datetime | None


_SWEPT = Statement("""
SELECT balance_opened_at IS NOT NULL AS is_open,
       (SELECT swept_until FROM sweeps WHERE kind = 'balance_transactions') AS swept_until
  FROM instance WHERE id = 1
""").returning(_Swept)


@dataclass(slots=True)
class Opening:
    """The readings of one process; a new process reads twice again."""

    _is_done: bool = False
    _read: Mapping[str, int] | None = None

    async def once(self, engine: AsyncEngine, gateway: BalanceGateway) -> None:
        """Read what was there, and book it where the reading before said the same. Raises IncompleteListing.

        The balance is swept to the present.
        """
        if self._is_done:
            return
        async with connect(engine) as connection:
            swept = await connection.one(_SWEPT)
        self._is_done = swept.is_open
        if swept.is_open or swept.swept_until is None:
            return
        had = await _had(engine, gateway, int(swept.swept_until.timestamp()) - OVERLAP_S)
        if had in (self._read, {}):
            await _book(engine, had)
        self._read = had


async def _had(engine: AsyncEngine, gateway: BalanceGateway, since: int) -> Mapping[str, int]:
    """What the balance is beyond all movements, per currency; only what is not zero."""
    still = await hold_still(gateway, since)
    if still is None:
        raise IncompleteListing(
            "Stripe's balance moved during each reading, so what was in it before this installation is not known yet"
        )
    if flaw := next((bt.flaw for bt in still.newest if bt.flaw), None):
        raise IncompleteListing(f"a movement cannot be read, so what was in the balance before is not known: {flaw}")
    for start in range(0, len(still.newest), PAGE):
        await book_shown(engine, still.newest[start : start + PAGE])
    moved = await _moved(engine, still)
    had = {currency: still.total.get(currency, 0) - moved.get(currency, 0) for currency in {*still.total, *moved}}
    return {currency: minor for currency, minor in sorted(had.items()) if minor}


class _Moved(Record):
    currency: str
    minor: int


# What was stored after the balance was read is not in it.
_MOVED = Statement("""
SELECT currency, CAST(sum(net_minor) AS bigint) AS minor FROM balance_transactions
 WHERE balance_type = 'payments'
   AND (stripe_created < to_timestamp(:since) OR id = ANY (CAST(:newest AS text[])))
 GROUP BY currency
""").returning(_Moved)


async def _moved(engine: AsyncEngine, still: Still) -> dict[str, int]:
    async with begin(engine) as tx:
        await tx.run(NO_TIMEOUT)
        rows = await tx.rows(_MOVED, {"since": still.since, "newest": _ids(still.newest)})
    return {row.currency: row.minor for row in rows}


def _ids(movements: Sequence[BalanceTransaction]) -> list[str]:
    return [bt.id for bt in movements]


class _Opened(Record):
    account_id: UUID
    born_at: datetime


# Of two processes one finds it done.
_OPEN = Statement("""
UPDATE instance SET balance_opened_at = now() WHERE id = 1 AND balance_opened_at IS NULL
RETURNING created_at AS born_at, (SELECT id FROM accounts WHERE is_default) AS account_id
""").returning(_Opened)


async def _book(engine: AsyncEngine, had: Mapping[str, int]) -> None:
    async with begin(engine) as tx:
        opened = await tx.row(_OPEN)
        if opened is None:
            return
        await _post(tx, opened, had)
    if had:
        log.event(Event.BALANCE_OPENED, amounts=", ".join(f"{minor} {currency}" for currency, minor in had.items()))


async def _post(tx: Connection, opened: _Opened, had: Mapping[str, int]) -> None:
    entries = [
        ledger.opening_entry(
            account_id=opened.account_id, had=ledger.Money(minor, currency), occurred_at=opened.born_at
        )
        for currency, minor in had.items()
    ]
    refused = (await ledger.post(tx, [entry for entry in entries if entry is not None])).conflicting
    if refused:
        raise RuntimeError(f"{refused[0].reference} is on the books with other content")
