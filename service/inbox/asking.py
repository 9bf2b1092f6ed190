"""Dirty objects read from Stripe: many by one list where their moments are known, one by one where no list can."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import TypeVar

from service.effects.listing import Listed

PAGE = 100  # objects that one call shows
_TOGETHER_S = 300  # seconds between the oldest and the newest of one list
_AT_ONCE = 8  # calls for one object each

T = TypeVar("T", bound=Listed)


async def read(
    ask: Callable[[int, int], AsyncIterator[T]],
    retrieve: Callable[[str], Awaitable[T | None]],
    wanted: Mapping[str, int | None],
) -> dict[str, T]:
    """The objects with these ids, by id; None: nobody knows when it was created. What is missing Stripe does not have.

    Never more calls than objects. Raises IncompleteListing.
    """
    found: dict[str, T] = {}
    for window in _windows(wanted):
        found |= await _listed(ask, window)
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(object_id: str) -> T | None:
        async with limit:
            return await retrieve(object_id)

    left = [object_id for object_id in wanted if object_id not in found]
    shown = await asyncio.gather(*map(one, left))
    return found | {thing.id: thing for thing in shown if thing is not None}


def _windows(wanted: Mapping[str, int | None]) -> Iterator[dict[str, int]]:
    """Those that were created close together. One alone is as cheap by its id."""
    window: dict[str, int] = {}
    by_moment = sorted((created, object_id) for object_id, created in wanted.items() if created is not None)
    for created, object_id in by_moment:
        if window and created - min(window.values()) > _TOGETHER_S:
            yield from _worth_a_list(window)
            window = {}
        window[object_id] = created
    yield from _worth_a_list(window)


def _worth_a_list(window: dict[str, int]) -> Iterator[dict[str, int]]:
    if len(window) > 1:
        yield window


async def _listed(ask: Callable[[int, int], AsyncIterator[T]], window: Mapping[str, int]) -> dict[str, T]:
    """Those that the list of the window shows, by no more calls than it would take one by one.

    The list is not held to be complete (R35): what it does not show is asked for by its id.
    """
    found: dict[str, T] = {}
    seen = 0
    async for thing in ask(min(window.values()), max(window.values()) + 1):
        seen += 1
        if thing.id in window:
            found[thing.id] = thing
        if len(found) == len(window) or seen >= PAGE * (len(window) - 1):
            break
    return found
