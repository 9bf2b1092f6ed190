"""Pages that renew themselves: one reader per page and process, however many watch, and none while nobody does.

A feed reads its page's parts every few seconds and keeps the newest. Whoever watches is woken, and takes what has
changed since the last time: no queue can fill up behind a slow browser. A reading that takes long is followed by a
pause of ten times its length, so that a feed uses at most a tenth of one connection.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from service.foundation import log
from service.foundation.events import Event

Parts = Mapping[str, str]  # HTML by the name of its place in the page
Read = Callable[[], Awaitable[Parts]]

HEARTBEAT_S = 15.0  # proxies end a stream that is silent for long
_PAUSE = 10  # of a reading's length, at least


@dataclass(frozen=True, slots=True)
class News:
    """What has changed in a page since its watcher saw it. An empty `parts`: nothing; `failed`: nobody knows."""

    id: str
    made: datetime
    parts: Parts
    failed: bool = False


@dataclass(frozen=True, slots=True)
class _Snapshot:
    number: int
    made: datetime
    parts: Parts
    failed: bool = False


class Feed:
    """The parts of one page. `read` makes them; while somebody watches it is called every `every_s` seconds."""

    def __init__(self, read: Read, every_s: float) -> None:
        self._read = read
        self._every_s = every_s
        self._boot = secrets.token_hex(4)  # ids of a process before this one mean other snapshots
        self._newest: _Snapshot | None = None
        self._at = 0.0
        self._reading = asyncio.Lock()
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.watchers = 0
        self._is_closed = False

    async def now(self) -> Parts:
        """The parts for a page that is being made: those at hand where they are fresh. Raises what `read` raises."""
        async with self._reading:
            if self._newest is None or self._newest.failed or time.monotonic() - self._at >= self._every_s:
                await self._renew()
            assert self._newest is not None, "it was just read"  # noqa: S101  for the type checker
            return self._newest.parts

    async def watch(self, last: str = "") -> AsyncGenerator[News | None]:
        """What changes after the snapshot whose id is `last`, until the feed is closed; None is a sign of life."""
        self.watchers += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._poll())
        seen = self._newest if self._newest is not None and last == self._id(self._newest) else None
        try:
            while not self._is_closed:
                woken, newest = self._woken, self._newest
                if newest is not None and newest is not seen:
                    yield self._news(newest, seen)
                    seen = newest
                elif not await _within(HEARTBEAT_S, woken.wait()):
                    yield None
        finally:
            self.watchers -= 1

    def close(self) -> None:
        """End all streams."""
        self._is_closed = True
        self._wake()
        if self._task is not None:
            self._task.cancel()

    async def _poll(self) -> None:
        while self.watchers and not self._is_closed:
            began = time.monotonic()
            async with self._reading:
                try:
                    await self._renew()
                except Exception as error:  # noqa: BLE001  whatever it is, the next reading may succeed
                    self._fail(error)
            await asyncio.sleep(max(self._every_s, _PAUSE * (time.monotonic() - began)))

    async def _renew(self) -> None:
        parts = await self._read()
        self._keep(parts, failed=False)

    def _fail(self, error: Exception) -> None:
        if self._newest is None or not self._newest.failed:
            log.event(Event.CONSOLE_UNREADABLE, **log.of_error(error))
        self._keep(self._newest.parts if self._newest else {}, failed=True)

    def _keep(self, parts: Parts, *, failed: bool) -> None:
        number = self._newest.number + 1 if self._newest else 1
        self._newest = _Snapshot(number, datetime.now(UTC), parts, failed)
        self._at = time.monotonic()
        self._wake()

    def _wake(self) -> None:
        woken, self._woken = self._woken, asyncio.Event()
        woken.set()

    def _news(self, newest: _Snapshot, seen: _Snapshot | None) -> News:
        before = seen.parts if seen else {}
        changed = {name: html for name, html in newest.parts.items() if before.get(name) != html}
        return News(self._id(newest), newest.made, changed, newest.failed)

    def _id(self, snapshot: _Snapshot) -> str:
        return f"{self._boot}-{snapshot.number}"


async def _within(seconds: float, awaited: Awaitable[object]) -> bool:
    """Whether it came within so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await awaited
    except TimeoutError:
        return False
    return True
