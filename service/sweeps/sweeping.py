"""One sweep of one list: from a little before its cursor to the present, in chunks that memory and patience can hold.

The cursor moves over a chunk once every page of it was read, proven complete (R35) and settled; what a listing showed
before it broke off is settled all the same. After a long outage the sweep goes on chunk by chunk until it is at the
present.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

from service.effects import Sweep, in_order, prove_complete
from service.effects.listing import Listed
from service.foundation import log
from service.foundation.events import Event
from service.foundation.settings import Settings
from service.stripe_gateway.objects import MOMENT_MAX, ContradictoryListing, IncompleteListing
from service.sweeps import cursors

PAGE = 100  # objects settled together: what one call brings
OVERLAP_S = 10  # seconds read twice; a list of Stripe's shows what is made at once
CHUNK_MIN_S, CHUNK_MAX_S = 60, 30 * 86_400  # seconds of Stripe's time
_MANY, _FEW = 20_000, 2_000  # objects of one chunk: the next one is half as long, or twice
_MARGIN_S = 300  # as much before Stripe's present ends the last chunk that has an end

T = TypeVar("T", bound=Listed)
G = TypeVar("G")
# Stripe's clock in Unix seconds; None where it does not tell.
Clock = Callable[[], Awaitable[float | None]]


@dataclass(slots=True)
class Sweeping(Generic[T, G]):
    """The sweeps of one list in one process; how long a chunk may be is learnt, and no harm to forget."""

    engine: AsyncEngine
    gateway: G
    kind: Sweep[T, G]
    settings: Settings
    clock: Clock
    may_go_on: Callable[[], Awaitable[bool]]
    _chunk_s: int = field(default=3_600)

    async def once(self) -> bool:
        """Sweep to the present. False where a listing was not complete, or another process has the duty now."""
        until = await cursors.swept_until(self.engine, self.kind.name, self.settings.clock_skew_max_s)
        try:
            if not await self._to_the_present(until):
                return False
            await self.kind.beside(self.engine, self.gateway, self.settings)
            await cursors.progress(self.engine, self.kind.name)
        except IncompleteListing as error:
            log.event(Event.SWEEP_INCOMPLETE, kind=self.kind.name, reason=str(error))
            await cursors.note(self.engine, self.kind.name, str(error))
            return False
        return True

    async def _to_the_present(self, until: int) -> bool:
        end: int | None = until
        while end is not None:
            end = await self._end(until)
            newest = await self._twice_at_most(max(until - OVERLAP_S, 0), MOMENT_MAX if end is None else end)
            if newest is None:
                return False
            until = max(until, min(newest, int(time.time())) if end is None else end)
            await cursors.advance(self.engine, self.kind.name, until)
            if end is not None:
                await cursors.progress(self.engine, self.kind.name)
        return True

    async def _twice_at_most(self, gte: int, lt: int) -> int | None:
        """Read a chunk, and once more where its listing contradicts itself.

        It does so where nothing is listed but what was made in this second, and more of it comes meanwhile.
        """
        try:
            return await self._chunk(gte, lt)
        except ContradictoryListing:
            return await self._chunk(gte, lt)

    async def _end(self, until: int) -> int | None:
        """Where the chunk from `until` on ends; None: it has no end, because it reaches Stripe's present.

        Stripe's clock decides and not this host's: what is made after a chunk was read may not lie in it.
        """
        if until + self._chunk_s > time.time() - _MARGIN_S:
            return None
        now = await self.clock()
        return None if now is None or until + self._chunk_s > now - _MARGIN_S else until + self._chunk_s

    async def _chunk(self, gte: int, lt: int) -> int | None:
        """Read and settle [gte, lt); returns the moment of the newest object, `gte` where there is none.

        None where another process has the duty now. Raises IncompleteListing.
        """
        missing = await self.kind.known(self.engine, gte, lt)
        newest, many = gte, 0
        async for page in self._pages(gte, lt):
            newest = max(newest, page[0].created)
            many += len(page)
            missing.difference_update(one.id for one in page)
            await self.kind.settle(self.engine, page, self.settings)
            if not await self.may_go_on():
                return None
        await prove_complete(missing, partial(self.kind.retrieve, self.gateway))
        if many > _MANY:
            self._chunk_s = max(CHUNK_MIN_S, self._chunk_s // 2)
        elif many < _FEW:
            self._chunk_s = min(CHUNK_MAX_S, self._chunk_s * 2)
        return newest

    async def _pages(self, gte: int, lt: int) -> AsyncIterator[list[T]]:
        page: list[T] = []
        try:
            async for one in in_order(partial(self.kind.ask, self.gateway), gte, lt):
                page.append(one)
                if len(page) == PAGE:
                    yield page
                    page = []
        except IncompleteListing:
            if page:
                yield page
            raise
        if page:
            yield page
