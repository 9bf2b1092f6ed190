"""What a worker process does besides messages: it sends heartbeats, and identifies Stripe before the first order.

Both run on the event loop that runs the messages, so that a stuck loop sends no heartbeat.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from service.foundation import log
from service.foundation.away import POSTGRES
from service.foundation.events import Event
from service.foundation.postgres.db import is_unreachable
from service.monitoring import Heart
from workers.throttle import Breaker

if TYPE_CHECKING:
    import concurrent.futures

_AGAIN_S = 2.0  # seconds between attempts while PostgreSQL is away
_END_S = 3.0


class Living:
    """Runs from the worker's boot to its shutdown. `make_breaker` connects to nothing."""

    def __init__(
        self,
        make_heart: Callable[[], Heart],
        make_breaker: Callable[[], Awaitable[Breaker]],
        every_s: float,
        on_asked: Callable[[], None],
    ) -> None:
        self._make_heart = make_heart
        self._make_breaker = make_breaker
        self._every_s = every_s
        self._on_asked = on_asked
        self._stop = asyncio.Event()
        self._running: concurrent.futures.Future[None] | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start on this loop, which runs in another thread."""
        self._loop = loop
        self._running = asyncio.run_coroutine_threadsafe(self._run(), loop)

    def end(self) -> None:
        """Stop and wait until the heartbeat is withdrawn, so that nobody reports this process as dead."""
        if self._running is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            with suppress(TimeoutError):
                self._running.result(_END_S)

    async def _run(self) -> None:
        heart = self._make_heart()
        try:
            await asyncio.gather(heart.run(self._stop), self._identify(self._stop))
        finally:
            await heart.end()

    async def _identify(self, stop: asyncio.Event) -> None:
        """Ask Stripe again and again while the breaker is open; without that an idle fleet's breaker would expire."""
        breaker = await self._make_breaker()
        while not stop.is_set():
            pause_s = self._every_s
            try:
                await breaker.identify()
                POSTGRES.succeeded("identification")
            except Exception as error:  # noqa: BLE001  it outlives whatever is away
                pause_s = _AGAIN_S
                if is_unreachable(error):
                    POSTGRES.failed("identification", error)
                else:
                    log.event(Event.STRIPE_IDENTIFICATION_FAILED, **log.of_error(error))
            self._on_asked()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause_s)
