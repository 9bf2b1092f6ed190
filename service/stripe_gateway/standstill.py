"""Why nothing is sent to Stripe, or nothing comes back from it, for whoever asks: two flags in Redis.

The workers raise and lower them; the api shows them. They lower themselves where nobody renews them, and without Redis
nobody knows: each worker then has its own memory.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from service.foundation import log
from service.foundation.events import Event

_KEY = "eo:standstill"
_UNANSWERED_KEY = "eo:unanswered"
_UNANSWERED_SHOWN_S = 10  # five beats
_MISSED_FOR_S = 15.0  # a call or two may be lost; who is not answered for so long is cut off
_EVIDENCE_S = 300.0  # what was lost longer ago, with nothing asked since, tells nothing of now


class Standstill(msgspec.Struct, frozen=True):
    """The breaker is open. `refused`: Stripe refused a send, so only a send can tell when it is over."""

    reason: str
    refused: bool


@dataclass(slots=True)
class _Missed:
    since: float
    last: float
    why: str
    times: int = 1


class Answers:
    """Whether Stripe answers this process. By method: a Stripe that shows its lists may still take no payment."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._missed: dict[str, _Missed] = {}
        self._said = False

    def heard(self, method: str) -> None:
        """An answer of Stripe's came."""
        self._missed.pop(method, None)

    def missed(self, method: str, why: str) -> None:
        """None came, or one that settles nothing: Stripe's own failure, a proxy's page, a call too many."""
        now = self._clock()
        known = self._missed.get(method)
        if known is None or now - known.last > _EVIDENCE_S:
            self._missed[method] = _Missed(now, now, why)
        else:
            known.last, known.why, known.times = now, why, known.times + 1

    def why_nothing(self) -> str | None:
        """What to tell while nothing comes back. To be asked regularly: the log is told when it begins and ends."""
        now = self._clock()
        lasting = [
            (method, missed)
            for method, missed in self._missed.items()
            if missed.times > 1 and now - missed.since >= _MISSED_FOR_S and now - missed.last <= _EVIDENCE_S
        ]
        if not lasting:
            if self._said:
                log.event(Event.STRIPE_ANSWERS_AGAIN)
            self._said = False
            return None
        method, worst = min(lasting, key=lambda one: one[1].since)
        if not self._said:
            log.event(Event.STRIPE_UNANSWERED, method=method, why=worst.why, times=worst.times)
        self._said = True
        return f"Stripe has answered no {method.upper()} for {now - worst.since:.0f} s ({worst.why})"


ANSWERS = Answers()  # of this process


async def tell_unanswered(redis: Redis, why: str) -> None:
    """Show for some seconds that Stripe does not answer. Raises RedisError or OSError."""
    await redis.set(_UNANSWERED_KEY, msgspec.json.encode(why), ex=_UNANSWERED_SHOWN_S)


async def read_unanswered(redis: Redis) -> str | None:
    """What some worker told last; None where Stripe answers. Raises RedisError or OSError."""
    found = await redis.get(_UNANSWERED_KEY)
    try:
        return None if found is None else msgspec.json.decode(found, type=str)
    except msgspec.DecodeError:
        return None


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
