"""Reading a list of Stripe's from now back to a moment, as many at a time as may pass between two signs of life."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from service.effects import in_order
from service.effects.listing import List, Listed
from service.stripe_gateway.objects import ContradictoryListing, IncompleteListing

NO_END = 4_102_444_800  # Unix seconds, the year 2100: a listing that ended now would trust this host's clock
_TOGETHER = 25  # objects between two signs of life: each may cost a call and a transaction

T = TypeVar("T", bound=Listed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What is compared: Stripe's lists from now back to `gte` (Unix seconds), of what is this installation's.

    page_done: awaited between two pages. dry_run: it is only told what would be brought back.
    """

    gte: int
    instance: UUID
    page_done: Callable[[], Awaitable[None]]
    dry_run: bool


async def by_pages(ask: List[T], gte: int) -> AsyncIterator[list[T]]:
    """All that `ask` lists from now back to `gte`; the last page may be empty. Raises IncompleteListing."""
    page: list[T] = []
    async for shown in _to_the_end(ask, gte):
        page.append(shown)
        if len(page) == _TOGETHER:
            yield page
            page = []
    yield page


async def _to_the_end(ask: List[T], gte: int) -> AsyncIterator[T]:
    """Where a page cannot be read it is asked again from the oldest second that was shown, so that a listing of
    thousands of pages needs each of them once; no progress means IncompleteListing.
    """
    lt, oldest = NO_END, set[str]()
    while True:
        end = lt
        try:
            async for shown in in_order(ask, gte, lt):
                if shown.id in oldest:
                    continue
                if shown.created + 1 < end:
                    end, oldest = shown.created + 1, set()
                oldest.add(shown.id)
                yield shown
        except ContradictoryListing:
            raise  # nobody knows from where on it would have to be asked again
        except IncompleteListing:
            if end == lt:
                raise
            lt = end
        else:
            return
