"""Reading what was absorbed, and forgetting what is shown of single orders."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.duplicates.flushing import ABSORBED
from service.duplicates.guards import Guard
from service.foundation.postgres.sql import Record, Statement, begin, connect

KEPT = timedelta(days=7)  # as long as an order's page shows its duplicates; the tallies stay
_FORGOTTEN = 1_000  # rows deleted by one statement


class _Total(Record):
    label: str
    value: int


_TOTALS = Statement("SELECT label, value FROM tallies WHERE name = :name").returning(_Total)


async def totals(engine: AsyncEngine) -> dict[Guard, int]:
    """How many duplicates each guard of the fleet has absorbed, ever, up to two seconds ago."""
    async with connect(engine) as connection:
        found = {row.label: row.value for row in await connection.rows(_TOTALS, {"name": ABSORBED})}
    return {guard: found.get(guard, 0) for guard in Guard}


class Absorbed(Record):
    """So often `guard` absorbed a duplicate of an order within two seconds; `at` is the last one's moment.

    `process` says who did: its kind, machine and number.
    """

    guard: str
    times: int
    process: str
    at: datetime


_OF_ORDER = Statement("""
SELECT guard, times, process, at FROM absorptions WHERE order_id = :order ORDER BY at, id
""").returning(Absorbed)


async def of_order(engine: AsyncEngine, order_id: UUID) -> list[Absorbed]:
    """What was absorbed of this order in the last days, the oldest first."""
    async with connect(engine) as connection:
        return await connection.rows(_OF_ORDER, {"order": order_id})


class _Deleted(Record):
    id: UUID


_FORGET = Statement("""
DELETE FROM absorptions WHERE id IN (
  SELECT id FROM absorptions WHERE at < now() - CAST(:kept AS interval) ORDER BY at LIMIT :most)
RETURNING id
""").returning(_Deleted)
# A process that has added nothing for so long sends no batch again.
_FORGET_WRITERS = Statement("DELETE FROM tally_writers WHERE added_at < now() - CAST(:kept AS interval)")


async def forget(engine: AsyncEngine) -> int:
    """Delete some rows that are older than KEPT; how many. 0: what is left waits for the next round."""
    async with begin(engine) as tx:
        deleted = len(await tx.rows(_FORGET, {"kept": KEPT, "most": _FORGOTTEN}))
        await tx.run(_FORGET_WRITERS, {"kept": KEPT})
    return deleted if deleted == _FORGOTTEN else 0
