"""What Stripe showed of a dispute or a warning, and since when that is known. Pure data."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

from service.effects.listing import Listed

T = TypeVar("T", bound=Listed)


@dataclass(frozen=True, slots=True)
class Seen(Generic[T]):
    """An object of Stripe's, and when Stripe was asked for it.

    Disputes bear no version, and may go from any state to any other. What was asked for before the stored state was
    learnt may be older than that state, so it changes nothing; it is asked for again.
    """

    shown: T
    asked_at: float

    @classmethod
    def now(cls, shown: T) -> "Seen[T]":
        """As if Stripe had been asked at this moment."""
        return cls(shown, clock())

    @property
    def id(self) -> str:
        """Stripe's id."""
        return self.shown.id

    @property
    def created(self) -> int:
        """Unix seconds."""
        return self.shown.created

    @property
    def age(self) -> timedelta:
        """How long ago Stripe was asked."""
        return timedelta(seconds=max(0.0, clock() - self.asked_at))


def clock() -> float:
    """Seconds of this machine that also count while it sleeps (R14)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


async def seen(shown: AsyncIterator[T]) -> AsyncIterator[Seen[T]]:
    """A listing, each object with the moment at which the listing began."""
    asked_at = clock()
    async for one in shown:
        yield Seen(one, asked_at)
