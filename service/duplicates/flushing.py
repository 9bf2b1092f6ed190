"""A batch of counts, added to the database once (R43), by one statement, also where it is sent again.

Batches of a process are numbered. The statement adds a batch only where its number is above the last one's. While
PostgreSQL is away the process goes on counting in memory, which is bounded.
"""

import asyncio
import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from service.duplicates.absorbing import MEMORY, Counts, Memory
from service.foundation import log
from service.foundation.events import Event
from service.foundation.postgres.db import is_unreachable, repeat_on_deadlock
from service.foundation.postgres.sql import Batch, Integer, Statement, connect

ABSORBED = "duplicates_absorbed"  # the name of the tallies by guard
UNNAMED = "duplicates_unnamed"  # of those that no order's page shows, because too many came at once
FLUSH_S = 2.0
ROWS_OF_AN_ORDER = 100  # that are kept; about, because several processes may add at once
_END_S = 1.0


class _Tallies(Batch, frozen=True):
    """Counts by name and label."""

    alias = "i"
    name: Sequence[str]
    label: Sequence[str]
    value: Sequence[int]


class _Rows(Batch, frozen=True):
    """What was absorbed of single orders, and how long ago the last of it was."""

    alias = "r"
    id: Sequence[UUID]
    order_id: Sequence[UUID]
    guard: Sequence[str]
    times: Sequence[Integer]
    ago: Sequence[timedelta]


# Tallies are added in the order of their key: two processes that flush at once wait for each other in one order (R5).
_ADD = Statement(f"""
WITH batch AS (
  INSERT INTO tally_writers AS w (process, batch) VALUES (:process, :batch)
  ON CONFLICT (process) DO UPDATE SET batch = excluded.batch, added_at = now() WHERE w.batch < excluded.batch
  RETURNING w.process
), kept AS (
  INSERT INTO absorptions (id, order_id, guard, times, process, at)
  SELECT r.id, r.order_id, r.guard, r.times, CAST(:name AS text), now() - r.ago
    FROM {_Rows.unnest()}
   WHERE EXISTS (SELECT FROM batch)
     AND (SELECT count(*) FROM (SELECT FROM absorptions a WHERE a.order_id = r.order_id LIMIT :most) AS of_order)
         < :most
)
INSERT INTO tallies AS t (name, label, value)
SELECT i.name, i.label, i.value FROM {_Tallies.unnest()} WHERE EXISTS (SELECT FROM batch) ORDER BY i.name, i.label
ON CONFLICT (name, label) DO UPDATE SET value = t.value + excluded.value
""")


class Flusher:
    """Adds the counts of this process. `part` is its kind: api, relay or worker."""

    def __init__(self, engine: AsyncEngine, part: str, memory: Memory = MEMORY) -> None:
        self._engine = engine
        self._memory = memory
        self._process = uuid4()
        self._name = f"{part} {socket.gethostname()} {os.getpid()}"
        self._number = 0
        self._batch: Counts | None = None  # the one that is being added

    async def run(self, stop: asyncio.Event) -> None:
        """Flush every two seconds until `stop` is set, and once more then."""
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), FLUSH_S)
            if not stop.is_set():
                await self._flush_or_wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                await self._flush_or_wait()

    async def flush(self) -> None:
        """Add what was counted. Raises where PostgreSQL is away; then the same batch is added by the next flush."""
        if self._batch is None:
            self._batch = self._memory.take()
            if self._batch is None:
                return
            self._number += 1
        values = self._values(self._batch)

        async def once() -> None:
            async with connect(self._engine) as connection:
                await connection.run(_ADD, values)

        await repeat_on_deadlock(once)
        self._batch = None

    async def _flush_or_wait(self) -> None:
        try:
            await self.flush()
        except Exception as error:  # noqa: BLE001  counting must not end what is counted
            if not is_unreachable(error):  # the same batch would be refused again
                self._batch = None
                log.event(Event.TALLIES_FAILED, **log.of_error(error))

    def _values(self, counts: Counts) -> dict[str, object]:
        now = time.monotonic()
        tallies = [(ABSORBED, guard.value, times) for guard, times in counts.by_guard.items()]
        if counts.unnamed:
            tallies.append((UNNAMED, "", counts.unnamed))
        rows = counts.by_order
        batches = (
            _Tallies(
                name=[name for name, _, _ in tallies],
                label=[label for _, label, _ in tallies],
                value=[value for _, _, value in tallies],
            ),
            _Rows(
                id=[uuid7() for _ in rows],
                order_id=[order_id for _, order_id in rows],
                guard=[guard.value for guard, _ in rows],
                times=[one.times for one in rows.values()],
                ago=[timedelta(seconds=now - one.at) for one in rows.values()],
            ),
        )
        return {
            "process": self._process,
            "batch": self._number,
            "name": self._name,
            "most": ROWS_OF_AN_ORDER,
            **batches[0].bound(),
            **batches[1].bound(),
        }
