"""The wake-up: a hint from the api to the relays that something is due. The relay's poll stays the truth.

Sent after the commit, never inside it (a NOTIFY in the order's transaction halves the commit rate), on a connection
of its own, coalesced: at most one is under way, at most 200 a second. A lost one costs a poll.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from service.foundation.deadlines import CLOSE_S, LISTENER_ASKED_S
from service.foundation.postgres.db import close
from service.foundation.postgres.sql import Statement, connect

CHANNEL = "eo_outbox"
INBOX = "eo_inbox"  # an event of Stripe's was stored
_APART_S = 0.005  # at most 200 a second and process
_NOTIFY = {channel: Statement(f"NOTIFY {channel}") for channel in (CHANNEL, INBOX)}


class Waker:
    """The sending end. `wake` returns at once and never fails."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._task: asyncio.Task[None] | None = None
        self._due: set[str] = set()

    def wake(self, channel: str = CHANNEL) -> None:
        """Say that something is due, soon: in the outbox, or in the inbox."""
        self._due.add(channel)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._send())

    async def close(self) -> None:
        """Let the last one end, briefly, and disconnect."""
        if self._task is not None:
            _, late = await asyncio.wait([self._task], timeout=CLOSE_S)
            for task in late:
                task.cancel()
        await close(self._engine)

    async def _send(self) -> None:
        while self._due:
            due, self._due = self._due, set()
            with suppress(Exception):
                async with connect(self._engine) as connection:
                    for channel in due:
                        await connection.run(_NOTIFY[channel])
            await asyncio.sleep(_APART_S)


async def listen(connection: AsyncConnection, woken: Mapping[str, asyncio.Event], stop: asyncio.Event) -> None:
    """Set the event of a channel whenever somebody wakes it, until `stop` is set. Raises where the connection is lost.

    Behind a pooler in transaction mode nothing is ever heard, and the relay's poll does all the work.
    """
    raw = await connection.get_raw_connection()
    driver: Any = raw.driver_connection

    def on_notify(_connection: object, _pid: int, channel: str, _payload: str) -> None:
        woken[channel].set()

    for channel in woken:
        await driver.add_listener(channel, on_notify)
    # Nothing is ever sent on this connection else, so that only a question tells whether it still lives.
    while not await _is_set(stop, LISTENER_ASKED_S):
        await driver.execute("SELECT")


async def _is_set(event: asyncio.Event, within_s: float) -> bool:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), within_s)
    return event.is_set()
