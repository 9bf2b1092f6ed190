"""The periodic work of a relay process: fees, sweeps, bookings of an earlier version, balances, recovery (R31).

A round that runs twice does no harm. A round returns 0 where the next one is due after the interval, else at once.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import uuid4

import redis
from dramatiq.errors import BrokerConnectionError
from sqlalchemy.ext.asyncio import AsyncEngine

from service import disputes, ledger, outbox, recovery
from service.balance import Looking
from service.charges import redate_once
from service.foundation import log
from service.foundation.away import POSTGRES, REDIS
from service.foundation.deadlines import STOP_S
from service.foundation.events import Event
from service.foundation.postgres import duties
from service.foundation.postgres.db import autocommit, is_unreachable
from service.foundation.settings import Settings
from service.inbox import Settling
from service.stripe_gateway.client import StripeGateway
from service.sweeps import Sweeping, every_sweep
from workers.identity import identify_stripe

_REFUNDS_AT_ONCE = 25  # calls of a round, one a refund whose money moved past what is settled here
PAUSE_MAX_S = 2.0  # longest pause in seconds between attempts while PostgreSQL or the broker is away
_BROKER_AWAY = (BrokerConnectionError, redis.exceptions.RedisError)


async def repeat(
    name: str,
    once: Callable[[], Awaitable[int]],
    idle_s: float,
    stop: asyncio.Event,
    woken: asyncio.Event | None = None,
) -> None:
    """Call `once` again and again: at once while it finds work, after `idle_s` when not, slower while it fails.

    `woken` ends an idle pause early; it is set together with `stop`.
    """
    failures = 0
    while not stop.is_set():
        try:
            if woken is not None:
                woken.clear()  # cleared before the look, so that a row stored during it sets it again
            pause_s = 0.0 if await once() else idle_s
            failures = 0
            POSTGRES.succeeded(name)
        except Exception as error:  # noqa: BLE001  a relay outlives whatever is away
            pause_s = min(PAUSE_MAX_S, 0.1 * 2**failures)
            failures += 1
            _report(name, error)
        if pause_s:
            await _sleep_unless(stop if woken is None or failures else woken, pause_s)


def _report(name: str, error: Exception) -> None:
    """Log once, and then rarely, that a dependency is away; log any other error each time, with its traceback."""
    if isinstance(error, _BROKER_AWAY):
        REDIS.failed(name, error)
    elif is_unreachable(error):
        POSTGRES.failed(name, error)
    else:
        log.event(Event.RELAY_TASK_FAILED, task=name, **log.of_error(error))


async def _sleep_unless(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


async def run_until(stop: asyncio.Event, *loops: Coroutine[Any, Any, None]) -> None:
    """Run the loops until `stop` is set; then cancel those that have not ended within STOP_S seconds."""
    running = [asyncio.create_task(loop) for loop in loops]
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([stopped, *running], return_when=asyncio.FIRST_COMPLETED)
    _, late = await asyncio.wait(running, timeout=STOP_S)
    for task in late:
        task.cancel()
    ended = await asyncio.gather(*running, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):  # a loop that raises has a bug
            raise error


async def listen(engine: AsyncEngine, stop: asyncio.Event, woken: Mapping[str, asyncio.Event]) -> int:
    """Listen for wake-ups until the connection is lost or `stop` is set; `repeat` then connects again."""
    async with autocommit(engine).connect() as connection:
        await outbox.listen(connection, woken, stop)
    return 0


class BoundStripe:
    """Whether the configured Stripe is the one that this database belongs to (R27)."""

    def __init__(self, engine: AsyncEngine, gateway: StripeGateway, settings: Settings) -> None:
        self._engine = engine
        self._gateway = gateway
        self._settings = settings
        self._is_ours = False

    async def is_ours(self) -> bool:
        """Whether it is; asks Stripe until it is, and remembers that."""
        if not self._is_ours:
            self._is_ours = await identify_stripe(self._engine, self._gateway, self._settings) is None
        return self._is_ours


class AfterTheCharge:
    """The questions to Stripe after a charge, asked by one relay of the fleet at a time."""

    def __init__(self, engine: AsyncEngine, gateway: StripeGateway, stripe: BoundStripe, settings: Settings) -> None:
        self._engine = engine
        self._gateway = gateway
        self._stripe = stripe
        self._holder = uuid4()
        self._settings = settings
        self._movements = Looking(engine, gateway, settings)
        self._inbox = Settling(engine, gateway, settings, may=partial(self._may, "inbox"))
        may = partial(self._may, "sweeps")
        self._lists = [
            Sweeping(engine, gateway, kind, settings, gateway.clock, may_go_on=may) for kind in every_sweep()
        ]

    async def look(self) -> int:
        """Book the movements of Stripe's balance, and so the fees, that Stripe shows by now."""
        if await self._may("balance"):
            found = await self._movements.once()
            for refund_id in sorted(found.read)[:_REFUNDS_AT_ONCE]:
                await recovery.heal_refund(self._engine, self._gateway, self._settings, refund_id, dry_run=False)
        return 0

    def lists(self) -> Mapping[str, Callable[[], Awaitable[int]]]:
        """Each list that is swept, by its name: a round of it. One that fails keeps no other from its turn."""
        return {one.kind.name: partial(self._sweep_list, one) for one in self._lists}

    async def _sweep_list(self, one: Sweeping[Any, StripeGateway]) -> int:
        if await self._may("sweeps"):
            await one.once()
        return 0

    async def look_again(self) -> int:
        """Read disputes again that may have moved on since they were listed."""
        if await self._may("sweeps"):
            await disputes.look_again(self._engine, self._gateway, self._settings)
        return 0

    async def inbox(self) -> int:
        """Settle what Stripe's events have made dirty."""
        return await self._inbox.once()

    async def forget(self) -> int:
        """Delete events that were settled long ago."""
        return await self._inbox.forget()

    async def redate(self) -> int:
        """Correct bookings whose moment is not that of their charge."""
        if await self._may("redating"):
            await redate_once(self._engine, self._gateway)
        return 0

    async def give_up(self) -> None:
        """Release the duties, so that another relay takes them at once. Without the database their leases run out."""
        with suppress(Exception):
            async with asyncio.timeout(1.0):
                await duties.give_up(self._engine, self._holder)

    async def _may(self, duty: str) -> bool:
        return await self._stripe.is_ours() and await duties.hold(self._engine, duty, self._holder)


async def remember(engine: AsyncEngine, gateway: StripeGateway, stripe: BoundStripe, settings: Settings) -> int:
    if await stripe.is_ours():
        await recovery.verify(engine, gateway, settings)
        await recovery.beat(engine)
    return 0


async def rollup(engine: AsyncEngine) -> int:
    await ledger.rollup(engine)
    return 0


class Budget:
    """How many rows per second may be published again; what is unused for more than one second is lost (R11)."""

    def __init__(self, per_second: int) -> None:
        self._rate = per_second
        self._left = float(per_second)
        self._at = time.monotonic()

    def left(self) -> int:
        """How many rows may be published again now."""
        now = time.monotonic()
        self._left = min(float(self._rate), self._left + (now - self._at) * self._rate)
        self._at = now
        return int(self._left)

    def spend(self, n: int) -> None:
        """Count `n` rows as published again."""
        self._left -= n
