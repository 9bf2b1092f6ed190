"""Runs the statements of sql.py and findings.py: our side, the ledger and Stripe's staged side, in one snapshot."""

from dataclasses import dataclass, field
from datetime import timedelta

import asyncpg

from service.effects import Rules
from service.effects.patience import WAITS
from service.foundation.postgres.sql import Connection
from service.reconcile import findings, sql
from service.reconcile.window import Window
from service.states import WHOSE_TURN

SIDES = ("ours", "ledger", "stripe")


@dataclass(frozen=True, slots=True)
class Sums:
    """One side's successes in one currency, minor units. `fees` are those known so far; net = gross - fees."""

    count: int = 0
    gross: int = 0
    fees: int = 0

    @property
    def net(self) -> int:
        """Gross minus fees: what Stripe pays out."""
        return self.gross - self.fees


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
    """Fill recon_known, and recon_carried where anything is to be carried, before Stripe is asked."""
    connection = Connection(driver)
    if carry:
        values = {"since": window.since, "cut_off": window.cut_off, **_waits(rules)}
        await connection.run(sql.CARRIED, values)
    else:
        await connection.run(sql.NOTHING_CARRIED)
    await _prepare(driver, "recon_carried")
    await connection.run(sql.KNOWN, _edges(window))


async def find_edges(driver: asyncpg.Connection, window: Window) -> None:
    """Fill recon_edges with the ids that must be fetched one by one."""
    await _prepare(driver, "recon_stripe")
    await Connection(driver).run(sql.UNSHOWN)
    await Connection(driver).run(sql.EDGES, _edges(window))
    await _prepare(driver, "recon_edges")


async def hidden(driver: asyncpg.Connection, window: Window) -> str | None:
    """A PaymentIntent that the window's listing did not show although it had to; None where there is none (R35)."""
    found = await Connection(driver).row(sql.HIDDEN, _edges(window))
    return None if found is None else found.pi


async def compare(driver: asyncpg.Connection, window: Window, rules: Rules, *, complete: bool) -> Comparison:
    """Fill recon_findings. `complete`: Stripe was read to its end, so that a payment it did not show is missing."""
    connection, edges = Connection(driver), _edges(window)
    async with driver.transaction(isolation="repeatable_read"):
        await connection.run(sql.UNIQUE)
        await driver.execute("ANALYZE recon_stripe")
        for table, statement in _STEPS:
            await connection.run(statement, edges if statement.names else {})
            await _prepare(driver, table)
        pairs = {"cut_off": window.cut_off, "complete": complete, **_waits(rules)}
        await connection.run(findings.PAIRS, pairs)
        await connection.run(findings.RETURNED)
        await connection.run(findings.ORDERS, {"cut_off": window.cut_off})
        await connection.run(findings.UNCLAIMED, edges)
        totals = _totals(await connection.rows(findings.TOTALS, edges))
        coverage = await connection.one(findings.COVERAGE)
    return Comparison(totals, dict(coverage.items()))


_STEPS = (
    ("recon_orders", sql.ORDERS),
    ("recon_charges", sql.CHARGES),
    ("recon_claims", sql.CLAIMS),
    ("recon_pairs", sql.PAIRS),
    ("recon_entries", sql.ENTRIES),
)


def _edges(window: Window) -> dict[str, object]:
    return {"since": window.since, "until": window.until}


def _waits(rules: Rules) -> dict[str, object]:
    """The parameters of sql.WAITS."""
    return {f"wait_{state}": timedelta(seconds=WAITS[whose].bound_s(rules)) for state, whose in WHOSE_TURN.items()}


async def _prepare(driver: asyncpg.Connection, table: str) -> None:
    """Create indexes and statistics; without them the planner expects few rows, and plans nested loops for a day's."""
    await driver.execute(f"CREATE INDEX ON pg_temp.{table} ({', '.join(sql.INDEXES[table])}); ANALYZE {table}")


def _totals(rows: list[findings.Totals]) -> dict[str, dict[str, Sums]]:
    totals: dict[str, dict[str, Sums]] = {}
    for row in rows:
        sides = totals.setdefault(row.currency, dict.fromkeys(SIDES, Sums()))
        sides[row.side] = Sums(row.count, row.gross, row.fees)
    return totals
