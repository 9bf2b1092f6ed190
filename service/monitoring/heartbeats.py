"""Heartbeats of the api, relay and worker processes: one sorted set in Redis says when each of them last moved.

A member of the set names a process. Its score is the moment, by Redis's clock, when the work of this process last
moved: a relay that cannot read the outbox, or a worker whose consumer is stuck, beats and its score stays. Heartbeats
are in Redis because they are worth nothing after a minute, and because nothing moves while Redis is away.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from service.foundation.away import REDIS
from service.foundation.redis_clients import async_client
from service.stripe_gateway import standstill

BEAT_S = 2.0
SILENT_S = 10.0  # five beats: a process that has not moved for this long does no work
_FORGET_S = 600  # a process that was killed is shown as silent for ten minutes
_TIMEOUT_S = 2.0
_KEY = "eo:beats"

# Only Redis's clock is used, because the clocks of the machines may differ.
_BEAT = """
local t = redis.call('TIME')
local now = t[1] + t[2] / 1e6
redis.call('ZADD', KEYS[1], now - ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""

_READ = """
local t = redis.call('TIME')
return {tonumber(t[1]), tonumber(t[2]), redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')}
"""


class Process(msgspec.Struct, frozen=True, array_like=True):
    """A process that beats. `started_at` is in Unix seconds by the clock of its machine."""

    part: str
    host: str
    pid: int
    started_at: int


class Beat(msgspec.Struct, frozen=True):
    """A process, and the seconds since it last moved."""

    process: Process
    age_s: float

    @property
    def is_alive(self) -> bool:
        """Whether it moved lately enough to count as working."""
        return self.age_s <= SILENT_S


class Heart:
    """Beats for this process while `run` runs. `last_moved` returns when its work last moved (time.monotonic).

    `answers` knows whether Stripe answers this process; a process that does not call Stripe for payments has none.
    """

    def __init__(
        self,
        redis: Redis,
        part: str,
        last_moved: Callable[[], float] = time.monotonic,
        answers: standstill.Answers | None = None,
    ) -> None:
        self._redis = redis
        self._script = redis.register_script(_BEAT)
        self._last_moved = last_moved
        self._answers = answers
        process = Process(part, socket.gethostname(), os.getpid(), int(time.time()))
        self._member = msgspec.json.encode(process)

    @classmethod
    def of(
        cls,
        redis_url: str,
        part: str,
        last_moved: Callable[[], float] = time.monotonic,
        answers: standstill.Answers | None = None,
    ) -> Self:
        """A heart with a connection of its own, so that no other use of Redis delays it."""
        return cls(async_client(redis_url), part, last_moved, answers)

    async def beat(self) -> None:
        """Beat once. Raises RedisError or OSError."""
        still_s = max(0.0, time.monotonic() - self._last_moved())
        await self._script(keys=[_KEY], args=[self._member, f"{still_s:.3f}", _FORGET_S])
        if self._answers is not None and (why := self._answers.why_nothing()) is not None:
            await standstill.tell_unanswered(self._redis, why)

    async def run(self, stop: asyncio.Event) -> None:
        """Beat until `stop` is set."""
        while not stop.is_set():
            try:
                async with asyncio.timeout(_TIMEOUT_S):
                    await self.beat()
                REDIS.succeeded("heartbeat")
            except (RedisError, OSError, TimeoutError) as error:
                REDIS.failed("heartbeat", error)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), BEAT_S)

    async def end(self) -> None:
        """Remove this process, which ends on purpose, from the set."""
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await self._redis.zrem(_KEY, self._member)
        except (RedisError, OSError, TimeoutError):
            return
        finally:
            await self._redis.aclose()


async def read(redis: Redis) -> list[Beat]:
    """All processes that moved within ten minutes, the latest start first. Raises RedisError or OSError."""
    seconds, microseconds, found = await redis.register_script(_READ)(keys=[_KEY])
    now = seconds + microseconds / 1e6
    pairs = zip(found[::2], found[1::2], strict=True)
    beats = [Beat(process, max(0.0, now - float(score))) for member, score in pairs if (process := _decoded(member))]
    return sorted(beats, key=lambda beat: (beat.process.part, -beat.process.started_at, beat.process.pid))


def _decoded(member: bytes) -> Process | None:
    try:
        return msgspec.json.decode(member, type=Process)
    except msgspec.DecodeError:
        return None  # written by another version
