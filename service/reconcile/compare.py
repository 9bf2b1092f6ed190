"""Runs the statements of sql.py and findings.py: our side, the ledger and Stripe's staged side, in one snapshot."""

import math
from dataclasses import dataclass, field
from datetime import timedelta

import asyncpg

from service.balance import UNKNOWN_CATEGORY
from service.effects import Rules
from service.effects.patience import WAITS
from service.foundation.postgres.sql import Connection
from service.payouts import MAY_CHANGE
from service.reconcile import (
    dispute_tables,
    findings,
    movement_tables,
    payout_tables,
    refund_findings,
    refund_tables,
    sql,
)
from service.reconcile.classes import NOT_KEPT
from service.reconcile.window import Window
from service.states import WHOSE_TURN, WaitsFor

SIDES = ("ours", "ledger", "stripe")
# Stripe holds a card's money so long; a few networks hold it longer, and what is left of it is worth a look.
_AUTHORIZED = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Sums:
    """One side's successes and refunds in one currency, minor units. `fees` are those known so far.

    refunded: what left Stripe's balance for `refunds` refunds, and did not come back.
    """

    count: int = 0
    gross: int = 0
    fees: int = 0
    refunds: int = 0
    refunded: int = 0

    @property
    def net(self) -> int:
        """Gross minus refunds and fees: what Stripe pays out."""
        return self.gross - self.refunded - self.fees


@dataclass(frozen=True, slots=True)
class Read:
    """What could be read of Stripe's side. incomplete: what could not, in words; None where all of it was.

    refunds_shown, disputes_shown: their listing was read to its end.
    """

    incomplete: str | None = None
    refunds_shown: bool = True
    disputes_shown: bool = True

    @property
    def is_complete(self) -> bool:
        """Whether Stripe was read to its end, so that a payment or refund it did not show is missing."""
        return self.incomplete is None


@dataclass(frozen=True, slots=True)
class Comparison:
    """`totals`: currency -> side -> sums. `coverage`: how many rows of each side were compared."""

    totals: dict[str, dict[str, Sums]] = field(default_factory=dict)
    coverage: dict[str, int] = field(default_factory=dict)


async def open_staging(driver: asyncpg.Connection) -> None:
    """Create empty staging tables on this connection and lift its statement timeout: a full day takes minutes."""
    await driver.execute("SET statement_timeout = 0; SET work_mem = '64MB'")
    # Behind a pooler this server connection may still have the tables of an earlier run.
    await driver.execute(f"DROP TABLE IF EXISTS {', '.join(f'pg_temp.{table}' for table in sql.TABLES)}")
    await driver.execute(sql.STAGING)


async def note_known(driver: asyncpg.Connection, window: Window, rules: Rules, *, carry: bool) -> None:
    """Fill recon_known and its like, and recon_carried where anything is carried, before Stripe is asked."""
    connection = Connection(driver)
    if carry:
        values = {"since": window.since, "cut_off": window.cut_off, "wait_refund": _bound("funds", rules)}
        values |= _waits(rules)
        await connection.run(sql.CARRIED, values)
    else:
        await connection.run(sql.NOTHING_CARRIED)
    await _prepare(driver, "recon_carried")
    await connection.run(sql.KNOWN, _edges(window))
    await connection.run(refund_tables.KNOWN, _edges(window))
    await connection.run(dispute_tables.SPAN, {"since": window.since, "carry": carry})
    await connection.run(dispute_tables.KNOWN, {"until": window.until})
    await connection.run(payout_tables.KNOWN, _edges(window))


async def note_failures(driver: asyncpg.Connection, window: Window) -> None:
    """Fill recon_known_failures, before Stripe is asked what failed refunds brought back."""
    await Connection(driver).run(refund_tables.KNOWN_FAILURES, _edges(window))


async def disputes_since(driver: asyncpg.Connection) -> int:
    """The Unix second from which on disputes are listed."""
    return math.floor((await Connection(driver).one(dispute_tables.SINCE)).since.timestamp())


async def find_edges(driver: asyncpg.Connection, window: Window, *, carry: bool) -> None:
    """Fill recon_edges and its like with the ids that must be fetched one by one."""
    connection = Connection(driver)
    known = {**_edges(window), "carry": carry, "changing_since": (window.cut_off - MAY_CHANGE).date()}
    await connection.run(refund_tables.UNSHOWN_FAILURES)
    for tables, staged, edges in (
        (sql, "recon_stripe", "recon_edges"),
        (refund_tables, "recon_stripe_refunds", "recon_refund_edges"),
        (dispute_tables, "recon_stripe_disputes", "recon_dispute_edges"),
        (payout_tables, "recon_stripe_payouts", "recon_payout_edges"),
    ):
        await _prepare(driver, staged)
        await connection.run(tables.UNSHOWN)
        await connection.run(tables.EDGES, {name: known[name] for name in tables.EDGES.names})
        await _prepare(driver, edges)


async def hidden(driver: asyncpg.Connection, window: Window) -> str | None:
    """What a listing did not show although it had to, by its id; None where there is nothing of the kind (R35)."""
    connection = Connection(driver)
    if (payment := await connection.row(sql.HIDDEN, _edges(window))) is not None:
        return payment.pi
    if (refund := await connection.row(refund_tables.HIDDEN, _edges(window))) is not None:
        return refund.re
    if (dispute := await connection.row(dispute_tables.HIDDEN, {"until": window.until})) is not None:
        return dispute.dp
    if (payout := await connection.row(payout_tables.HIDDEN, _edges(window))) is not None:
        return payout.po
    failure = await connection.row(refund_tables.HIDDEN_FAILURE, _edges(window))
    return None if failure is None else failure.txn


async def of_no_refund(driver: asyncpg.Connection) -> str | None:
    """A balance transaction that names a failed refund which Stripe does not show; None where there is none."""
    failure = await Connection(driver).row(refund_tables.OF_NO_REFUND)
    return None if failure is None else failure.txn


async def compare(driver: asyncpg.Connection, window: Window, rules: Rules, read: Read, *, carry: bool) -> Comparison:
    """Fill recon_findings. `read`: how much of Stripe's side could be read. `carry`: the run has no window."""
    connection, edges = Connection(driver), _edges(window)
    async with driver.transaction(isolation="repeatable_read"):
        await connection.run(sql.UNIQUE)
        await connection.run(refund_tables.UNIQUE)
        await connection.run(dispute_tables.UNIQUE)
        await connection.run(payout_tables.UNIQUE)
        await driver.execute("ANALYZE recon_stripe; ANALYZE recon_stripe_refunds; ANALYZE recon_stripe_payouts")
        await driver.execute("ANALYZE recon_stripe_disputes")
        for table, statement in _STEPS:
            await connection.run(statement, {name: edges[name] for name in statement.names})
            await _prepare(driver, table)
        judged_by = {"cut_off": window.cut_off, "complete": read.is_complete}
        await connection.run(findings.PAIRS, {**judged_by, **_waits(rules)})
        shown = {"refunds_shown": read.refunds_shown, "disputes_shown": read.disputes_shown}
        await connection.run(findings.RETURNED, shown)
        await connection.run(findings.ORDERS, {"cut_off": window.cut_off})
        await connection.run(refund_findings.REFUNDS, {**judged_by, "wait_refund": _bound("funds", rules)})
        await connection.run(refund_findings.OWED, {**edges, "carry": carry})
        await connection.run(dispute_tables.FINDINGS, judged_by)
        await connection.run(payout_tables.FINDINGS, judged_by)
        await connection.run(findings.UNCLAIMED, edges)
        suspense = {**edges, "complete": read.is_complete, "carry": carry, "unknown": UNKNOWN_CATEGORY}
        await connection.run(movement_tables.SUSPENSE, {**suspense, "not_kept": list(NOT_KEPT)})
        totals = _totals(await connection.rows(findings.TOTALS, edges))
        coverage = await connection.one(findings.COVERAGE)
    return Comparison(totals, dict(coverage.items()))


_STEPS = (
    ("recon_orders", sql.ORDERS),
    ("recon_charges", sql.CHARGES),
    ("recon_claims", sql.CLAIMS),
    ("recon_pairs", sql.PAIRS),
    ("recon_refunds", refund_tables.REFUNDS),
    ("recon_refund_claims", refund_tables.CLAIMS),
    ("recon_refund_pairs", refund_tables.PAIRS),
    ("recon_disputes", dispute_tables.DISPUTES),
    ("recon_payouts", payout_tables.PAYOUTS),
    ("recon_entries", sql.ENTRIES),
)


def _edges(window: Window) -> dict[str, object]:
    return {"since": window.since, "until": window.until}


def _waits(rules: Rules) -> dict[str, object]:
    """The parameters of sql.WAITS."""
    bounds = {whose: _bound(whose, rules) for whose in WAITS} | {"merchant": _AUTHORIZED}
    return {f"wait_{state}": bounds[whose] for state, whose in WHOSE_TURN.items()}


def _bound(whose: WaitsFor, rules: Rules) -> timedelta:
    return timedelta(seconds=WAITS[whose].bound_s(rules))


async def _prepare(driver: asyncpg.Connection, table: str) -> None:
    """Create indexes and statistics; without them the planner expects few rows, and plans nested loops for a day's."""
    await driver.execute(f"CREATE INDEX ON pg_temp.{table} ({', '.join(sql.INDEXES[table])}); ANALYZE {table}")


def _totals(rows: list[findings.Totals]) -> dict[str, dict[str, Sums]]:
    totals: dict[str, dict[str, Sums]] = {}
    for row in rows:
        sides = totals.setdefault(row.currency, dict.fromkeys(SIDES, Sums()))
        sides[row.side] = Sums(row.count, row.gross, row.fees, row.refunds, row.refunded)
    return totals
