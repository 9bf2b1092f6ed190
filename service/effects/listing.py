"""A listing proves itself (R35): Stripe's `has_more: false` is not believed alone.

Pages must agree with each other, the rest of the window is asked for once more, and what this database knew of the
window must have been shown. A listing that fails one of these is incomplete: what it showed is true, no more.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Protocol, TypeVar

from service.foundation import log
from service.foundation.events import Event
from service.stripe_gateway.objects import ContradictoryListing, IncompleteListing


class Listed(Protocol):
    """What Stripe lists: PaymentIntents, refunds."""

    @property
    def id(self) -> str:
        """Stripe's id."""
        ...

    @property
    def created(self) -> int:
        """Unix seconds."""
        ...


T = TypeVar("T", bound=Listed)
# Objects created in [gte, lt) Unix seconds, newest first.
List = Callable[[int, int], AsyncIterator[T]]


async def in_order(ask: List[T], gte: int, lt: int) -> AsyncIterator[T]:
    """All that `ask` lists of [gte, lt), each once. Raises IncompleteListing, also after the last one was yielded."""
    seen = _Seen(gte, lt)
    async for intent in ask(gte, lt):
        seen.add(intent)
        yield intent
    # Two asks: a page that ends early would end within a busy second, and an answer that is always empty shows nothing.
    async for intent in ask(gte, seen.oldest):
        raise ContradictoryListing(f"the listing ended, and asked for what is older it shows {intent.id}")
    if seen.ids:
        again = {intent.id async for intent in ask(seen.oldest, seen.oldest + 1)}
        if seen.ids != again:
            raise ContradictoryListing(f"of its oldest second the listing does not always show {min(seen.ids ^ again)}")


class _Seen:
    """What a listing has shown: it goes back in time, so only the ids of its oldest second need to be kept."""

    def __init__(self, gte: int, lt: int) -> None:
        self._gte = gte
        self.oldest = lt
        self.ids: set[str] = set()

    def add(self, intent: Listed) -> None:
        """Raises ContradictoryListing where `intent` cannot follow what was shown before it."""
        if not self._gte <= intent.created <= self.oldest:
            raise ContradictoryListing(f"the listing shows {intent.id} out of its order")
        if intent.id in self.ids:
            raise ContradictoryListing(f"the listing shows {intent.id} twice")
        if intent.created < self.oldest:
            self.oldest = intent.created
            self.ids.clear()
        self.ids.add(intent.id)


async def prove_complete(missing: Collection[str], retrieve: Callable[[str], Awaitable[object | None]]) -> None:
    """Raises IncompleteListing where one of the known objects that no page showed is there all the same.

    One that Stripe does not have at all (test data was deleted) says nothing about the pages; it is reported.
    """
    for intent_id in missing:
        if await retrieve(intent_id) is not None:
            raise IncompleteListing(f"the listing did not show {intent_id}, which exists")
        log.event(Event.STRIPE_OBJECT_GONE, stripe_object=intent_id)
