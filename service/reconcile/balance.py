"""The proof of the balance, per currency: what the ledger says Stripe's balance is, against what Stripe says.

Two comparisons. Each movement that Stripe lists in the window stands in our table with the same sums, and no other
does. And Stripe's balance now is the ledger's and what is in flight. Stripe's balance is read before and after the
newest movements: where the two differ it moved meanwhile, and is read again.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.sql import Connection, Record, Statement
from service.ledger import balances
from service.ledger.entry import STRIPE_BALANCE
from service.reconcile.in_flight import in_flight
from service.reconcile.sources import Kind, Source
from service.reconcile.window import Window
from service.stripe_gateway.balance import Balance
from service.stripe_gateway.objects import MOMENT_MAX, BalanceTransaction

TRIES = 5  # readings of a balance that moves
_OVERLAP_S = 10  # as the sweep reads again
BALANCE_DRIFT = "balance_drift"


class BalanceGateway(Protocol):
    """The calls to Stripe of this proof; `service.stripe_gateway.client.StripeGateway` has them."""

    def list_balance_transactions(
        self, created_gte: int, created_lt: int | None = None
    ) -> AsyncIterator[BalanceTransaction]:
        """Those created in [gte, lt) Unix seconds, newest first. Raises IncompleteListing."""
        ...

    async def balance(self) -> Balance:
        """What the balance is now. Raises IncompleteListing."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One currency, in minor units. `opening` + `activity` - `payouts` = `closing`, by Stripe's movements.

    The first and the last are None where the window does not reach the present, or the balance did not hold still.
    ledger: what the books say of the closing, less what is in flight. differ: movements that differ, or that one side
    lacks; the first of them by id.
    """

    currency: str
    activity: int = 0
    payouts: int = 0
    closing: int | None = None
    ledger: int | None = None
    differ: tuple[str, ...] = ()
    differs_by: int = 0

    @property
    def opening(self) -> int | None:
        """What the balance was when the window began."""
        return None if self.closing is None else self.closing - self.activity + self.payouts

    @property
    def drift(self) -> int:
        """By how much Stripe's balance is more than the books say."""
        return 0 if self.closing is None or self.ledger is None else self.closing - self.ledger


class _Swept(Record):
    """Until when movements are read, and since when; null before the first sweep."""

    swept_until: datetime | None
    since: datetime


_SWEPT = Statement("""
SELECT (SELECT swept_until FROM sweeps WHERE kind = 'balance_transactions') AS swept_until, created_at AS since
  FROM instance WHERE id = 1
""").returning(_Swept)

STAGING = """
CREATE TEMP TABLE recon_movements (
  id text NOT NULL, created timestamptz NOT NULL, category text NOT NULL, amount bigint NOT NULL, fee bigint NOT NULL,
  currency text NOT NULL)
"""

MOVEMENTS: Kind[BalanceTransaction] = Kind(
    name="balance transaction",
    columns=("id", "created", "category", "amount", "fee", "currency"),
    row=lambda bt: (
        bt.id,
        datetime.fromtimestamp(bt.created, UTC),
        bt.reporting_category,
        bt.amount,
        bt.fee,
        bt.currency,
    ),
    staged="recon_movements",
)


async def prove(
    engine: AsyncEngine, driver: asyncpg.Connection, source: Source, gateway: BalanceGateway, window: Window
) -> tuple[Proof, ...]:
    """The proof of each currency; nothing before the first sweep of the balance. Raises IncompleteListing."""
    swept = await Connection(driver).one(_SWEPT)
    if swept.swept_until is None:
        return ()
    since = max(window.since, swept.since).replace(microsecond=0)
    is_open = window.until >= window.now
    until = MOMENT_MAX if is_open else window.created_lt
    if since < window.until:
        await source.stage_listing(MOVEMENTS, gateway.list_balance_transactions, int(since.timestamp()), until)
    now = await _now(engine, driver, gateway, swept.swept_until) if is_open else None
    if now is not None:
        await _stage_newest(driver, [bt for bt in now.newest if bt.created >= since.timestamp()])
    edge = min(window.until, window.cut_off)
    rows = await Connection(driver).rows(_COMPARED, {"since": since, "until": edge})
    proofs = {row.currency: row for row in rows}
    currencies = sorted({*proofs, *(now.stripe if now else {}), *(now.ledger if now else {})})
    return tuple(_proof(currency, proofs.get(currency), now) for currency in currencies)


@dataclass(frozen=True, slots=True)
class _Now:
    """What both sides say of the present, and the movements that Stripe had listed by then."""

    stripe: Mapping[str, int]
    ledger: Mapping[str, int]
    newest: Sequence[BalanceTransaction]


class _Id(Record):
    id: str


_STAGED = Statement("SELECT id FROM recon_movements WHERE id = ANY (CAST(:ids AS text[]))").returning(_Id)


async def _stage_newest(driver: asyncpg.Connection, newest: Sequence[BalanceTransaction]) -> None:
    """Those that were made after the listing began."""
    staged = {row.id for row in await Connection(driver).rows(_STAGED, {"ids": [bt.id for bt in newest]})}
    rows = [MOVEMENTS.row(bt) for bt in newest if bt.id not in staged and not bt.flaw]
    await driver.copy_records_to_table(MOVEMENTS.staged, records=rows, columns=MOVEMENTS.columns)


class _Compared(Record):
    """The movements of the window in one currency."""

    currency: str
    activity: int
    payouts: int
    differ: list[str] | None
    differs_by: int


# What is younger than the edge is in flight. Whether a movement is booked is not compared: what waits is in flight.
_COMPARED = Statement("""
SELECT coalesce(s.currency, b.currency) AS currency,
       CAST(coalesce(sum(s.amount - s.fee) FILTER (WHERE s.category NOT IN ('payout', 'payout_reversal')), 0) AS bigint)
         AS activity,
       CAST(-coalesce(sum(s.amount - s.fee) FILTER (WHERE s.category IN ('payout', 'payout_reversal')), 0) AS bigint)
         AS payouts,
       array_agg(coalesce(s.id, b.id) ORDER BY coalesce(s.id, b.id)) FILTER (WHERE
         coalesce(s.created, b.stripe_created) < date_trunc('second', CAST(:until AS timestamptz))
         AND (s.category, s.amount, s.fee, s.currency) IS DISTINCT FROM
         (b.category, b.amount_minor, b.fee_minor, b.currency)) AS differ,
       CAST(coalesce(sum(abs(coalesce(s.amount - s.fee, 0) - coalesce(b.net_minor, 0))) FILTER (WHERE
         coalesce(s.created, b.stripe_created) < date_trunc('second', CAST(:until AS timestamptz))), 0) AS bigint)
         AS differs_by
  FROM recon_movements s
  FULL JOIN (SELECT * FROM balance_transactions
              WHERE stripe_created >= CAST(:since AS timestamptz)
                AND stripe_created < date_trunc('second', CAST(:until AS timestamptz))) b ON b.id = s.id
 GROUP BY 1
""").returning(_Compared)


async def _now(
    engine: AsyncEngine, driver: asyncpg.Connection, gateway: BalanceGateway, swept_until: datetime
) -> _Now | None:
    """What both sides say now; None where the balance did not hold still."""
    since = int(swept_until.timestamp()) - _OVERLAP_S
    for _ in range(TRIES):
        before = (await gateway.balance()).total
        newest = [bt async for bt in gateway.list_balance_transactions(since)]
        if before == (await gateway.balance()).total:
            break
    else:
        return None
    for _ in range(TRIES):
        flight = await in_flight(driver, newest, since)
        ledger = await _booked(engine)
        if flight == await in_flight(driver, newest, since):
            return _Now(before, {c: ledger.get(c, 0) + flight.get(c, 0) for c in {*ledger, *flight}}, newest)
    return None


async def _booked(engine: AsyncEngine) -> dict[str, int]:
    """The ledger's balance per currency, of all accounts."""
    sums: dict[str, int] = {}
    for row in await balances(engine):
        if row["account"] == STRIPE_BALANCE:
            sums[row["currency"]] = sums.get(row["currency"], 0) + row["balance"]
    return sums


def _proof(currency: str, row: _Compared | None, now: _Now | None) -> Proof:
    return Proof(
        currency=currency,
        activity=row.activity if row else 0,
        payouts=row.payouts if row else 0,
        closing=now.stripe.get(currency, 0) if now else None,
        ledger=now.ledger.get(currency, 0) if now else None,
        differ=tuple(row.differ or ()) if row else (),
        differs_by=row.differs_by if row else 0,
    )


_FOUND = Statement("""
INSERT INTO recon_findings (class, at, currency, amount, ours, stripe)
VALUES (:class, :now, :currency, :amount, CAST(CAST(:ours AS text) AS jsonb), CAST(CAST(:stripe AS text) AS jsonb))
""")
_NAMED = 5  # movements that a finding names


async def note_drift(driver: asyncpg.Connection, proofs: Sequence[Proof], now: datetime) -> None:
    """Store a discrepancy of each currency that does not agree."""
    for proof in proofs:
        if proof.drift or proof.differ:
            differ = {"differ": len(proof.differ), "first": list(proof.differ[:_NAMED])}
            values = {
                "class": BALANCE_DRIFT,
                "now": now,
                "currency": proof.currency,
                "amount": max(abs(proof.drift), proof.differs_by),
                "ours": json.dumps({"balance": proof.ledger}),
                "stripe": json.dumps({"balance": proof.closing, **differ}),
            }
            await Connection(driver).run(_FOUND, values)
