"""Copies Stripe's side into staging tables in chunks, so that memory does not grow with the number of payments.

The staging tables are temporary and belong to one connection; reading, comparing and reporting all use it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import asyncpg

from service.effects.listing import Listed, in_order
from service.foundation.postgres.sql import Statement
from service.reconcile import rows
from service.reconcile.pages import Numbered, pages
from service.stripe_gateway.disputes import Dispute
from service.stripe_gateway.objects import BalanceTransaction, Intent, Refund
from service.stripe_gateway.payouts import Payout

CHUNK = 5_000  # rows per COPY: about 3 MB of Python objects
RETRIEVE_AT_ONCE = 8  # concurrent calls that fetch an object by id; far below Stripe's limit for reads
# A payment may be read hours after the run began, and show a refund made meanwhile: refunds are listed so much further.
MEANWHILE_S = 14_400

Progress = Callable[[str], None]
LeftOut = Callable[[str], None]  # called with a sentence for each object that could not be staged


class Gateway(Protocol):
    """The calls to Stripe that a reconciliation makes; `service.stripe_gateway.client.StripeGateway` has them."""

    def list_payment_intents(self, created_gte: int, created_lt: int) -> AsyncIterator[Intent]:
        """PaymentIntents created in [gte, lt) Unix seconds, charges expanded. Raises IncompleteListing."""
        ...

    async def retrieve_payment_intent(self, intent_id: str) -> Intent | None:
        """One PaymentIntent, or None where Stripe says that it has none. Raises IncompleteListing."""
        ...

    def list_refunds(self, *, created_gte: int | None = None, created_lt: int | None = None) -> AsyncIterator[Refund]:
        """Refunds created in [gte, lt) Unix seconds, balance transactions expanded. Raises IncompleteListing."""
        ...

    async def retrieve_refund(self, refund_id: str) -> Refund | None:
        """One refund, or None where Stripe says that it has none. Raises IncompleteListing."""
        ...

    def list_refund_failures(self, created_gte: int, created_lt: int) -> AsyncIterator[BalanceTransaction]:
        """What failed refunds brought back in [gte, lt) Unix seconds; each names its refund. Raises IncompleteListing.

        A refund may fail a month after it was made.
        """
        ...

    def list_disputes(self, created_gte: int, created_lt: int) -> AsyncIterator[Dispute]:
        """Disputes opened in [gte, lt) Unix seconds, as they are now. Raises IncompleteListing."""
        ...

    async def retrieve_dispute(self, dispute_id: str) -> Dispute | None:
        """One dispute, or None where Stripe says that it has none. Raises IncompleteListing."""
        ...

    def list_payouts(self, created_gte: int, created_lt: int) -> AsyncIterator[Payout]:
        """Payouts made in [gte, lt) Unix seconds, balance transactions expanded. Raises IncompleteListing."""
        ...

    async def retrieve_payout(self, payout_id: str) -> Payout | None:
        """One payout, or None where Stripe says that it has none. Raises IncompleteListing."""
        ...


class Shown(Listed, Protocol):
    """An object of a list of Stripe's that can be staged."""

    @property
    def flaw(self) -> str | None:
        """What of it nobody can compare, for people."""
        ...


T = TypeVar("T", bound=Shown)


class _Edge(Numbered):
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[T]):
    """One kind of Stripe's objects, and the table that it is staged in."""

    name: str
    columns: tuple[str, ...]
    row: Callable[[T], tuple[Any, ...]]
    staged: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched(Kind[T]):
    """A kind that is fetched by id, too: what is to be fetched, and where it is noted that Stripe has none."""

    absent: str
    edges: Statement[_Edge]


_PAYMENT_EDGES = Statement("""
SELECT n, pi AS id FROM recon_edges WHERE n > :after ORDER BY n LIMIT :most
""").returning(_Edge)

_REFUND_EDGES = Statement("""
SELECT n, re AS id FROM recon_refund_edges WHERE n > :after ORDER BY n LIMIT :most
""").returning(_Edge)

_DISPUTE_EDGES = Statement("""
SELECT n, dp AS id FROM recon_dispute_edges WHERE n > :after ORDER BY n LIMIT :most
""").returning(_Edge)

_PAYOUT_EDGES = Statement("""
SELECT n, po AS id FROM recon_payout_edges WHERE n > :after ORDER BY n LIMIT :most
""").returning(_Edge)

_MOVEMENT_EDGES = Statement("""
SELECT n, id FROM recon_movement_edges WHERE n > :after ORDER BY n LIMIT :most
""").returning(_Edge)

PAYMENTS: Fetched[Intent] = Fetched(
    name="PaymentIntent",
    columns=rows.PAYMENT_COLUMNS,
    row=rows.payment,
    staged="recon_stripe",
    absent="recon_absent",
    edges=_PAYMENT_EDGES,
)

REFUNDS: Fetched[Refund] = Fetched(
    name="refund",
    columns=rows.REFUND_COLUMNS,
    row=rows.refund,
    staged="recon_stripe_refunds",
    absent="recon_absent_refunds",
    edges=_REFUND_EDGES,
)

DISPUTES: Fetched[Dispute] = Fetched(
    name="dispute",
    columns=rows.DISPUTE_COLUMNS,
    row=rows.dispute,
    staged="recon_stripe_disputes",
    absent="recon_absent_disputes",
    edges=_DISPUTE_EDGES,
)

PAYOUTS: Fetched[Payout] = Fetched(
    name="payout",
    columns=rows.PAYOUT_COLUMNS,
    row=rows.payout,
    staged="recon_stripe_payouts",
    absent="recon_absent_payouts",
    edges=_PAYOUT_EDGES,
)

MOVEMENTS: Fetched[BalanceTransaction] = Fetched(
    name="balance transaction",
    columns=rows.MOVEMENT_COLUMNS,
    row=rows.movement,
    staged="recon_movements",
    absent="recon_absent_movements",
    edges=_MOVEMENT_EDGES,
)

FAILURES: Kind[BalanceTransaction] = Kind(
    name="failed refund",
    columns=rows.FAILURE_COLUMNS,
    row=rows.refund_failure,
    staged="recon_failures",
)


@dataclass(frozen=True, slots=True)
class Source:
    """Where Stripe's side is read from, and where it goes."""

    driver: asyncpg.Connection
    progress: Progress
    left_out: LeftOut

    async def stage_listing(
        self, kind: Kind[T], ask: Callable[[int, int], AsyncIterator[T]], created_gte: int, created_lt: int
    ) -> int:
        """Stage what `ask` lists; returns how many. Raises IncompleteListing after staging what it read."""
        staged, chunk = 0, list[tuple[Any, ...]]()
        try:
            async for shown in in_order(ask, created_gte, created_lt):
                chunk += self._rows(kind, [shown])
                if len(chunk) == CHUNK:
                    staged += await self._copy(kind.staged, kind.columns, chunk)
                    self.progress(f"{staged} {kind.name}s read")
                    chunk = []
        finally:
            staged += await self._copy(kind.staged, kind.columns, chunk)
        return staged

    async def stage_edges(self, kind: Fetched[T], retrieve: Callable[[str], Awaitable[T | None]]) -> int:
        """Fetch by id what our side knows and the listing did not show; returns how many it asked for.

        What Stripe has is staged like the rest. What Stripe denies to have is noted as absent; only that counts as
        missing at Stripe. Raises IncompleteListing.
        """
        asked = 0
        async for page in pages(self.driver, kind.edges):
            ids = [edge.id for edge in page]
            found = await _retrieve(retrieve, ids)
            await self.stage(kind, [shown for shown in found if shown])
            absent = [(one,) for one, shown in zip(ids, found, strict=True) if shown is None]
            await self._copy(kind.absent, kind.columns[:1], absent)
            asked += len(ids)
            self.progress(f"{asked} {kind.name}s fetched by id")
        return asked

    async def stage(self, kind: Kind[T], objects: Sequence[T]) -> int:
        """Stage these; returns how many could be."""
        return await self._copy(kind.staged, kind.columns, self._rows(kind, objects))

    def _rows(self, kind: Kind[T], objects: Sequence[T]) -> list[tuple[Any, ...]]:
        """The rows of those that can be staged; `left_out` hears of each other one, which would fail the whole COPY."""
        made = []
        for shown in objects:
            if (flaw := shown.flaw) is None:
                made.append(kind.row(shown))
            else:
                self.left_out(f"{kind.name} {shown.id} cannot be compared: {flaw}")
        return made

    async def _copy(self, table: str, columns: Sequence[str], copied: list[tuple[Any, ...]]) -> int:
        if copied:
            await self.driver.copy_records_to_table(table, records=copied, columns=columns)
        return len(copied)


async def _retrieve(retrieve: Callable[[str], Awaitable[T | None]], ids: Sequence[str]) -> list[T | None]:
    """Fetch these in order, RETRIEVE_AT_ONCE at a time; None for one that Stripe has not. Raises the first failure."""
    found: list[T | None] = []
    for start in range(0, len(ids), RETRIEVE_AT_ONCE):
        some = ids[start : start + RETRIEVE_AT_ONCE]
        answers = await asyncio.gather(*map(retrieve, some), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            found.append(answer)
    return found
