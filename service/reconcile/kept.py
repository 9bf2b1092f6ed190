"""Runs of the past and their reports, read from what they left behind: at most 10,000 lines of each, for 90 days."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, fields
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.errors import NotFound
from service.foundation.postgres.sql import Record, Statement, connect
from service.reconcile.head import Head
from service.reconcile.pages import PAGE
from service.reconcile.results import NAMED, Discrepancy, Shown, discrepancy


class Run(Record):
    """One run. verdict: null where it did not finish; has_report: its report can be read."""

    id: UUID
    started_at: datetime
    finished_at: datetime | None
    window_start: datetime
    window_end: datetime
    source: str
    verdict: str | None
    has_report: bool


_RUN = """
SELECT id, started_at, finished_at, window_start, window_end, source, verdict, report IS NOT NULL AS has_report
  FROM reconciliation_runs
"""
_RUNS = Statement(f"{_RUN} WHERE id < :before ORDER BY id DESC LIMIT :limit").returning(Run)
_LAST_ID = UUID(int=2**128 - 1)


async def runs(engine: AsyncEngine, *, before: UUID | None, limit: int) -> list[Run]:
    """Up to `limit` runs that began before that one, the newest first."""
    async with connect(engine) as connection:
        return await connection.rows(_RUNS, {"before": before or _LAST_ID, "limit": limit})


class _Kept(Record):
    """The head of a report, as JSON, and how many of its lines are kept."""

    report: str | None
    lines: int


_KEPT = """
SELECT report::text AS report, (SELECT count(*) FROM reconciliation_findings f WHERE f.run_id = r.id) AS lines
  FROM
"""
_OF_RUN = Statement(f"{_KEPT} reconciliation_runs r WHERE id = :run").returning(_Kept)
_NEWEST = Statement(f"""
{_KEPT} (SELECT id, report FROM reconciliation_runs ORDER BY id DESC LIMIT 100) AS r
 WHERE report IS NOT NULL ORDER BY id DESC LIMIT 1
""").returning(_Kept)

_PRESENT = Statement(f"""
{_KEPT} (SELECT id, report, window_end > started_at AS is_present
           FROM reconciliation_runs ORDER BY id DESC LIMIT 100) AS r
 WHERE report IS NOT NULL AND is_present ORDER BY id DESC LIMIT 1
""").returning(_Kept)

_LINES = Statement(f"""
SELECT n, name, order_id, pi, ours, theirs, amount, currency, at, first_seen, fingerprint, acked_at, acked_by,
       acked_why, refund, {NAMED}
  FROM (SELECT n, class AS name, order_id, payment_intent_id AS pi, ours::text AS ours, stripe::text AS theirs,
               amount_minor AS amount, currency, happened_at AS at, first_seen_at AS first_seen, fingerprint,
               acknowledged_at AS acked_at, acknowledged_by AS acked_by, acknowledged_why AS acked_why, refund,
               reference
          FROM reconciliation_findings WHERE run_id = :run AND n > :after ORDER BY n LIMIT :most) AS f
 ORDER BY n
""").returning(Shown)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptReport(Head):
    """The report of a run of the past. lines: how many of its lines are kept."""

    engine: AsyncEngine
    lines: int

    @property
    def left_out(self) -> int:
        """How many lines it had beyond those that are kept."""
        return sum(line.count for line in self.classes) - self.lines

    async def page(self, *, after: int, limit: int) -> list[tuple[int, Discrepancy]]:
        """Up to `limit` lines behind that place of the report, each with its own."""
        async with connect(self.engine) as connection:
            rows = await connection.rows(_LINES, {"run": self.run_id, "after": after, "most": limit})
        return [(row.n, discrepancy(row, self.window.now)) for row in rows]

    async def discrepancies(self) -> AsyncIterator[Discrepancy]:
        """Yield all lines that are kept, as the report had them."""
        after = 0
        while page := await self.page(after=after, limit=PAGE):
            for _, found in page:
                yield found
            after = page[-1][0]


async def kept_report(engine: AsyncEngine, run_id: UUID) -> KeptReport:
    """The report of that run. Raises NotFound."""
    async with connect(engine) as connection:
        kept = await connection.row(_OF_RUN, {"run": run_id})
    if kept is None:
        raise NotFound("There is no such run of the reconciliation.")
    if kept.report is None:
        raise NotFound("That run left no report: it did not finish, or an earlier version made it.")
    return _report(engine, kept)


async def newest_report(engine: AsyncEngine) -> KeptReport | None:
    """The report of the newest of the last 100 runs that left one."""
    async with connect(engine) as connection:
        kept = await connection.row(_NEWEST)
    return None if kept is None else _report(engine, kept)


async def newest_of_the_present(engine: AsyncEngine) -> KeptReport | None:
    """The report of the newest of the last 100 runs that left one and whose window reached its own moment."""
    async with connect(engine) as connection:
        kept = await connection.row(_PRESENT)
    return None if kept is None else _report(engine, kept)


def _report(engine: AsyncEngine, kept: _Kept) -> KeptReport:
    head = msgspec.json.decode(kept.report or "", type=Head)
    return KeptReport(
        **{field.name: getattr(head, field.name) for field in fields(head)}, engine=engine, lines=kept.lines
    )
