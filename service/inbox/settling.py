"""One round of the inbox: dirty objects are read by lists, many a call, and settled by what they say now (R38).

Event, sweep and a worker's own answer meet in the same settling, which changes nothing the second time. An event that
comes before our own commit, twice, or late is looked at until its object is known and in nobody's hands.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.settings import Settings
from service.inbox import money_back, others, payments
from service.inbox.asking import PAGE, read
from service.inbox.due import due, forget, write
from service.inbox.following import Dirty, Verdict, unread
from service.inbox.sorting import GONE, sort
from service.stripe_gateway.objects import IncompleteListing
from service.sweeps import every_sweep

if TYPE_CHECKING:  # the SDK costs half a second, and the api stores events without it
    from service.effects import Sweep
    from service.stripe_gateway.client import StripeGateway


class Settling:
    """Settles what events have made dirty, for one relay process. may: whether this process has the duty now."""

    def __init__(
        self,
        engine: AsyncEngine,
        gateway: "StripeGateway",
        settings: Settings,
        may: Callable[[], Awaitable[bool]],
    ) -> None:
        self._engine = engine
        self._gateway = gateway
        self._settings = settings
        self._may = may
        self._keep = timedelta(days=settings.events_keep_days)
        self._sweeps: Mapping[str, Sweep[Any, StripeGateway]] = {sweep.name: sweep for sweep in every_sweep()}

    async def once(self) -> int:
        """Look at what is due; how many events were."""
        events = await due(self._engine, self._keep)
        if not events or not await self._may():
            return 0
        found = await sort(self._engine, self._gateway, events, self._sweeps)
        by_object: dict[str, Verdict] = {}
        for name, dirty in found.dirty():  # a payment before what is of it
            by_object |= await self._look(name, dirty)
        await write(self._engine, events, found.told(by_object))
        return len(events)

    async def forget(self) -> int:
        """Delete some of what was settled long ago; how many. 0: the next round is soon enough."""
        return await forget(self._engine, self._keep) if await self._may() else 0

    async def _look(self, name: str, dirty: Sequence[Dirty]) -> dict[str, Verdict]:
        """What becomes of the dirty objects of one list."""
        verdicts = await self._before(name, dirty)
        wanted = {one.id: one.created for one in dirty if one.id not in verdicts}
        if not wanted:
            return verdicts
        sweep = self._sweeps[name]
        try:
            shown = await read(partial(sweep.ask, self._gateway), partial(sweep.retrieve, self._gateway), wanted)
            newest_first = sorted(shown.values(), key=lambda one: one.created, reverse=True)
            for start in range(0, len(newest_first), PAGE):
                await sweep.settle(self._engine, newest_first[start : start + PAGE], self._settings)
        except IncompleteListing as error:  # or nothing may be settled before the verification of this life
            return verdicts | dict.fromkeys(wanted, unread(error))
        return verdicts | dict.fromkeys(wanted, GONE) | await self._after(name, shown)

    async def _before(self, name: str, dirty: Sequence[Dirty]) -> dict[str, Verdict]:
        match name:
            case "payment_intents":
                return await payments.before(self._engine, dirty)
            case "refunds":
                return await money_back.before(self._engine, dirty)
            case _:
                return {}

    async def _after(self, name: str, shown: Mapping[str, Any]) -> dict[str, Verdict]:
        match name:
            case "payment_intents":
                return await payments.after(self._engine, shown)
            case "refunds":
                return await money_back.after(self._engine, shown)
            case _:
                return await others.after(self._engine, name, shown)
