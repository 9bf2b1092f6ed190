"""Whether PostgreSQL still keeps what it commits: `fsync` can be turned off while it runs, and nobody is told."""

import asyncio
import time

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation import log
from service.foundation.deadlines import DURABLE_ASKED_S
from service.foundation.errors import Misconfigured, NotConfirmed
from service.foundation.events import Event
from service.foundation.log import of_error
from service.foundation.postgres.db import as_unavailable, is_unreachable
from service.foundation.postgres.sql import Record, Statement, connect


class _Settings(Record):
    """PostgreSQL's settings by which it may forget: `off` where it may."""

    fsync: str
    full_page_writes: str
    synchronous_commit: str


_READ = Statement("""
SELECT current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
       current_setting('synchronous_commit') AS synchronous_commit
""").returning(_Settings)


async def check_durable(engine: AsyncEngine) -> None:
    """Refuse a database that could forget what it committed (R30). Raises Misconfigured or Unavailable."""
    try:
        async with connect(engine) as connection:
            settings = await connection.one(_READ)
    except Exception as error:
        if not is_unreachable(error):
            raise
        raise as_unavailable(error) from error
    for name, value in settings.items():
        if value == "off":
            raise Misconfigured(f"PostgreSQL runs with {name} = off: a 201 could be forgotten. Set it to on.")


class Durability:
    """Looks beside the work, every few seconds while there is any, so that no request waits for the answer."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._looked_at = time.monotonic()  # the process has looked at its start
        self._looking: asyncio.Task[None] | None = None
        self._lost: str | None = None

    def check(self) -> None:
        """Raises NotConfirmed while PostgreSQL was last seen with a setting by which it could forget."""
        now = time.monotonic()
        if now - self._looked_at >= DURABLE_ASKED_S and (self._looking is None or self._looking.done()):
            self._looked_at = now
            self._looking = asyncio.create_task(self._look())
        if self._lost is not None:
            raise NotConfirmed(
                f"{self._lost} This is not confirmed. Repeat the request later, with the same key.", retry_after_s=5
            )

    async def close(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> None:
        try:
            await check_durable(self._engine)
        except Misconfigured as error:
            if self._lost is None:
                log.event(Event.POSTGRES_NOT_DURABLE, reason=str(error))
            self._lost = str(error)
        except Exception as error:  # noqa: BLE001  whoever works with it meets it as well
            if not is_unreachable(error):
                log.event(Event.POSTGRES_DURABILITY_UNKNOWN, **of_error(error))
        else:
            if self._lost is not None:
                log.event(Event.POSTGRES_DURABLE_AGAIN)
            self._lost = None
