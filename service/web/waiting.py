"""`Prefer: wait=N` (RFC 7240): hold the answer until nothing more happens to the order by itself, or N is over.

One poller per process serves all waiters, and runs only while there are any, so that no waiter holds a connection.
At most 1,000 requests wait: the next one is answered at once, as all are when the process is told to stop (R8).
"""

import asyncio
import re
from collections.abc import Iterable

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation import log
from service.foundation.events import Event
from service.orders import Order, settled
from service.states import ORDER_MOVES_BY_ITSELF
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


class Waiting:
    """The waiters of one process."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._waiters: dict[str, set[asyncio.Future[Order]]] = {}
        self._count = 0
        self._poller: asyncio.Task[None] | None = None
        self._closed = False

    async def until_settled(self, order: Order, within_s: float) -> Order:
        """The order once nothing more happens to it by itself, or as given when the time is over first."""
        if order.status not in ORDER_MOVES_BY_ITSELF or self._closed or self._count >= WAITERS_MAX:
            return order
        future: asyncio.Future[Order] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(order.id, set()).add(future)
        self._count += 1
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll())
        try:
            async with asyncio.timeout(within_s):
                return await future
        except TimeoutError:
            return order
        finally:
            self._forget(order.id, future)

    def close(self) -> None:
        """Answer all waiters now with the order as they gave it, and let no request wait from now on."""
        self._closed = True
        for futures in self._waiters.values():
            for future in futures:
                if not future.done():
                    future.set_exception(TimeoutError())

    async def _poll(self) -> None:
        while self._waiters:
            await asyncio.sleep(POLL_S)
            try:
                for order in await settled(self._engine, list(self._waiters)):
                    self._tell(order)
            except Exception as error:  # noqa: BLE001  a waiter then gets its order when its time is over
                log.event(Event.WAITING_POLL_FAILED, **log.of_error(error))
                await asyncio.sleep(1.0)
        self._poller = None

    def _tell(self, order: Order) -> None:
        for future in self._waiters.get(order.id, ()):
            if not future.done():
                future.set_result(order)

    def _forget(self, order_id: str, future: asyncio.Future[Order]) -> None:
        self._count -= 1
        waiters = self._waiters[order_id]
        waiters.discard(future)
        if not waiters:
            del self._waiters[order_id]
