"""The rate limit of an API key: one question to Redis per request; none for a key without a limit.

A key may send the requests of one second at once and then keeps to its rate. A request above that is refused unless it
repeats an order, because that work is accepted already (R7). Above ten times the rate every request is refused. Where
Redis is away every request is admitted, because orders matter more than limits.
"""

from collections.abc import Awaitable, Callable

from redis.asyncio import Redis

from service.accounts import Caller
from service.foundation.buckets import Bucket, Buckets
from service.foundation.errors import TooManyRequests

FLOOD = 10  # times the limit: above it replays are refused as well


class RateLimit:
    """Admits so many requests per second and API key as the key says, or `rps`, counted over all processes."""

    def __init__(self, redis: Redis, rps: int) -> None:
        self._buckets = Buckets(redis, "rate limit, which lets everybody through")
        self._rps = rps

    def counts(self, caller: Caller) -> bool:
        """Whether there is a limit for this caller."""
        return bool(caller.rps or self._rps)

    async def admit(
        self,
        caller: Caller,
        *,
        cost: int = 1,
        weight: int = 1,
        is_replay: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        """Return where the request is admitted. Raises TooManyRequests with the seconds after which it may be repeated.

        `cost` counts its new orders, or 1 for a read. `weight` is its part of a flood, where replays count too.
        """
        rps = caller.rps or self._rps
        if not rps:
            return
        door = f"eo:door:{{{caller.key_id}}}"
        interval_ms = 1000 / rps
        limits = [
            Bucket(f"{door}:flood", interval_ms / FLOOD, 1000, weight),
            Bucket(f"{door}:limit", interval_ms, 1000, cost),
        ]
        flood_ms, wait_ms = await self._buckets.take(limits) or (0, 0)
        if not flood_ms and (not wait_ms or (is_replay is not None and await is_replay())):
            return
        seconds = -(-max(wait_ms, flood_ms) // 1000)
        raise TooManyRequests("This API key sends more requests than its limit allows.", retry_after_s=seconds)
