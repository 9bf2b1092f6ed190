"""How fast Stripe may be asked, and how often again: the rate that the whole fleet shares, and repeats of what is read.

The rate is a token bucket in Redis, in its smallest form; without Redis it falls back to a share per process (R7).
What is read may be asked for again at any time, because reading changes nothing: within bounds, never sooner than
Stripe's Retry-After. What charges is repeated by the outbox alone.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from service.foundation import log
from service.foundation.events import Event
from service.foundation.redis_clients import async_client
from service.stripe_gateway.objects import IncompleteListing

T = TypeVar("T")

# A process alone with its memory takes this part of the fleet's rate (R7): right for four workers, safe for fewer.
_SHARE = 4
_BUCKET_KEY = "eo:stripe:{endpoint}"

# Tokens are refilled by Redis's own clock. Takes what there is, up to the wanted number; may be given back (n < 0).
_TAKE = """
local rate, want = tonumber(ARGV[1]), tonumber(ARGV[2])
local t = redis.call('TIME')
local now = t[1] + t[2] / 1e6
local saved = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = math.min(rate, (tonumber(saved[1]) or rate) + (now - (tonumber(saved[2]) or now)) * rate)
local got = want < 0 and want or math.min(want, math.floor(tokens))
redis.call('HSET', KEYS[1], 'tokens', math.min(rate, tokens - got), 'at', now)
redis.call('PEXPIRE', KEYS[1], 5000)
return got
"""


class Bucket:
    """Calls per second to one endpoint of Stripe, for all workers together (one second's worth may burst)."""

    def __init__(self, redis: Redis, endpoint: str, rate: int) -> None:
        self._take = redis.register_script(_TAKE)
        self._key = _BUCKET_KEY.format(endpoint=endpoint)
        self._rate = rate
        self._local = 0.0
        self._local_at = time.monotonic()

    async def take(self, wanted: int) -> int:
        """Wait until at least one call may be made; returns how many of the `wanted` may be."""
        if not self._rate:
            return wanted
        while (got := await self._try(wanted)) < 1:  # noqa: ASYNC110  other processes give tokens back
            await asyncio.sleep(1 / self._rate)
        return got

    async def give_back(self, unused: int) -> None:
        """Return tokens of calls that turned out not to be needed."""
        if self._rate and unused > 0:
            await self._try(-unused)

    async def _try(self, wanted: int) -> int:
        try:
            return int(await self._take(keys=[self._key], args=[self._rate, wanted]))
        except (RedisError, OSError):
            return self._try_alone(wanted)

    def _try_alone(self, wanted: int) -> int:
        rate = max(1.0, self._rate / _SHARE)
        now = time.monotonic()
        self._local = min(rate, self._local + (now - self._local_at) * rate)
        self._local_at = now
        got = max(wanted, 0) and min(wanted, int(self._local))
        self._local -= got
        return got


class Pace:
    """Waits before each call that reads, so that all processes together stay below `rate` per second and endpoint."""

    def __init__(self, redis_url: str, rate: int) -> None:
        self._rate = rate if redis_url else 0
        self._redis = async_client(redis_url) if self._rate else None
        self._buckets: dict[str, Bucket] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._redis is not None:
            await self._redis.aclose()

    async def turn(self, endpoint: str) -> None:
        """Return when one call may be made."""
        if self._redis is None:
            return
        bucket = self._buckets.get(endpoint)
        if bucket is None:
            bucket = self._buckets[endpoint] = Bucket(self._redis, endpoint, self._rate)
        await bucket.take(1)


def _log(words: str) -> None:
    log.event(Event.STRIPE_ASKED_AGAIN, reason=words)


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to wait before each repeat, and the longest Retry-After that is waited for instead.

    say: is told of each repeat.
    """

    pauses_s: tuple[float, ...]
    longest_s: float
    say: Callable[[str], None] = _log


WORKERS = Patience((0.2, 0.8), 5.0)  # they hold leases, and look again by themselves
COMMANDS = Patience((0.5, 1.0, 2.0, 4.0, 8.0), 60.0)  # a person waits, and a day's listing is worth a minute


class AskAgain(IncompleteListing):
    """Stripe could not be read this time: a rate limit, an outage, a lost or foreign answer."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s or 0.0


def may_pass(http_status: int | None) -> bool:
    """Whether the same question may be answered later: a lost answer, a conflict, a rate limit, an outage."""
    return http_status is None or http_status in (200, 409, 424, 429) or http_status >= 500


async def patiently(ask: Callable[[], Awaitable[T]], patience: Patience) -> T:
    """`await ask()`, repeated within bounds where it raises AskAgain; the last AskAgain is raised."""
    for pause in patience.pauses_s:
        try:
            return await ask()
        except AskAgain as error:
            wait = max(pause * random.uniform(0.75, 1.25), error.retry_after_s)  # noqa: S311  a spread, no secret
            if wait > max(patience.longest_s, pause):
                raise
            patience.say(f"{error}; asked again in {wait:.1f} s")
            await asyncio.sleep(wait)
    return await ask()
