"""Probes of PostgreSQL and of the broker: each does the work that an order needs, on a connection of its own.

PostgreSQL is written to, with a COMMIT, because a read-only server and a missing synchronous standby show nowhere else.
The broker is written to as publishing does, and the keys of the real queue are asked for their type. A probe that gets
no answer is left behind and not waited for. At most four are left behind at a time, so that frequent probes cannot use
up the servers' connections.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.broker_keys import CONSUMERS_KEY, MESSAGES_KEY, NAMESPACE, QUEUE_KEY
from service.foundation.deadlines import CLOSE_S, PROBE_S
from service.foundation.errors import EffectivelyOnceError
from service.foundation.postgres import migrate
from service.foundation.postgres.db import close, create_engine
from service.foundation.postgres.pools import READINESS
from service.foundation.postgres.sql import Statement, connect
from service.foundation.redis_clients import async_client
from service.foundation.settings import Settings
from service.foundation.wording import in_words, kind_in_words
from service.monitoring import heartbeats
from service.monitoring.heartbeats import Beat
from service.outbox import backlog
from service.recovery import is_verified
from service.stripe_gateway import standstill
from service.stripe_gateway.standstill import Standstill
from service.sweeps import Late, late

T = TypeVar("T")

PATIENCE_S = PROBE_S
COUNTED_MAX = 10_000  # rows that are counted; a longer backlog is called longer than that
_LEFT_BEHIND_MAX = 4
_SESSION: Mapping[str, str] = {"lock_timeout": "1s", "statement_timeout": "2s"}


class OutboxState(msgspec.Struct, frozen=True):
    """The outbox in four numbers. `due_s` is for how long the row that is due longest has been due; 0 where none is."""

    waiting: int
    parked: int
    due_s: float
    oldest_s: float


@dataclass(frozen=True, slots=True)
class BrokerState:
    """What Redis knows: who moves, why nothing is sent to Stripe, and why Stripe does not answer."""

    beats: list[Beat]
    standstill: Standstill | None
    unanswered: str | None = None


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """The outbox; whether orders may be sent in this life of the database (R31); lists that were not swept for long."""

    outbox: OutboxState
    is_verified: bool
    late: list[Late]


class Bounded:
    """Runs work for a bounded time, also where the work does not end when it is cancelled."""

    def __init__(self) -> None:
        self._left_behind: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, T], within_s: float) -> T:
        """The result of `work`. Raises TimeoutError, and does so at once while four earlier works have not ended."""
        if len(self._left_behind) >= _LEFT_BEHIND_MAX:
            work.close()
            raise TimeoutError
        task = asyncio.ensure_future(work)
        try:
            done, _ = await asyncio.wait({task}, timeout=within_s)
        finally:
            if not task.done():
                self._left_behind.add(task)
                task.add_done_callback(self._came_back)
                task.cancel()
        if not done:
            raise TimeoutError
        return task.result()

    def _came_back(self, task: asyncio.Task[Any]) -> None:
        self._left_behind.discard(task)
        if not task.cancelled():
            task.exception()  # mark it as seen


class DatabaseProbe:
    """Does in PostgreSQL what an order needs."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engine: AsyncEngine | None = self._make()
        self._bounded = Bounded()

    async def look(self) -> DatabaseState:
        """What the database says of the work that waits.

        Raises the error that keeps an order from being stored, or TimeoutError where there is no answer in time.
        """
        engine = self._engine = self._engine or self._make()
        try:
            return await self._bounded.run(_look(engine, self._settings), PATIENCE_S)
        except BaseException:
            # Also after an answer such as 25006, because its server is no primary any more.
            await self.close()
            raise

    def _make(self) -> AsyncEngine:
        return create_engine(self._settings, name="health", pool=READINESS, session=_SESSION)

    async def close(self) -> None:
        """Close the connection, without waiting long for the server."""
        engine, self._engine = self._engine, None
        if engine is not None:
            with suppress(TimeoutError):
                await self._bounded.run(close(engine), CLOSE_S)


class BrokerProbe:
    """Does in Redis what publishing an order needs."""

    def __init__(self, redis_url: str) -> None:
        self._redis = async_client(redis_url)

    async def look(self) -> BrokerState:
        """What Redis knows. Raises RedisError, OSError or TimeoutError where nothing can be published."""
        async with asyncio.timeout(PATIENCE_S):
            await publish(self._redis)
            return await broker_state(self._redis)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


async def publish(redis: Redis) -> None:
    """Do what publishing an order does, on keys of the probe. Raises RedisError or OSError."""
    await redis.register_script(_PUBLISH)(keys=_KEYS, args=[])


# It writes the one row of `instance` as it is, which makes a WAL record and a commit that a synchronous standby must
# confirm. It is a transaction of its own, so that a process that stops in the middle of a look holds no row.
_WRITE = Statement("UPDATE instance SET uuid = uuid WHERE id = 1")


async def store(engine: AsyncEngine) -> None:
    """A write with its COMMIT, as an order needs it. Raises whatever keeps it from being stored."""
    async with connect(engine) as connection:
        await connection.run(_WRITE)


def why_not_published(error: BaseException) -> str:
    """What keeps orders from being published, in words without a full stop."""
    return f"Nothing can be published through Redis: {in_words(error)}"


def why_not_stored_in_public(error: BaseException) -> str:
    """The kind of what keeps orders from being stored. The full words may name a host, a user or a database."""
    if isinstance(error, (TimeoutError, migrate.WrongSchema)):
        return why_not_stored(error)
    kind = kind_in_words(error)
    said = f"PostgreSQL does not store orders: {kind}." if kind else "PostgreSQL does not store orders."
    return f"{said} The API's log and `eo doctor` tell more."


def why_not_stored(error: BaseException) -> str:
    """What keeps orders from being stored, in whole sentences."""
    if isinstance(error, EffectivelyOnceError):
        return str(error)
    if isinstance(error, TimeoutError):
        return (
            f"PostgreSQL has not confirmed a write within {PATIENCE_S:.0f} s. Look at its log, its disk and its"
            " synchronous standby, and at the network between."
        )
    return f"PostgreSQL does not store orders: {in_words(error)}."


async def broker_state(redis: Redis) -> BrokerState:
    """What Redis knows of the fleet. Raises RedisError or OSError."""
    return BrokerState(
        await heartbeats.read(redis), await standstill.read(redis), await standstill.read_unanswered(redis)
    )


async def outbox_state(engine: AsyncEngine) -> OutboxState:
    """How much waits in the outbox, and for how long."""
    row = await backlog(engine, COUNTED_MAX + 1)
    return OutboxState(row.waiting, row.parked, max(0.0, row.due_s), max(0.0, row.oldest_s))


async def _look(engine: AsyncEngine, settings: Settings) -> DatabaseState:
    await migrate.check(engine)
    await store(engine)
    return DatabaseState(await outbox_state(engine), await is_verified(engine), await late(engine, settings.sweep_s))


# The commands of Dramatiq's own script on keys of the probe; the real keys are only asked for their type.
_KEYS = [QUEUE_KEY, MESSAGES_KEY, CONSUMERS_KEY, *(f"{NAMESPACE}:probe.{kind}" for kind in ("msgs", "ids", "beats"))]
_PUBLISH = """
redis.call('LLEN', KEYS[1])
redis.call('HLEN', KEYS[2])
redis.call('ZCARD', KEYS[3])
redis.call('HSET', KEYS[4], 'id', 'message')
redis.call('RPUSH', KEYS[5], 'id')
redis.call('ZADD', KEYS[6], 1, 'id')
redis.call('DEL', KEYS[4], KEYS[5], KEYS[6])
return 1
"""
