"""Long acts that a page may begin: one of each kind at a time in the fleet, each within a bound, in the background.

The duty of its name says that one runs, whatever process it is in. It is renewed while the act runs, and rests ten
seconds after the death of its process.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation import log
from service.foundation.errors import Conflict, EffectivelyOnceError
from service.foundation.events import Event
from service.foundation.postgres import duties
from service.foundation.wording import in_words

_RENEW_S = 3.0  # a third of a duty's lease
Say = Callable[[str], None]


@dataclass(slots=True)
class Act:
    """An act of this process: when it began, what it says of itself, and whether it has ended."""

    began: datetime
    says: str
    ended: datetime | None = None


class Acts:
    """The long acts of this process, by their names."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._acts: dict[str, Act] = {}

    def of(self, name: str) -> Act | None:
        """The last act of that name in this process."""
        return self._acts.get(name)

    async def runs(self, name: str) -> bool:
        """Whether an act of that name runs, in whatever process."""
        return await duties.is_held(self._engine, name)

    async def begin(self, name: str, work: Callable[[Say], Awaitable[str]], *, within_s: float) -> None:
        """Run `work` in the background; it answers how it ended. Raises Conflict where one runs already."""
        holder = uuid4()
        if not await duties.hold(self._engine, name, holder):
            raise Conflict("It runs already. This page shows its end.")
        act = self._acts[name] = Act(datetime.now(UTC), "begins")
        task = self._tasks[holder] = asyncio.create_task(self._run(act, name, holder, work, within_s))
        task.add_done_callback(lambda _: self._tasks.pop(holder, None))

    async def close(self) -> None:
        """End what runs: nothing that it has not committed is kept."""
        running = dict(self._tasks)
        for task in running.values():
            task.cancel()
        await asyncio.gather(*running.values(), return_exceptions=True)
        for holder in running:  # a task that was cancelled before its first step has not left its duty
            await self._give_up(holder)

    async def _run(
        self, act: Act, name: str, holder: UUID, work: Callable[[Say], Awaitable[str]], within_s: float
    ) -> None:
        def say(words: str) -> None:
            act.says = words

        renewing = asyncio.create_task(self._renew(name, holder))
        bound = asyncio.timeout(within_s)
        try:
            async with bound:
                act.says = await work(say)
        except EffectivelyOnceError as error:
            act.says = f"ended without a result: {error}"
        except Exception as error:  # noqa: BLE001  whatever it is, the page shows that it ended
            late = isinstance(error, TimeoutError) and bound.expired()
            act.says = f"ended without a result: {f'it took longer than {within_s:.0f} s' if late else in_words(error)}"
            log.event(Event.CONSOLE_ACT_FAILED, task=name, **log.of_error(error))
        finally:
            renewing.cancel()
            act.ended = datetime.now(UTC)
            await self._give_up(holder)

    async def _give_up(self, holder: UUID) -> None:
        with suppress(Exception):  # without the database its lease runs out
            await duties.give_up(self._engine, holder)

    async def _renew(self, name: str, holder: UUID) -> None:
        while True:
            await asyncio.sleep(_RENEW_S)
            with suppress(Exception):  # it is tried again; a duty that is lost is only done twice
                await duties.hold(self._engine, name, holder)
