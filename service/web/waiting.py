"""`Prefer: wait=N` (RFC 7240): hold the answer until nothing more happens to the object by itself, or N is over.

One poller per process serves all waiters, and runs only while there are any, so that no waiter holds a connection.
At most 1,000 requests wait: the next one is answered at once, as all are when the process is told to stop (R8).
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation import log
from service.foundation.events import Event
from service.orders import Order, settled
from service.refunds import Refund, ended
from service.states import ORDER_WANTS_MONEY, REFUND_OPEN
from service.web.operation import Parameter

WAIT_MAX_S = 30
WAITERS_MAX = 1_000
POLL_S = 0.05  # between two queries for all waiters; a charge takes a few hundred ms

PREFER = Parameter(
    "Prefer",
    {"type": "string"},
    "header",
    text=f"`wait=N` holds the answer until nothing more happens by itself, at most {WAIT_MAX_S} s.",
    example="wait=10",
)
_WAIT = re.compile(rb"(?:^|[,;])[ \t]*wait[ \t]*=[ \t]*\"?([0-9]{1,6})\"?[ \t]*(?=$|[,;])", re.IGNORECASE)


def wished_s(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """The seconds that the caller would wait, at most 30. A preference that cannot be read counts as 0 (RFC 7240)."""
    for name, value in headers:
        if name == b"prefer" and (found := _WAIT.search(value)):
            return min(int(found[1]), WAIT_MAX_S)
    return 0


class Shown(Protocol):
    """Whatever the API shows under an id."""

    @property
    def id(self) -> str:
        """The id, by which it is asked for again."""
        ...


T = TypeVar("T", bound=Shown)
# Those of the objects with these ids to which nothing more happens by itself.
Over = Callable[[AsyncEngine, Sequence[str]], Awaitable[list[T]]]


class Waiting:
    """The waiters of one process."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._waiters: dict[Over[Any], dict[str, set[asyncio.Future[Any]]]] = {settled: {}, ended: {}}
        self._count = 0
        self._poller: asyncio.Task[None] | None = None
        self._closed = False

    async def until_settled(self, order: Order, within_s: float) -> Order:
        """The order once nothing more happens to it by itself, or as given when the time is over first.

        One that waits for its customer, or holds money, may have a capture or a cancellation under way.
        """
        return await self._until(settled, order, within_s) if order.status in ORDER_WANTS_MONEY else order

    async def until_ended(self, refund: Refund, within_s: float) -> Refund:
        """The refund once nothing is left to do for it, or as given when the time is over first."""
        return await self._until(ended, refund, within_s) if refund.status in REFUND_OPEN else refund

    async def _until(self, over: Over[T], shown: T, within_s: float) -> T:
        if self._closed or self._count >= WAITERS_MAX:
            return shown
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiters[over].setdefault(shown.id, set()).add(future)
        self._count += 1
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll())
        try:
            async with asyncio.timeout(within_s):
                return await future
        except TimeoutError:
            return shown
        finally:
            self._forget(over, shown.id, future)

    def close(self) -> None:
        """Answer all waiters now with the object as they gave it, and let no request wait from now on."""
        self._closed = True
        for futures in (held for waiters in self._waiters.values() for held in waiters.values()):
            for future in futures:
                if not future.done():
                    future.set_exception(TimeoutError())

    async def _poll(self) -> None:
        while any(self._waiters.values()):
            await asyncio.sleep(POLL_S)
            try:
                await self._look()
            except Exception as error:  # noqa: BLE001  a waiter then gets its object when its time is over
                log.event(Event.WAITING_POLL_FAILED, **log.of_error(error))
                await asyncio.sleep(1.0)
        self._poller = None

    async def _look(self) -> None:
        for over, waiters in self._waiters.items():
            for shown in await over(self._engine, list(waiters)) if waiters else ():
                for future in waiters.get(shown.id, ()):
                    if not future.done():
                        future.set_result(shown)

    def _forget(self, over: Over[Any], shown_id: str, future: asyncio.Future[Any]) -> None:
        self._count -= 1
        held = self._waiters[over][shown_id]
        held.discard(future)
        if not held:
            del self._waiters[over][shown_id]
