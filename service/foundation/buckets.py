"""Limits that are counted over all processes of the fleet: one call of a Lua script in Redis.

The algorithm is GCRA: a bucket may be emptied at once and then fills at its rate. Where Redis is away nobody is
counted, and the caller decides what that means.
"""

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError

from service.foundation.away import REDIS

_ASK_TIMEOUT_S = 0.5
_LEAVE_ALONE_S = 1.0  # no call to Redis for this long after a failed one, so that few requests wait for it

# A theoretical arrival time per bucket, moved on by `cost` intervals where it is less than `burst` ahead of now. The
# answer is the milliseconds until each bucket admits it; a bucket behind one that refuses is not asked, and answers 0.
_GCRA = """
local now = redis.call('TIME')
now = now[1] * 1000 + now[2] / 1000
local waits = {}
local refused = false
for i, key in ipairs(KEYS) do
  waits[i] = 0
  if not refused then
    local interval, burst, cost = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
    local due = math.max(tonumber(redis.call('GET', key) or 0), now)
    local ahead = due - now
    if ahead >= burst then
      waits[i] = math.ceil(ahead - burst + 1)
      refused = true
    else
      local next = due + cost * interval
      redis.call('SET', key, string.format('%.3f', next), 'PX', math.ceil(next - now) + 1000)
    end
  end
end
return waits
"""


class Bucket(NamedTuple):
    """A limit: one per `interval_ms`, and as many at once as fit into `burst_ms`. `cost` is taken from it."""

    key: str
    interval_ms: float
    burst_ms: float
    cost: int = 1


class Buckets:
    """Asks Redis. `name` is what the log calls it where Redis is away. The keys of one call share a cluster's slot."""

    def __init__(self, redis: Redis, name: str) -> None:
        self._script = redis.register_script(_GCRA)
        self._name = name
        self._leave_alone_until = 0.0

    async def take(self, buckets: Sequence[Bucket]) -> list[int] | None:
        """The milliseconds until each bucket admits it, 0 where it does now; None where Redis is away."""
        if monotonic() < self._leave_alone_until:
            return None
        arguments = [value for bucket in buckets for value in (bucket.interval_ms, bucket.burst_ms, bucket.cost)]
        try:
            async with asyncio.timeout(_ASK_TIMEOUT_S):
                waits: list[int] = await self._script(keys=[bucket.key for bucket in buckets], args=arguments)
        except (RedisError, OSError, TimeoutError) as error:
            REDIS.failed(self._name, error)
            self._leave_alone_until = monotonic() + _LEAVE_ALONE_S
            return None
        REDIS.succeeded(self._name)
        return waits
