"""The rate limit of an API key: one call of a Lua script in Redis per request; no call where the limit is off.

The algorithm is GCRA: a key may send the requests of one second at once and then keeps to its rate. A request above
that is refused unless it repeats an order, because that work is accepted already (R7). Above ten times the rate every
request is refused. Where Redis is away every request is admitted, because orders matter more than limits.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

from redis.asyncio import Redis
from redis.exceptions import RedisError

from service.foundation.away import REDIS
from service.foundation.errors import TooManyRequests

FLOOD = 10  # times the limit: above it replays are refused as well
_ASK_TIMEOUT_S = 0.5
_LEAVE_ALONE_S = 1.0  # no call to Redis for this long after a failed one, so that few requests wait for it

# Two theoretical arrival times per key. Each is moved on where it is at most one second ahead of now: that of the limit
# by `cost` intervals, that of the flood by `weight` intervals of a tenth. The script answers with the milliseconds
# until the limit admits the request, and until the flood does.
_GCRA = """
local now = redis.call('TIME')
now = now[1] * 1000 + now[2] / 1000
local function take(key, interval, cost)
  local due = math.max(tonumber(redis.call('GET', key) or 0), now)
  local ahead = due - now
  if ahead >= 1000 then return math.ceil(ahead - 1000 + 1) end
  redis.call('SET', key, string.format('%.3f', due + cost * interval), 'PX', math.ceil(ahead + cost * interval) + 1000)
  return 0
end
local flood = take(KEYS[2], tonumber(ARGV[1]) / tonumber(ARGV[3]), tonumber(ARGV[4]))
if flood > 0 then return {0, flood} end
return {take(KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])), 0}
"""


class RateLimit:
    """Admits `rps` requests per second and API key, counted over all processes of the fleet."""

    def __init__(self, redis: Redis, rps: int) -> None:
        self._script = redis.register_script(_GCRA)
        self._interval_ms = 1000 / rps
        self._leave_alone_until = 0.0

    async def admit(
        self,
        key_id: str,
        *,
        cost: int = 1,
        weight: int = 1,
        is_replay: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        """Return where the request is admitted. Raises TooManyRequests with the seconds after which it may be repeated.

        `cost` counts its new orders, or 1 for a read. `weight` is its part of a flood, where replays count too.
        """
        wait_ms, flood_ms = await self._ask(key_id, cost, weight)
        if not flood_ms and (not wait_ms or (is_replay is not None and await is_replay())):
            return
        seconds = -(-max(wait_ms, flood_ms) // 1000)
        raise TooManyRequests("This API key sends more requests than its limit allows.", retry_after_s=seconds)

    async def _ask(self, key_id: str, cost: int, weight: int) -> tuple[int, int]:
        if monotonic() < self._leave_alone_until:
            return 0, 0
        keys = [f"eo:door:{{{key_id}}}:{name}" for name in ("limit", "flood")]
        try:
            async with asyncio.timeout(_ASK_TIMEOUT_S):
                wait_ms, flood_ms = await self._script(keys=keys, args=[self._interval_ms, cost, FLOOD, weight])
        except (RedisError, OSError, TimeoutError) as error:
            REDIS.failed("rate limit, which lets everybody through", error)
            self._leave_alone_until = monotonic() + _LEAVE_ALONE_S
            return 0, 0
        REDIS.succeeded("rate limit, which lets everybody through")
        return wait_ms, flood_ms
