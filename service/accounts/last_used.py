"""When a key was used last: noted in memory, and written every half a minute, by one statement per process.

What a process has noted and not written dies with it.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from time import monotonic

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.db import is_unreachable
from service.foundation.postgres.sql import Batch, Statement, connect

EVERY_S = 30.0


class _Used(Batch, frozen=True):
    """Keys, and how long ago each was used."""

    alias = "i"
    id: Sequence[str]
    ago: Sequence[timedelta]


# A row that another process holds is skipped: it is writing nearly the same moment.
_WRITE = Statement(f"""
WITH used AS (
  SELECT k.id, now() - i.ago AS at FROM {_Used.unnest()} JOIN api_keys k ON k.id = i.id
   ORDER BY k.id FOR NO KEY UPDATE OF k SKIP LOCKED
)
UPDATE api_keys k SET last_used_at = greatest(k.last_used_at, used.at) FROM used WHERE k.id = used.id
""")


class LastUsed:
    """The last use of each key that this process has seen since it wrote last."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._at: dict[str, float] = {}

    def note(self, key_id: str) -> None:
        """The key is used now."""
        self._at[key_id] = monotonic()

    async def keep(self, stop: asyncio.Event) -> None:
        """Write every half a minute, and once more when `stop` is set."""
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), EVERY_S)
            await self.write()

    async def write(self) -> None:
        """Write what was noted. Where PostgreSQL is away it stays noted."""
        noted, self._at = self._at, {}
        if not noted:
            return
        now = monotonic()
        used = _Used(id=list(noted), ago=[timedelta(seconds=now - at) for at in noted.values()])
        try:
            async with connect(self._engine) as connection:
                await connection.run(_WRITE, used.bound())
        except Exception as error:
            if not is_unreachable(error):
                raise
            self._at = noted | self._at
