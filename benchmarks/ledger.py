"""The ledger: eight writers on two accounts with every check on, compared with simpler ways to book."""

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import uvloop
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from benchmarks.machine import metered
from benchmarks.report import Ratio, Report
from benchmarks.stack import Stack
from service import ledger
from service.foundation.postgres.db import create_engine
from service.foundation.postgres.sql import begin

WRITERS, BATCH, BATCHES, SINGLES, ROUNDS = 8, 64, 30, 100, 4
_numbers = itertools.count(1)
_SAME = [uuid7()] * WRITERS
_OWN = [uuid7() for _ in range(WRITERS)]

_DROP_CHECKS = """
DO $$
DECLARE found record;
BEGIN
  FOR found IN SELECT tgrelid::regclass AS tab, tgname AS name FROM pg_trigger
                WHERE tgrelid IN ('postings'::regclass, 'journal_entries'::regclass) AND NOT tgisinternal LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', found.name, found.tab);
  END LOOP;
  FOR found IN SELECT conrelid::regclass AS tab, conname AS name FROM pg_constraint
                WHERE conrelid IN ('postings'::regclass, 'journal_entries'::regclass) AND contype IN ('c', 'f') LOOP
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', found.tab, found.name);
  END LOOP;
END $$
"""


@dataclass(frozen=True, slots=True)
class Posted:
    """One measurement."""

    rate: float
    cpu_us: dict[str, float]


def run(stack: Stack) -> Report:
    """All shapes in turns."""
    checked, unchecked = stack.database("ledger"), stack.database("ledger_unchecked")
    stack.execute(_DROP_CHECKS, unchecked)
    shapes: dict[str, Callable[[], Posted]] = {
        "same accounts": lambda: _measure(stack, checked, _SAME, BATCH, BATCHES),
        "different accounts": lambda: _measure(stack, checked, _OWN, BATCH, BATCHES),
        "one at a time": lambda: _measure(stack, checked, _SAME, 1, SINGLES),
        "no checks": lambda: _measure(stack, unchecked, _SAME, BATCH, BATCHES),
    }
    rounds = [{name: measure() for name, measure in shapes.items()} for _ in range(ROUNDS + 1)][1:]
    report = Report("ledger", cpu_us={f"entry, {name}": rounds[-1][name].cpu_us for name in shapes})
    for name, least in (("different accounts", 0.9), ("one at a time", 3), ("no checks", 0.4)):
        pairs = [(one["same accounts"].rate, one[name].rate) for one in rounds]
        report.ratios.append(Ratio(f"entries/s on the same two accounts against {name}", pairs, "/s", at_least=least))
    spent = [(one["no checks"].cpu_us["postgres"], one["same accounts"].cpu_us["postgres"]) for one in rounds]
    report.ratios.append(Ratio("PostgreSQL's CPU without checks against with them", spent, "µs"))
    return report


def _measure(stack: Stack, database: str, owners: Sequence[UUID], size: int, batches: int) -> Posted:
    work = [[_batch(owner, size) for _ in range(batches)] for owner in owners]
    return uvloop.run(_post_all(stack, database, work, size * batches * len(owners)))


async def _post_all(
    stack: Stack, database: str, work: Sequence[Sequence[Sequence[ledger.JournalEntry]]], entries: int
) -> Posted:
    engine = create_engine(stack.settings(DATABASE_URL=database), name="ledger bench", pool=WRITERS)
    await asyncio.gather(*(_post(engine, [[_entry(mine[0][0].account_id)]]) for mine in work))  # connect, open accounts
    with metered(stack.pids("postgres")) as usage:
        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(_post(engine, mine) for mine in work))
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
    await engine.dispose()
    return Posted(entries / took, {**usage.per_op_us(entries), "writer": round(cpu / entries * 1e6, 1)})


async def _post(engine: AsyncEngine, batches: Sequence[Sequence[ledger.JournalEntry]]) -> None:
    for batch in batches:
        async with begin(engine) as connection:
            result = await ledger.post(connection, batch)
        if len(result.booked) != len(batch):
            raise RuntimeError(f"{len(batch) - len(result.booked)} entries were not booked")


def _batch(owner: UUID, size: int) -> list[ledger.JournalEntry]:
    return [_entry(owner) for _ in range(size)]


def _entry(owner: UUID) -> ledger.JournalEntry:
    return ledger.charge_entry(
        account_id=owner,
        order_id=uuid7(),
        payment_intent_id="pi_3" + "x" * 23,
        stripe_charge_id=f"ch_3{next(_numbers):023d}",
        amount_minor=1999,
        currency="usd",
        occurred_at=datetime.now(UTC),
    )
