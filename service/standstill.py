"""Why nothing is sent to Stripe, for whoever asks: the open breaker's flag in Redis.

The workers raise and lower it; the api shows it. It lowers itself where nobody renews it, and without Redis nobody
knows: each worker then has its own memory.
"""

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

_KEY = "eo:standstill"


class Standstill(msgspec.Struct, frozen=True):
    """The breaker is open. `refused`: Stripe refused a send, so only a send can tell when it is over."""

    reason: str
    refused: bool


async def read(redis: Redis) -> Standstill | None:
    """Why nothing is sent, or None where sending goes on. Raises RedisError or OSError."""
    found = await redis.get(_KEY)
    try:
        return None if found is None else msgspec.json.decode(found, type=Standstill)
    except msgspec.DecodeError:
        return None


async def announce(redis: Redis, standstill: Standstill, *, for_s: float) -> None:
    """Raise the flag, or renew it. Without Redis: nothing."""
    try:
        await redis.set(_KEY, msgspec.json.encode(standstill), px=int(for_s * 1000))
    except (RedisError, OSError):
        return


async def renew(redis: Redis, standstill: Standstill, *, for_s: float) -> None:
    """Keep the flag up where it is up: who lowered it knows better. Without Redis: nothing."""
    try:
        await redis.set(_KEY, msgspec.json.encode(standstill), px=int(for_s * 1000), xx=True)
    except (RedisError, OSError):
        return


async def withdraw(redis: Redis) -> None:
    """Lower the flag. Without Redis: nothing."""
    try:
        await redis.delete(_KEY)
    except (RedisError, OSError):
        return
