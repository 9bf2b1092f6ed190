"""The proof of the balance, per currency: what the ledger says Stripe's balance is, against what Stripe says.

Two comparisons. Each movement that Stripe lists in the window stands in our table with the same sums, and no other
does. And Stripe's balance now is the ledger's and what is in flight. A balance that does not hold still proves nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from service.balance import BalanceGateway, hold_still
from service.foundation.postgres.sql import Connection, Record, Statement
from service.ledger import balances
from service.ledger.entry import STRIPE_BALANCE
from service.reconcile import movement_tables as tables
from service.reconcile.in_flight import in_flight
from service.reconcile.sources import MOVEMENTS, Source
from service.reconcile.window import Window
from service.stripe_gateway.objects import MOMENT_MAX, BalanceTransaction, IncompleteListing

TRIES = 5  # readings of what is in flight while it changes
OPENED_WITHIN_S = 3_600  # so long after its birth an installation may prove nothing of the present
_OVERLAP_S = 10  # as the sweep reads again
_SWEPT_WITHIN = timedelta(minutes=10)  # a movement that the sweep has not come to is in flight so long


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One currency, in minor units. `opening` + `activity` - `payouts` = `closing`, by Stripe's movements.

    The first and the last are None where the window does not reach the present, or the balance was not proven.
    ledger: what the books say of the closing, less what is in flight. differ: movements that differ.
    """

    currency: str
    activity: int = 0
    payouts: int = 0
    closing: int | None = None
    ledger: int | None = None
    differ: int = 0

    @property
    def opening(self) -> int | None:
        """What the balance was when the window began."""
        return None if self.closing is None else self.closing - self.activity + self.payouts

    @property
    def drift(self) -> int:
        """By how much Stripe's balance is more than the books say."""
        return 0 if self.closing is None or self.ledger is None else self.closing - self.ledger


@dataclass(frozen=True, slots=True)
class Proven:
    """The proof of each currency. is_proven: the balance of the present was compared; moved: it did not hold still."""

    proofs: tuple[Proof, ...] = ()
    is_proven: bool = False
    moved: str | None = None


class _Begun(Record):
    """Until when movements are read, null before the first sweep, and since when.

    is_opened: what was there before is booked. is_late: it should be.
    """

    swept_until: datetime | None
    is_opened: bool
    is_late: bool
    since: datetime


_BEGUN = Statement(f"""
SELECT (SELECT swept_until FROM sweeps WHERE kind = 'balance_transactions') AS swept_until,
       balance_opened_at IS NOT NULL AS is_opened,
       created_at < now() - make_interval(secs => {OPENED_WITHIN_S}) AS is_late, created_at AS since
  FROM instance WHERE id = 1
""").returning(_Begun)


async def prove(
    engine: AsyncEngine, driver: asyncpg.Connection, source: Source, gateway: BalanceGateway, window: Window
) -> Proven:
    """The proof of each currency, and its discrepancies; nothing before the first sweep. Raises IncompleteListing."""
    connection = Connection(driver)
    begun = await connection.one(_BEGUN)
    if begun.swept_until is None:
        return Proven()
    since = max(window.since, begun.since).replace(microsecond=0)
    edges = {"since": since, "until": max(since, window.until)}
    await _stage(driver, source, gateway, edges, is_open=window.until >= window.now)
    now, moved = await _present(engine, driver, gateway, begun) if window.until >= window.now else (None, None)
    if now is not None:
        await _stage_newest(driver, source, [bt for bt in now.newest if bt.created >= since.timestamp()])
    await connection.run(tables.OURS, edges)
    swept = max(begun.swept_until + timedelta(seconds=1), window.now - _SWEPT_WITHIN)
    await connection.run(tables.FINDINGS, {"cut_off": min(window.until, window.cut_off, swept)})
    rows = {row.currency: row for row in await connection.rows(tables.SUMS, {"since": since})}
    currencies = sorted({*rows, *(now.stripe if now else {}), *(now.ledger if now else {})})
    proofs = tuple(_proof(currency, rows.get(currency), now) for currency in currencies)
    await _note_drift(connection, proofs, window.now)
    return Proven(proofs, now is not None, moved)


async def _stage(
    driver: asyncpg.Connection, source: Source, gateway: BalanceGateway, edges: dict[str, datetime], *, is_open: bool
) -> None:
    """Stage the movements of the window and those of open discrepancies. Raises IncompleteListing."""
    connection = Connection(driver)
    await connection.run(tables.KNOWN, edges)
    gte, lt = int(edges["since"].timestamp()), int(edges["until"].timestamp())
    if gte < lt:
        await source.stage_listing(MOVEMENTS, gateway.list_balance_transactions, gte, MOMENT_MAX if is_open else lt)
    await driver.execute("CREATE INDEX ON pg_temp.recon_movements (id); ANALYZE recon_movements")
    await connection.run(tables.UNSHOWN)
    await connection.run(tables.UNIQUE)
    await connection.run(tables.EDGES)
    await driver.execute("CREATE INDEX ON pg_temp.recon_movement_edges (n)")
    await source.stage_edges(MOVEMENTS, gateway.retrieve_balance_transaction)
    if (unseen := await connection.row(tables.HIDDEN, edges)) is not None:
        raise IncompleteListing(f"the listing did not show {unseen.id}, which exists")


@dataclass(frozen=True, slots=True)
class _Now:
    """What both sides say of the present, and the movements that Stripe had listed by then."""

    stripe: Mapping[str, int]
    ledger: Mapping[str, int]
    newest: Sequence[BalanceTransaction]


_MOVED = "Stripe's balance moved during each reading, so it was not compared with the books"
_NOT_OPENED = "what was in Stripe's balance before this installation is not known yet: it never held still for a sweep"


async def _present(
    engine: AsyncEngine, driver: asyncpg.Connection, gateway: BalanceGateway, begun: _Begun
) -> tuple["_Now | None", str | None]:
    """What both sides say of the present, and why they do not where they must. Raises IncompleteListing."""
    if not begun.is_opened or begun.swept_until is None:
        return None, _NOT_OPENED if begun.is_late else None
    now = await _now(engine, driver, gateway, begun.swept_until)
    return now, None if now else _MOVED


async def _now(
    engine: AsyncEngine, driver: asyncpg.Connection, gateway: BalanceGateway, swept_until: datetime
) -> _Now | None:
    """What both sides say now; None where one of them did not hold still. Raises IncompleteListing."""
    still = await hold_still(gateway, int(swept_until.timestamp()) - _OVERLAP_S)
    if still is None:
        return None
    for _ in range(TRIES):
        flight = await in_flight(driver, still.newest, still.since)
        ledger = await _booked(engine)
        if flight == await in_flight(driver, still.newest, still.since):
            booked = {c: ledger.get(c, 0) + flight.get(c, 0) for c in {*ledger, *flight}}
            return _Now(still.total, booked, still.newest)
    return None


async def _stage_newest(driver: asyncpg.Connection, source: Source, newest: Sequence[BalanceTransaction]) -> None:
    """Those that were made after the listing began."""
    staged = {row.id for row in await Connection(driver).rows(tables.STAGED, {"ids": [bt.id for bt in newest]})}
    await source.stage(MOVEMENTS, [bt for bt in newest if bt.id not in staged])


async def _booked(engine: AsyncEngine) -> dict[str, int]:
    """The ledger's balance per currency, of all accounts."""
    sums: dict[str, int] = {}
    for row in await balances(engine):
        if row["account"] == STRIPE_BALANCE:
            sums[row["currency"]] = sums.get(row["currency"], 0) + row["balance"]
    return sums


def _proof(currency: str, row: tables.Sums | None, now: _Now | None) -> Proof:
    return Proof(
        currency=currency,
        activity=row.activity if row else 0,
        payouts=row.payouts if row else 0,
        closing=now.stripe.get(currency, 0) if now else None,
        ledger=now.ledger.get(currency, 0) if now else None,
        differ=row.differ if row else 0,
    )


async def _note_drift(connection: Connection, proofs: Sequence[Proof], now: datetime) -> None:
    """Store a discrepancy of each currency whose balances do not agree; it says by how much, not at what sum.

    Both sums change with each order: an acknowledgement of what stays the same would not hold.
    """
    for proof in proofs:
        if proof.drift:
            more = {"ours": max(-proof.drift, 0), "stripe": max(proof.drift, 0)}
            values = {"amount": abs(proof.drift), "currency": proof.currency, "now": now, **more}
            await connection.run(tables.DRIFT, values)
