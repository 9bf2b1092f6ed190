"""Keys that this process has not seen: looked up many at a time, by one statement at a time, and throttled where wrong.

Whoever guesses keys costs the database one connection and one statement at a time, however many guesses come, and is
answered 429 after a burst. A right key is found all the same, also from the address the guesses come from: what is
throttled is the answer to a wrong one.
"""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Generic, TypeVar

from service.foundation import log
from service.foundation.events import Event

T = TypeVar("T")

BURST = 50  # wrong keys that an address may send at once: a deployment with an old key, not yet a guesser
PER_SECOND = 1.0
_LOOKED_UP_AT_ONCE = 256
_ADDRESSES_MAX = 10_000
_SAID_EVERY_S = 60.0


class LookUps(Generic[T]):
    """Answers by `find`, which is told many keys and returns those it knows; never two statements at once."""

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
        return await asyncio.shield(future)  # others may wait for the same

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
                        future.exception()  # whoever waited may be gone
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
    wrong: int = 0  # since it was last said
    said_at: float = float("-inf")


class WrongKeys:
    """Counts wrong keys per address, says so in the log, and tells from when on an address hears 429."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._addresses: dict[str, _Address] = {}

    def note(self, host: str | None) -> int:
        """Count one. Returns the seconds after which the address may try again; 0 where it is within its burst."""
        name, now = address_of(host), self._clock()
        address = self._addresses.pop(name, None) or _Address(float(BURST), now)
        if len(self._addresses) >= _ADDRESSES_MAX:
            del self._addresses[next(iter(self._addresses))]  # the one that was heard of longest ago
        self._addresses[name] = address
        address.left = min(float(BURST), address.left + (now - address.at) * PER_SECOND)
        address.at = now
        address.wrong += 1
        if now - address.said_at >= _SAID_EVERY_S:
            log.event(Event.AUTH_WRONG_KEY, address=name, count=address.wrong)
            address.wrong, address.said_at = 0, now
        if address.left < 1:
            return max(1, round((1 - address.left) / PER_SECOND))
        address.left -= 1
        return 0


def address_of(host: str | None) -> str:
    """The address that counts: of IPv6 the network, because one machine has all of its addresses."""
    try:
        parsed = ipaddress.ip_address(host or "")
    except ValueError:
        return "local"
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else str(parsed)
