"""Sends notices to producers, beside the charges and apart from them: own thread, event loop and connections.

A receiver that hangs, drips or floods costs this loop some memory and a place in its own lane. What waits stands in
PostgreSQL and is claimed from there; no message broker is between, because nothing here needs to be quick.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation import log
from service.foundation.away import POSTGRES
from service.foundation.crash import CrashPoint, crash_point
from service.foundation.errors import BadRequest
from service.foundation.events import Event
from service.foundation.postgres import pools
from service.foundation.postgres.db import BY_KEY, close, create_engine, is_unreachable
from service.foundation.settings import Settings
from service.notices.addresses import receiver_of
from service.notices.lanes import GONE, Sendable, claim, forget, record, sweep
from service.notices.posting import Answer, Postman
from service.notices.signing import secret_of, signed

IN_HAND_MAX = 256  # of one process: a socket and some kilobytes each
_IDLE_S = 0.25
_SWEEP_S = 10.0
_FORGET_S = 60.0
_AGAIN_S = 2.0  # between attempts while PostgreSQL is away
_GRACE_S = 1.0  # a stop waits so long for answers that are about to come
_END_S = 4.0


class Notices:
    """The notices of one process. Lives in one event loop."""

    def __init__(self, engine: AsyncEngine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._keep = timedelta(days=settings.notice_keep_days)
        self._postman = Postman(may_be_private=settings.notice_private)
        self._sending: set[asyncio.Task[None]] = set()
        self._answered: list[tuple[Sendable, Answer]] = []
        self._has_answered = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop` is set. What is in hand then is due again half a minute later."""
        works = ((self._begin, _IDLE_S), (self._store, 0.0), (self._sweep, _SWEEP_S), (self._forget, _FORGET_S))
        loops = [asyncio.create_task(_repeat(work, idle_s, stop)) for work, idle_s in works]
        await stop.wait()
        if self._sending:
            await asyncio.wait(self._sending, timeout=_GRACE_S)
        for task in (*loops, *self._sending):
            task.cancel()
        await asyncio.gather(*loops, *self._sending, return_exceptions=True)
        with suppress(Exception):  # then they are sent again
            await record(self._engine, self._answered)

    async def once(self) -> int:
        """Send what is due and store what comes of it; returns how many notices that were."""
        await self._begin()
        sent = len(self._sending)
        await asyncio.gather(*self._sending)
        if sent:
            await self._store()
        return sent

    async def _begin(self) -> int:
        room = IN_HAND_MAX - len(self._sending) - len(self._answered)
        claimed = await claim(self._engine, room) if room > 0 else []
        if claimed:
            crash_point(CrashPoint.NOTICE_AFTER_CLAIM, [notice.id for notice in claimed])
        for notice in claimed:
            task = asyncio.create_task(self._send(notice))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        return len(claimed)

    async def _send(self, notice: Sendable) -> None:
        answer = await self._post(notice)
        crash_point(CrashPoint.NOTICE_AFTER_SEND, [notice.id])
        if answer.status == GONE:
            log.event(Event.NOTICE_ENDPOINT_GONE, endpoint=str(notice.endpoint_id))
        self._answered.append((notice, answer))
        self._has_answered.set()

    async def _post(self, notice: Sendable) -> Answer:
        try:
            receiver = receiver_of(notice.url, may_be_http=self._settings.notice_http)
        except BadRequest:
            return Answer(None, "URL refused")
        numbers = range(notice.nth, notice.nth - notice.overlapping - 1, -1)
        secrets = [secret_of(notice.hmac_key, notice.endpoint_id, nth) for nth in numbers]
        return await self._postman.post(
            receiver, signed(notice.webhook_id, notice.at, notice.body, secrets), notice.body
        )

    async def _store(self) -> int:
        """Store the answers that have come; what cannot be stored now is kept, and takes the place of further ones."""
        await self._has_answered.wait()
        batch = self._answered[:]
        await record(self._engine, batch)
        del self._answered[: len(batch)]
        if not self._answered:
            self._has_answered.clear()
        return len(batch)

    async def _sweep(self) -> int:
        if ended := await sweep(self._engine):
            log.event(Event.NOTICES_GIVEN_UP, count=ended)
        return ended

    async def _forget(self) -> int:
        return await forget(self._engine, self._keep)


async def _repeat(once: Callable[[], Awaitable[int]], idle_s: float, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            pause_s = 0.0 if await once() else idle_s
            POSTGRES.succeeded("notices")
        except Exception as error:  # noqa: BLE001  it outlives whatever is away
            pause_s = _AGAIN_S
            if is_unreachable(error):
                POSTGRES.failed("notices", error)
            else:
                log.event(Event.NOTICES_FAILED, **log.of_error(error))
        if pause_s:
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause_s)


class NoticeThread:
    """Sends the notices of a worker process from its boot to its shutdown."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._thread = threading.Thread(target=self._main, name="notices", daemon=True)
        self._loop = asyncio.SelectorEventLoop()
        self._stop = asyncio.Event()

    def start(self) -> None:
        """Start; returns at once."""
        self._thread.start()

    def end(self) -> None:
        """Stop, and wait until what was answered is stored."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_END_S)

    def _main(self) -> None:
        self._loop.run_until_complete(self._run())
        self._loop.close()

    async def _run(self) -> None:
        engine = create_engine(self._settings, name="notices", pool=pools.NOTICES, session=BY_KEY)
        try:
            await Notices(engine, self._settings).run(self._stop)
        finally:
            await close(engine)
