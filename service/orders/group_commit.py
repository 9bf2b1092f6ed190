"""Group commit: requests that wait at the same time are stored by one statement, and one fsync.

A batch never waits for company: whatever is there goes, so a quiet system has batches of one, and a busy one pays for
a commit once per batch. One stuck or bad key holds up only itself, and a client that goes away cancels nobody else:
a batch runs in a task of its own.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine, Sequence
from time import monotonic
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation import log
from service.foundation.crash import CrashPoint, crash_point
from service.foundation.deadlines import CLOSE_S, DOOR_BATCH_S
from service.foundation.errors import BadRequest, UnprocessableKey
from service.foundation.events import Event
from service.foundation.postgres import pools
from service.foundation.postgres.db import (
    close,
    create_engine,
    is_unreachable,
    repeat_on_deadlock,
)
from service.foundation.postgres.durability import Durability
from service.foundation.settings import Settings
from service.orders.identity import CHARGE
from service.orders.replies import Waiting, answer, not_confirmed, refusal, reject
from service.orders.store import Candidate, Placed, place
from service.outbox import Waker

# A key's lock is held by somebody else once in a blue moon, and then the common wait may be long. While a batch is
# being split to find the stuck key, every half that has it pays again, and its neighbours with it: so briefly.
SPLIT_LOCK_TIMEOUT_MS = 50
# Requests that may wait, in full batches; beyond, a caller hears 503 at once instead of a late answer.
QUEUE_BATCHES = 40


class GroupCommit:
    """Accepts the orders of one process. Lives in one event loop; `close` it before that ends.

    `durability` and `waker` are for whatever else this process commits. They end with it.
    """

    def __init__(self, settings: Settings) -> None:
        self._engine = _engine(settings, settings.door_writers, settings.door_lock_timeout_ms)
        self.waker = Waker(create_engine(settings, name="wake-up", pool=pools.WAKE_UP))
        self._splitting = _engine(
            settings, pools.SPLITTING, SPLIT_LOCK_TIMEOUT_MS
        )  # connects when first used, so mostly never
        self.durability = Durability(self._engine)
        self._batch_max = settings.door_batch_max
        self._writers = settings.door_writers
        self._waiting: deque[Waiting] = deque()
        self._writing = 0  # not the number of tasks: a task counts as running a little longer than its loop does
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake_is_due = False
        self._away = False
        self._storing: dict[int, float] = {}  # batches in flight, by when each was begun (time.monotonic)

    def oldest_s(self) -> float:
        """For how many seconds the oldest batch in flight has been waiting for PostgreSQL; 0 where none is."""
        return monotonic() - min(self._storing.values()) if self._storing else 0.0

    def submit(self, candidate: Candidate) -> asyncio.Future[Placed]:
        """The future of the order for this candidate, durably stored. It may be awaited, or dropped.

        It raises UnprocessableKey, or NotConfirmed when PostgreSQL is away or its answer was lost: then the order may
        or may not exist, and repeating the request with the same key finds out.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Placed] = loop.create_future()
        if len(self._waiting) >= self._batch_max * QUEUE_BATCHES:
            future.set_exception(not_confirmed("Too many orders are waiting; this one was not stored."))
            return future
        self._waiting.append((candidate, future))
        if not self._wake_is_due and self._writing < self._writers:
            # Whatever else this turn of the event loop has read goes along, at no wait.
            self._wake_is_due = True
            loop.call_soon(self._wake)
        return future

    async def close(self) -> None:
        """Let the statements in flight end, briefly, then drop the connections."""
        if running := [task for task in self._tasks if not task.done()]:
            _, late = await asyncio.wait(running, timeout=CLOSE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await asyncio.gather(self.waker.close(), self.durability.close(), close(self._engine), close(self._splitting))

    def _wake(self) -> None:
        self._wake_is_due = False
        missing = -(-len(self._waiting) // self._batch_max)
        for _ in range(min(missing, self._writers - self._writing)):
            self._writing += 1
            self._start(self._write())

    async def _write(self) -> None:
        """One of at most `door_writers` loops: take what waits, store it, until nothing waits."""
        try:
            while self._waiting:
                size = min(len(self._waiting), self._batch_max)
                await self._write_batch([self._waiting.popleft() for _ in range(size)])
        finally:
            self._writing -= 1

    async def _write_batch(self, batch: Sequence[Waiting]) -> None:
        try:
            self.durability.check()
            crash_point(CrashPoint.API_BEFORE_COMMIT, [CHARGE])
            placed = await self._place(self._engine, batch)
            crash_point(CrashPoint.API_AFTER_COMMIT, [CHARGE])
            self.waker.wake()
            answer(batch, placed)
            self._note_away(away=False)
        except Exception as error:  # noqa: BLE001  whatever it is, every waiter hears of it
            self._failed(batch, error)
        except BaseException:
            reject(batch, not_confirmed("The service is stopping; the order is not confirmed."))
            raise

    def _failed(self, batch: Sequence[Waiting], error: Exception) -> None:
        if is_unreachable(error):
            self._note_away(away=True, error=error)
            reject(
                batch,
                not_confirmed("PostgreSQL is away, or its answer was lost; the order is not confirmed."),
            )
        elif len(batch) == 1:
            reject(batch, refusal(error))
        else:
            log.event(Event.DOOR_BATCH_SPLIT, orders=len(batch), **log.of_error(error))
            self._start(self._split(batch))  # apart from the writers, which go on serving others

    async def _split(self, batch: Sequence[Waiting]) -> None:
        """Store the halves of a batch that failed as a whole, so that one bad item holds up only itself."""
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            try:
                answer(half, await self._place(self._splitting, half))
            except Exception as error:  # noqa: BLE001  as above
                if is_unreachable(error) or len(half) == 1:
                    self._failed(half, error)
                else:
                    await self._split(half)
            except BaseException:
                reject(batch, not_confirmed("The service is stopping; the order is not confirmed."))
                raise

    async def _place(
        self, engine: AsyncEngine, batch: Sequence[Waiting]
    ) -> list[Placed | UnprocessableKey | BadRequest]:
        """Raises TimeoutError where PostgreSQL could not confirm it in time; then it may be stored, or not."""
        candidates = [candidate for candidate, _ in batch]
        self._storing[id(batch)] = monotonic()
        try:
            async with asyncio.timeout(DOOR_BATCH_S):
                return await repeat_on_deadlock(lambda: place(engine, candidates))
        finally:
            del self._storing[id(batch)]

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` as a task, kept until it is done: the event loop itself holds tasks only weakly."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _note_away(self, *, away: bool, error: Exception | None = None) -> None:
        """One line when PostgreSQL goes and one when it is back, however many batches fail between."""
        if away and not self._away and error is not None:
            log.event(Event.DOOR_POSTGRES_AWAY, **log.of_error(error))
        elif self._away and not away:
            log.event(Event.DOOR_POSTGRES_BACK)
        self._away = away


def _engine(settings: Settings, connections: int, lock_timeout_ms: int) -> AsyncEngine:
    # Batches are joined with what they stored, so here only scans are forbidden.
    session = {"lock_timeout": str(lock_timeout_ms), "enable_seqscan": "off"}
    return create_engine(settings, name="door", pool=connections, session=session, statement_s=DOOR_BATCH_S)
