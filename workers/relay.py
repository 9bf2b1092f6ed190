"""The relay: claims due outbox rows and publishes them, at least once. Any number of relays may run.

Beside it, on a clock, runs what `rounds` holds.
"""

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, Protocol

import uvloop
from dramatiq import Message
from sqlalchemy.ext.asyncio import AsyncEngine

from service import duplicates, outbox
from service.foundation import guard, log, metrics, tracing
from service.foundation.away import REDIS
from service.foundation.crash import CrashPoint, crash_point
from service.foundation.deadlines import LONG_STATEMENT_S, exit_within
from service.foundation.events import Event
from service.foundation.postgres import pools
from service.foundation.postgres.db import BY_KEY, close, create_engine
from service.foundation.postgres.starting import check_start
from service.foundation.settings import Settings
from service.monitoring import Heart, exposed
from service.stripe_gateway.client import StripeGateway
from workers.broker import charge_message, make_broker
from workers.identity import refuse_a_key_that_may_not
from workers.rounds import PAUSE_MAX_S, AfterTheCharge, BoundStripe, Budget, listen, remember, repeat, rollup, run_until
from workers.traced import sending

_REMEMBER_S = 5.0  # seconds between checks for a new life of the database; workers check it at each open
_INBOX_S = 0.5  # seconds between two looks at events, which also send a wake-up
_FORGET_S = 600.0  # seconds between two looks at events and duplicates that are kept no longer
_REDATE_S = 10.0  # seconds between two looks at bookings of an earlier version


class Broker(Protocol):
    """The part of a broker that a relay uses. Tests give one that refuses messages or sends them twice."""

    def enqueue(self, message: Message[Any]) -> object:
        """Accept a message; raises where it could not be stored."""


class Relay:
    """One relay. `run_once` claims due rows and publishes them; `run` repeats that until it is stopped."""

    def __init__(self, engine: AsyncEngine, broker: Broker, settings: Settings) -> None:
        self._engine = engine
        self._broker = broker
        self._settings = settings
        self._republishes = Budget(settings.relay_republish_rps)
        self._moved_at = time.monotonic()

    def last_moved(self) -> float:
        """The time.monotonic at which it last read the outbox and published all that it found."""
        return self._moved_at

    async def run_once(self) -> int:
        """Claim what is due and publish it; returns how many events.

        A broker that refuses costs nothing but time: the rows are put back and become due again.
        """
        claim = await outbox.claim(self._engine, self._settings, republish_max=self._republishes.left())
        if not claim.ids:
            return 0
        crash_point(CrashPoint.RELAY_AFTER_CLAIM, claim.ids)
        self._republishes.spend(claim.republished)
        try:
            await asyncio.to_thread(self._publish, claim)
        except Exception:
            await outbox.put_back(self._engine, claim.ids, after_s=PAUSE_MAX_S)
            raise
        metrics.PUBLISHED.inc(len(claim.ids))
        metrics.REPUBLISHED.inc(claim.republished)
        REDIS.succeeded("relay")
        crash_point(CrashPoint.RELAY_AFTER_PUBLISH, claim.ids)
        return len(claim.ids)

    def _publish(self, claim: outbox.Claim) -> None:
        size = self._settings.relay_message_events
        together = [i for i in claim.ids if i not in claim.suspects]
        batches = [together[start : start + size] for start in range(0, len(together), size)]
        for ids in [*batches, *([i] for i in claim.ids if i in claim.suspects)]:
            promised = [claim.promised.get(i, "") for i in ids]
            with sending(promised):
                self._broker.enqueue(charge_message([str(i) for i in ids], promised))

    async def run(self, stop: asyncio.Event, woken: asyncio.Event) -> None:
        """Relay until `stop` is set: every poll interval, and at once when `woken` is set. Waits for what is away."""
        await repeat("relay", self._once, self._settings.relay_poll_ms / 1000, stop, woken)

    async def _once(self) -> bool:
        """Run once; returns whether more rows may be due now, as after a full claim. New rows send a wake-up."""
        published = await self.run_once()
        self._moved_at = time.monotonic()
        return published >= outbox.CLAIM_MAX


async def serve(settings: Settings, *, broker: Callable[[Settings], Broker] = make_broker) -> None:
    """Run a relay process until SIGTERM or SIGINT. Raises Misconfigured or Unavailable when it must not start."""
    settings.require("REDIS_URL", "STRIPE_API_KEY")
    stop = asyncio.Event()
    woken, told = asyncio.Event(), asyncio.Event()

    def end() -> None:
        exit_within()
        stop.set()
        woken.set()
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
    async with AsyncExitStack() as stack:
        engine, books = engines(settings, stack)
        await check_start(settings)
        gateway = await stack.enter_async_context(StripeGateway(settings))
        await refuse_a_key_that_may_not(gateway, settings)
        stripe = BoundStripe(engine, gateway, settings)
        relay = Relay(engine, broker(settings), settings)
        stack.enter_context(exposed(settings, "relay"))
        heart = Heart.of(settings.redis_url, "relay", relay.last_moved)
        stack.push_async_callback(heart.end)
        after = AfterTheCharge(engine, gateway, stripe, settings)
        stack.push_async_callback(after.give_up)
        channels = {outbox.CHANNEL: woken, outbox.INBOX: told}
        log.event(Event.READY)
        await run_until(
            stop,
            heart.run(stop),
            relay.run(stop, woken),
            duplicates.Flusher(engine, "relay").run(stop),
            repeat("wake-up", lambda: listen(engine, stop, channels), PAUSE_MAX_S, stop),
            repeat("balance", after.look, settings.fee_sweep_s, stop),
            *(repeat(f"sweep of {name}", once, settings.sweep_s, stop) for name, once in after.lists().items()),
            repeat("disputes", after.look_again, settings.sweep_s, stop),
            repeat("inbox", after.inbox, _INBOX_S, stop, told),
            repeat("forgetting", after.forget, _FORGET_S, stop),
            repeat("forgetting duplicates", lambda: duplicates.forget(engine), _FORGET_S, stop),
            repeat("redating", after.redate, _REDATE_S, stop),
            repeat("recovery", lambda: remember(engine, gateway, stripe, settings), _REMEMBER_S, stop),
            repeat("rollup", lambda: rollup(books), settings.rollup_s, stop),
        )


def engines(settings: Settings, stack: AsyncExitStack) -> tuple[AsyncEngine, AsyncEngine]:
    """Two engines: one for short statements, one for the ledger, whose first rollup may sum up years."""
    engine = create_engine(settings, name="relay", pool=pools.RELAY, session=BY_KEY)
    books = create_engine(settings, name="rollup", pool=pools.ROLLUP, session=BY_KEY, statement_s=LONG_STATEMENT_S)
    for one in (engine, books):
        stack.push_async_callback(close, one)
    return engine, books


def main(*, broker: Callable[[Settings], Broker] = make_broker) -> None:
    """`python -m workers.relay`, which is what `eo relay` runs."""
    log.configure("relay")
    settings = Settings.from_env()
    tracing.start(settings.traces)
    uvloop.run(serve(settings, broker=broker))


if __name__ == "__main__":
    guard.run(main)
