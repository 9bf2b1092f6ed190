"""Events that Stripe could not deliver, fetched from its list of the last 30 days and stored as if they had come."""

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncEngine

from service.inbox.reading import of_snapshot
from service.inbox.storing import store
from service.stripe_gateway.events import Snapshot

_TOGETHER = 100
_DAY_S = 86_400


class Undelivered(Protocol):
    """What is needed of the Stripe gateway."""

    def list_undelivered_events(self, created_gte: int) -> AsyncIterator[Snapshot]:
        """Those created then or later that were not acknowledged, newest first. Raises IncompleteListing."""
        ...


@dataclass(slots=True)
class Synced:
    """How many events Stripe listed, and how many of them were new here."""

    listed: int = 0
    stored: int = 0

    def as_dict(self) -> dict[str, int]:
        """For JSON."""
        return asdict(self)


async def sync(
    engine: AsyncEngine, gateway: Undelivered, *, days: int, say: Callable[[Synced], None] = lambda _: None
) -> Synced:
    """Store what Stripe did not deliver in so many days. Raises IncompleteListing; what was read is stored."""
    found, page = Synced(), list[Snapshot]()

    async def keep() -> None:
        new = await store(engine, [of_snapshot(event) for event in page], "sync")
        found.listed += len(page)
        found.stored += len(new)
        page.clear()
        say(found)

    try:
        async for event in gateway.list_undelivered_events(int(time.time()) - days * _DAY_S):
            page.append(event)
            if len(page) == _TOGETHER:
                await keep()
    finally:
        if page:
            await keep()
    return found
