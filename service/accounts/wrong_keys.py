"""Look-ups of keys that this process has not seen before, and the throttle of addresses that send wrong keys.

Many keys are looked up by one statement, and one statement runs at a time, so guesses cost the database one connection.
After a burst of wrong keys an address is answered 429, whichever process it sends them to: they are counted in Redis,
and where Redis is away in each process. A right key from the same address is still served, because only the answer to
a wrong key is throttled.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from time import monotonic
from typing import Generic, TypeVar

from redis.asyncio import Redis

from service.foundation import log
from service.foundation.addresses.networks import address
from service.foundation.buckets import Bucket, Buckets
from service.foundation.events import Event

T = TypeVar("T")

BURST = 50  # wrong keys that an address may send at once, as a deployment with an old key does
PER_SECOND = 1.0  # wrong keys that an address may send after its burst
_LOOKED_UP_AT_ONCE = 256  # keys of one statement
_ADDRESSES_MAX = 10_000
_SAID_EVERY_S = 60.0  # at most one line of the log per address in this time


class LookUps(Generic[T]):
    """Looks keys up by `find`, which takes many keys and returns those it knows. It calls `find` once at a time."""

    def __init__(self, find: Callable[[list[bytes]], Awaitable[Mapping[bytes, T]]]) -> None:
        self._find = find
        self._waiting: dict[bytes, asyncio.Future[T | None]] = {}
        self._task: asyncio.Task[None] | None = None

    async def get(self, key: bytes) -> T | None:
        """What `find` knows of `key`, or None. Raises what `find` raises."""
        future = self._waiting.get(key)
        if future is None:
            future = self._waiting[key] = asyncio.get_running_loop().create_future()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._all())
        return await asyncio.shield(future)  # a waiter that is cancelled must not cancel the others

    async def _all(self) -> None:
        while self._waiting:
            keys = list(self._waiting)[:_LOOKED_UP_AT_ONCE]
            futures = [self._waiting.pop(key) for key in keys]
            try:
                found = await self._find(keys)
            except BaseException as error:
                for future in futures:
                    if not future.cancelled():
                        future.set_exception(error if isinstance(error, Exception) else ConnectionError())
                        future.exception()  # mark it as seen: its waiter may be gone
                if not isinstance(error, Exception):
                    raise
                continue
            for key, future in zip(keys, futures, strict=True):
                if not future.cancelled():
                    future.set_result(found.get(key))


@dataclass(slots=True)
class _Address:
    left: float
    at: float
    wrong: int = 0  # since the last line of the log
    said_at: float = float("-inf")


class WrongKeys:
    """Counts wrong keys per address, logs them, and says when an address is to be answered 429."""

    def __init__(self, redis: Redis | None = None, clock: Callable[[], float] = monotonic) -> None:
        self._fleet = None if redis is None else Buckets(redis, "count of wrong keys, which each process keeps alone")
        self._clock = clock
        self._addresses: dict[str, _Address] = {}

    async def note(self, host: str | None) -> int:
        """Count one. Returns the seconds after which the address may try again, or 0 within its burst.

        This process alone has seen at most what the fleet has, so where it refuses already, Redis is not asked.
        """
        name = address_of(host)
        wait_s = self._note_here(name)
        if wait_s or self._fleet is None:
            return wait_s
        interval_ms = 1000 / PER_SECOND
        bucket = Bucket(f"eo:wrong_keys:{{{name}}}", interval_ms, BURST * interval_ms)
        (wait_ms,) = await self._fleet.take([bucket]) or (0,)
        return -(-wait_ms // 1000)

    def _note_here(self, name: str) -> int:
        now = self._clock()
        seen = self._addresses.pop(name, None) or _Address(float(BURST), now)
        if len(self._addresses) >= _ADDRESSES_MAX:
            del self._addresses[next(iter(self._addresses))]  # the address whose last wrong key is the oldest
        self._addresses[name] = seen
        seen.left = min(float(BURST), seen.left + (now - seen.at) * PER_SECOND)
        seen.at = now
        seen.wrong += 1
        if now - seen.said_at >= _SAID_EVERY_S:
            log.event(Event.AUTH_WRONG_KEY, address=name, count=seen.wrong)
            seen.wrong, seen.said_at = 0, now
        if seen.left < 1:
            return max(1, round((1 - seen.left) / PER_SECOND))
        seen.left -= 1
        return 0


def address_of(host: str | None) -> str:
    """The address that is counted. For IPv6 it is the /64 network, all addresses of which one machine may have."""
    parsed = address(host or "")
    if parsed is None:
        return "local"
    return str(ip_network((parsed, 64), strict=False)) if parsed.version == 6 else str(parsed)
