"""In front of Stripe: the rate limit the whole fleet shares, and the breaker that stops a fleet which Stripe refuses.

Both live in Redis, in their smallest form, and both get by without it: the bucket falls back to a share per process,
the breaker to this process's own memory. Neither ever fails an order.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from redis.asyncio import Redis
from redis.exceptions import RedisError

from service.log import event
from service.settings import Settings

# A process alone with its memory takes this part of the fleet's rate (R7): right for four workers, safe for fewer.
_SHARE = 4
_LOOK_S = 0.1  # so long after another process opened the breaker, this one may still send
_BREAKER_KEY = "eo:breaker"
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


class Breaker:
    """Open: no charge is sent; deliveries go back to the outbox uncounted. It starts open: nothing is sent to a Stripe
    that has not yet been identified (R27). A probe, a call that charges nobody, closes it.
    """

    def __init__(self, redis: Redis, settings: Settings, probe: Callable[[], Awaitable[str | None]]) -> None:
        self._redis = redis
        self._settings = settings
        self._probe = probe
        self._reason: str | None = "not yet identified"
        self._probe_at = 0.0
        self._refusals: tuple[str, int] = ("", 0)
        self._probing = asyncio.Lock()
        self._look_at = 0.0

    async def open_for_s(self) -> float:
        """0 when charges may be sent; else how many seconds to wait before asking again."""
        if self._reason is None and not await self._fleet_reason():
            return 0.0
        async with self._probing:
            if self._reason is not None and time.monotonic() >= self._probe_at:
                await self._ask()
        return 0.0 if self._reason is None else max(0.1, self._probe_at - time.monotonic())

    async def record(self, refusal: str | None) -> None:
        """Count an answer: `refusal` is Stripe's word about our configuration (401, 403), None any other answer."""
        if refusal is None:
            self._refusals = ("", 0)
            return
        word, count = self._refusals
        self._refusals = (refusal, count + 1 if word == refusal else 1)
        if self._refusals[1] >= self._settings.breaker_after:
            await self.trip(refusal)

    async def trip(self, reason: str) -> None:
        """Open, loudly, here and for the fleet."""
        if self._reason is None:
            event("breaker.open: nothing is sent until Stripe answers a probe", level="error", reason=reason)
        self._reason = reason
        self._refusals = ("", 0)
        self._probe_at = time.monotonic() + self._settings.breaker_s
        try:
            await self._redis.set(_BREAKER_KEY, reason, px=int(self._settings.breaker_s * 1000))
        except (RedisError, OSError):
            return

    async def _fleet_reason(self) -> bool:
        """Whether another process has opened it; asked so often that hardly a message costs a question."""
        now = time.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + _LOOK_S
        try:
            reason = await self._redis.get(_BREAKER_KEY)
        except (RedisError, OSError):
            return False
        if reason is None:
            return False
        self._reason = reason.decode() if isinstance(reason, bytes) else reason
        self._probe_at = time.monotonic() + self._settings.breaker_s
        return True

    async def _ask(self) -> None:
        refusal = await self._probe()
        if refusal is None:
            event("breaker.closed")
            self._reason = None
            return
        event("breaker.stays_open", level="warning", reason=refusal)
        self._reason = refusal
        self._probe_at = time.monotonic() + self._settings.breaker_s
