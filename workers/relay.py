"""The relay: claims due outbox rows and publishes them, at least once. Any number of relays may run.

Beside it, on a clock: late fees are fetched and booked, balances rolled up, and Stripe is asked what a database that
began a new life has forgotten (R31). All are harmless to run twice.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import uuid4

import redis
import uvloop
from dramatiq import Message
from dramatiq.errors import BrokerConnectionError
from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger, outbox, recovery
from service.charges.redating import redate_once
from service.foundation import guard
from service.foundation.away import POSTGRES, REDIS
from service.foundation.crash import CrashPoint, reach
from service.foundation.deadlines import LONG_STATEMENT_S, STOP_S, exit_within
from service.foundation.events import Event
from service.foundation.log import configure, event, of_error
from service.foundation.postgres import duties, pools
from service.foundation.postgres.db import BY_KEY, autocommit, close, create_engine, is_unreachable
from service.foundation.postgres.starting import check_start
from service.foundation.settings import Settings
from service.ledger.fees import FeeSweep
from service.monitoring.heartbeats import Heart
from service.stripe_gateway.client import StripeGateway
from workers.broker import charge_message, make_broker
from workers.identity import identify_stripe, refuse_a_key_that_may_not

_BROKER_AWAY = (BrokerConnectionError, redis.exceptions.RedisError)
_REMEMBER_S = 5.0  # between looks at which life the database is in; a worker that meets a new one looks at once
_REDATE_S = 10.0  # between two looks at bookings of an earlier version
_PAUSE_MAX_S = 2.0  # between attempts while PostgreSQL or the broker is away


class Broker(Protocol):
    """What a relay needs of a broker. A test gives one that says no, or says everything twice."""

    def enqueue(self, message: Message[Any]) -> object:
        """Take a message, or raise."""


class Relay:
    """One relay. `run_once` is a claim and its publishing; `run` repeats it until stopped."""

    def __init__(self, engine: AsyncEngine, broker: Broker, settings: Settings) -> None:
        self._engine = engine
        self._broker = broker
        self._settings = settings
        self._republishes = _Budget(settings.relay_republish_rps)
        self._moved_at = time.monotonic()

    def last_moved(self) -> float:
        """When it last looked into the outbox and could publish what it found, by time.monotonic."""
        return self._moved_at

    async def run_once(self) -> int:
        """Claim what is due and publish it; returns how many events.

        A broker that refuses costs nothing but time: the rows are put back and become due again.
        """
        claim = await outbox.claim(self._engine, self._settings, republish_max=self._republishes.left())
        if not claim.ids:
            return 0
        reach(CrashPoint.RELAY_AFTER_CLAIM)
        self._republishes.spend(claim.republished)
        try:
            await asyncio.to_thread(self._publish, claim)
        except Exception:
            await outbox.put_back(self._engine, claim.ids, after_s=_PAUSE_MAX_S)
            raise
        REDIS.succeeded("relay")
        reach(CrashPoint.RELAY_AFTER_PUBLISH)
        return len(claim.ids)

    def _publish(self, claim: outbox.Claim) -> None:
        size = self._settings.relay_message_events
        together = [i for i in claim.ids if i not in claim.suspects]
        batches = [together[start : start + size] for start in range(0, len(together), size)]
        for ids in [*batches, *([i] for i in claim.ids if i in claim.suspects)]:
            self._broker.enqueue(charge_message([str(i) for i in ids]))

    async def run(self, stop: asyncio.Event, woken: asyncio.Event) -> None:
        """Relay until `stop` is set. The poll is the truth, `woken` a hint; what is away is waited for."""
        await _repeat("relay", self._once, self._settings.relay_poll_ms / 1000, stop, woken)

    async def _once(self) -> bool:
        """Whether to look again at once: only after a full claim. What came since a smaller one has sent a wake-up."""
        published = await self.run_once()
        self._moved_at = time.monotonic()
        return published >= outbox.CLAIM_MAX


class _Budget:
    """So many re-publishes per second, not hoarded beyond one second's worth (R11)."""

    def __init__(self, per_second: int) -> None:
        self._rate = per_second
        self._left = float(per_second)
        self._at = time.monotonic()

    def left(self) -> int:
        now = time.monotonic()
        self._left = min(float(self._rate), self._left + (now - self._at) * self._rate)
        self._at = now
        return int(self._left)

    def spend(self, n: int) -> None:
        self._left -= n


async def _repeat(
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
                woken.clear()  # before looking: what is stored after this look sets it again
            pause_s = 0.0 if await once() else idle_s
            failures = 0
            POSTGRES.succeeded(name)
        except Exception as error:  # noqa: BLE001  a relay outlives whatever is away
            pause_s = min(_PAUSE_MAX_S, 0.1 * 2**failures)
            failures += 1
            _report(name, error)
        if pause_s:
            await _sleep_unless(stop if woken is None or failures else woken, pause_s)


def _report(name: str, error: Exception) -> None:
    """Say once that something is away, and rarely again; a bug is said every time, with its traceback."""
    if isinstance(error, _BROKER_AWAY):
        REDIS.failed(name, error)
    elif is_unreachable(error):
        POSTGRES.failed(name, error)
    else:
        event(Event.RELAY_TASK_FAILED, task=name, **of_error(error))


async def _sleep_unless(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


async def _listen(engine: AsyncEngine, stop: asyncio.Event, woken: asyncio.Event) -> int:
    """Hear wake-ups until the connection is lost or `stop` is set; then `_repeat` connects again."""
    async with autocommit(engine).connect() as connection:
        await outbox.listen(connection, woken, stop)
    return 0


async def serve(settings: Settings, *, broker: Callable[[Settings], Broker] = make_broker) -> None:
    """Run a relay process until SIGTERM or SIGINT. Raises Misconfigured or Unavailable when it must not start."""
    settings.require("REDIS_URL", "STRIPE_API_KEY")
    stop = asyncio.Event()
    woken = asyncio.Event()

    def end() -> None:
        exit_within()
        stop.set()
        woken.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
    async with AsyncExitStack() as stack:
        engine, books = engines(settings, stack)
        await check_start(settings)
        gateway = await stack.enter_async_context(StripeGateway(settings))
        await refuse_a_key_that_may_not(gateway, settings)
        stripe = BoundStripe(engine, gateway, settings)
        relay = Relay(engine, broker(settings), settings)
        heart = Heart.of(settings.redis_url, "relay", relay.last_moved)
        stack.push_async_callback(heart.end)
        after = AfterTheCharge(engine, gateway, stripe)
        stack.push_async_callback(after.give_up)
        event(Event.READY)
        await _until_stopped(
            stop,
            heart.run(stop),
            relay.run(stop, woken),
            _repeat("wake-up", lambda: _listen(engine, stop, woken), _PAUSE_MAX_S, stop),
            _repeat("fees", after.sweep, settings.fee_sweep_s, stop),
            _repeat("redating", after.redate, _REDATE_S, stop),
            _repeat("recovery", lambda: _remember(engine, gateway, stripe, settings), _REMEMBER_S, stop),
            _repeat("rollup", lambda: _rollup(books), settings.rollup_s, stop),
        )


def engines(settings: Settings, stack: AsyncExitStack) -> tuple[AsyncEngine, AsyncEngine]:
    """For the outbox and what is short, and for the books, whose first rollup may sum up years."""
    engine = create_engine(settings, name="relay", pool=pools.RELAY, session=BY_KEY)
    books = create_engine(settings, name="rollup", pool=pools.ROLLUP, session=BY_KEY, statement_s=LONG_STATEMENT_S)
    for one in (engine, books):
        stack.push_async_callback(close, one)
    return engine, books


async def _until_stopped(stop: asyncio.Event, *loops: Coroutine[Any, Any, None]) -> None:
    """Run the loops until they end after `stop`; those that are in the middle of something long are cut short."""
    running = [asyncio.create_task(loop) for loop in loops]
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([stopped, *running], return_when=asyncio.FIRST_COMPLETED)
    _, late = await asyncio.wait(running, timeout=STOP_S)
    for task in late:
        task.cancel()
    ended = await asyncio.gather(*running, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):  # a loop never ends by itself: it is a bug
            raise error


class BoundStripe:
    """Whether the configured Stripe is the one that this database belongs to (R27); asked until it once was."""

    def __init__(self, engine: AsyncEngine, gateway: StripeGateway, settings: Settings) -> None:
        self._engine = engine
        self._gateway = gateway
        self._settings = settings
        self._is_ours = False

    async def is_ours(self) -> bool:
        """Answers from memory once it was found to be."""
        if not self._is_ours:
            self._is_ours = await identify_stripe(self._engine, self._gateway, self._settings) is None
        return self._is_ours


# These answer 0: the next round is due by the clock, not at once.


class AfterTheCharge:
    """What is asked of Stripe after the charge, by one relay of the fleet at a time."""

    def __init__(self, engine: AsyncEngine, gateway: StripeGateway, stripe: BoundStripe) -> None:
        self._engine = engine
        self._gateway = gateway
        self._stripe = stripe
        self._holder = uuid4()
        self._fees = FeeSweep(engine, gateway)

    async def sweep(self) -> int:
        """Book the fees that Stripe knows by now."""
        if await self._may("fees"):
            await self._fees.once(now=datetime.now(UTC))
        return 0

    async def redate(self) -> int:
        """Correct what was booked under another moment than its charge's."""
        if await self._may("redating"):
            await redate_once(self._engine, self._gateway)
        return 0

    async def give_up(self) -> None:
        """Let another relay begin at once. Where the database is away the duties end by themselves."""
        with suppress(Exception):
            async with asyncio.timeout(1.0):
                await duties.give_up(self._engine, self._holder)

    async def _may(self, duty: str) -> bool:
        return await self._stripe.is_ours() and await duties.hold(self._engine, duty, self._holder)


async def _remember(engine: AsyncEngine, gateway: StripeGateway, stripe: BoundStripe, settings: Settings) -> int:
    if await stripe.is_ours():
        await recovery.verify(engine, gateway, settings)
        await recovery.beat(engine)
    return 0


async def _rollup(engine: AsyncEngine) -> int:
    await ledger.rollup(engine)
    return 0


def main(*, broker: Callable[[Settings], Broker] = make_broker) -> None:
    """`python -m workers.relay`, which is what `eo relay` runs."""
    configure("relay")
    uvloop.run(serve(Settings.from_env(), broker=broker))


if __name__ == "__main__":
    guard.run(main)
