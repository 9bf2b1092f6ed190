"""The page of the outbox: how much waits, how fast it comes and goes, and why each row waits.

Rows are listed by the index of their state, so a page reads what it shows however long the backlog is.
"""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.console import cursors
from service.foundation.postgres.sql import Record, Statement, connect
from service.orders.why_waiting import Owed, why
from service.outbox.rows import ROWS

PAGE = 100
COUNTED_MAX = 10_000  # rows of a state that are counted; what is more is called more than that
_SAMPLED_FOR_S = 60.0
_SAMPLES_APART_S = 5.0

Shelf = Literal["waiting", "out", "parked"]
SHELVES: tuple[Shelf, ...] = get_args(Shelf)

# What is on each shelf, and the column that its index is in the order of.
_ON: Mapping[Shelf, tuple[str, str]] = {
    "waiting": ("parked_at IS NULL AND published = 0", "deliver_after"),
    "out": ("parked_at IS NULL AND published > 0", "deliver_after"),
    "parked": ("parked_at IS NOT NULL", "parked_at"),
}


class Counts(Record):
    """Rows of each shelf, counted up to COUNTED_MAX + 1.

    due_s: for how long the first row has been due; oldest_s: age of the oldest row that is not parked.
    """

    waiting: int
    out: int
    parked: int
    due_s: float
    oldest_s: float


_SHELVED = ",\n       ".join(
    f"(SELECT count(*) FROM (SELECT FROM {ROWS} WHERE {on} LIMIT {COUNTED_MAX + 1}) AS {shelf}) AS {shelf}"
    for shelf, (on, _) in _ON.items()
)
_FIRST_DUE = ", ".join(f"(SELECT min(deliver_after) FROM {ROWS} WHERE {_ON[shelf][0]})" for shelf in ("waiting", "out"))
_COUNTS = Statement(f"""
SELECT {_SHELVED},
       greatest(coalesce(extract(epoch FROM now() - least({_FIRST_DUE})), 0), 0)::float8 AS due_s,
       greatest(coalesce(extract(epoch FROM now() -
         (SELECT created_at FROM {ROWS} WHERE parked_at IS NULL ORDER BY id LIMIT 1)), 0), 0)::float8 AS oldest_s
""").returning(Counts)


class _Written(Record):
    """How many rows the server has counted into the table and out of it since its statistics began."""

    came: int
    went: int


_WRITTEN = Statement("""
SELECT n_tup_ins AS came, n_tup_del AS went FROM pg_stat_user_tables
 WHERE relid = to_regclass('outbox')
""").returning(_Written)


@dataclass(frozen=True, slots=True)
class Rates:
    """Rows per second that came and went, over the last `over_s` seconds."""

    came: float
    went: float
    over_s: float


class Sampled:
    """Rates of the outbox, from the server's own counts at this look and at the oldest one of the last minute."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int, int]] = deque()

    async def look(self, engine: AsyncEngine) -> Rates | None:
        """The rates; None before there is a look that is old enough to compare with."""
        async with connect(engine) as connection:
            written = await connection.row(_WRITTEN)
        return None if written is None else self.add(time.monotonic(), written.came, written.went)

    def add(self, now: float, came: int, went: int) -> Rates | None:
        """The rates since the oldest sample. Counts that fell began anew: the server lost them in a crash."""
        kept = self._samples
        if kept and (came < kept[-1][1] or went < kept[-1][2]):
            kept.clear()
        while kept and now - kept[0][0] > _SAMPLED_FOR_S:
            kept.popleft()
        if not kept or now - kept[-1][0] >= _SAMPLES_APART_S / 5:
            kept.append((now, came, went))
        at, came_then, went_then = kept[0]
        if now - at < _SAMPLES_APART_S:
            return None
        return Rates((came - came_then) / (now - at), (went - went_then) / (now - at), now - at)


class _Listed(Record):
    """A row of the outbox; place is where it stands in the order of its shelf."""

    id: UUID
    order_id: UUID
    kind: str
    attempt: int | None
    created_at: datetime
    deliver_after: datetime
    published: int
    deliveries: int
    last_error: str | None
    parked_at: datetime | None
    due_in_s: float
    place: datetime


_LISTS = {
    shelf: Statement(f"""
SELECT id, order_id, kind, attempt, created_at, deliver_after, published, deliveries, last_error, parked_at,
       extract(epoch FROM deliver_after - now())::float8 AS due_in_s, {place} AS place
  FROM {ROWS}
 WHERE {on} AND {place} >= :place AND ({place}, id) > (CAST(:place AS timestamptz), CAST(:id AS uuid))
 ORDER BY {place}, id LIMIT :limit
""").returning(_Listed)
    for shelf, (on, place) in _ON.items()
}


@dataclass(frozen=True, slots=True)
class Row:
    """A row with what it waits for and the next step, in words."""

    listed: _Listed
    waits_for: str
    next_step: str


@dataclass(frozen=True, slots=True)
class Outbox:
    """A page of one shelf. after: the cursor of the next page; None on the last one."""

    counts: Counts
    shelf: Shelf
    rows: list[Row]
    after: str | None


async def outbox(engine: AsyncEngine, shelf: Shelf, after: str, checks: Mapping[str, str]) -> Outbox:
    """The rows of a shelf behind that cursor, the first to come first; `checks` are readiness's, for why they wait."""
    place, row_id = cursors.read(after)
    async with connect(engine) as connection:
        counts = await connection.one(_COUNTS)
        listed = await connection.rows(_LISTS[shelf], {"place": place, "id": row_id, "limit": PAGE + 1})
    rows, beyond = listed[:PAGE], listed[PAGE:]
    return Outbox(
        counts,
        shelf,
        [_row(row, checks) for row in rows],
        cursors.write(rows[-1].place, rows[-1].id) if beyond else None,
    )


def _row(row: _Listed, checks: Mapping[str, str]) -> Row:
    owed = Owed(row.parked_at is not None, row.published > 0, row.due_in_s, row.last_error)
    return Row(row, *why(owed, checks))
