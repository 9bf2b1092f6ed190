"""A worker process: one event loop, a few messages at a time, each a set of concurrent charges.

`python -m workers.main` (what `eo worker` runs) drives a Dramatiq Worker itself; `dramatiq workers.main` works too.
A fleet has several such processes, on any machine that reaches the same PostgreSQL and Redis.
"""

import asyncio
import signal
import threading
from contextlib import AsyncExitStack
from functools import partial
from uuid import UUID

import dramatiq
import uvloop
from dramatiq.asyncio import get_event_loop_thread
from dramatiq.middleware import Middleware

from service.duplicates import Flusher
from service.foundation import guard, log, tracing
from service.foundation.broker_keys import CHARGE_QUEUE
from service.foundation.deadlines import STOP_S, WAIT_FOR_POSTGRES_S, exit_within
from service.foundation.events import Event
from service.foundation.garbage import collect_rarely
from service.foundation.postgres.db import BY_KEY, close, create_engine
from service.foundation.postgres.starting import check_start
from service.foundation.redis_clients import async_client
from service.foundation.settings import Settings
from service.monitoring import Heart, exposed
from service.recovery import note_margin
from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.pacing import Bucket
from service.stripe_gateway.standstill import ANSWERS
from workers.broker import CHARGE_ACTOR, PromptBroker, make_broker, start_worker
from workers.charge import ChargeWorker
from workers.identity import identify_stripe, refuse_a_key_that_may_not
from workers.living import Living
from workers.notices import NoticeThread
from workers.quiet import be_quiet_while_redis_is_away
from workers.throttle import Breaker

_WAKE_S = 0.5
_ASKED_S = 3.0  # after so many seconds the process is ready, also where Stripe has not answered
_EXCUSE_S = 1.0  # at most so many seconds of a stop go into uncounting the opens in hand


class Runtime(Middleware):
    """Makes the ChargeWorker on the event loop that runs the actor, when the first message asks for it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self._worker: ChargeWorker | None = None
        self._making = asyncio.Lock()
        self._living: Living | None = None
        self._notices: NoticeThread | None = None
        self._counting: asyncio.Task[None] | None = None
        self._counted_enough = asyncio.Event()

    def after_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Start heartbeat, identification and notices; the loop of the AsyncIO middleware already runs."""
        del worker
        thread = get_event_loop_thread()
        if thread is None or not isinstance(broker, PromptBroker):
            raise RuntimeError("a worker needs the broker of make_broker")
        make_heart = partial(Heart.of, self._settings.redis_url, "worker", broker.last_looked, ANSWERS)
        on_asked = broker.stripe_was_asked.set
        self._living = Living(make_heart, self._breaker_of_worker, self._settings.breaker_s, on_asked)
        self._living.start(thread.loop)
        self._notices = NoticeThread(self._settings)
        self._notices.start()

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Stop them while the loop still runs, and uncount the opens of the charges in hand (R10)."""
        del broker, worker
        if self._living is not None:
            self._living.end()
        loop = get_event_loop_thread()
        if self._worker is not None and loop is not None:
            loop.run_coroutine(self._excuse(self._worker))
        if self._notices is not None:
            self._notices.end()

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Add what the last messages were counted for; the loop of the AsyncIO middleware ends after this."""
        del broker, worker
        loop = get_event_loop_thread()
        if loop is not None:
            loop.run_coroutine(self._end_counting())

    async def _end_counting(self) -> None:
        self._counted_enough.set()
        if self._counting is not None:
            await self._counting

    @staticmethod
    async def _excuse(worker: ChargeWorker) -> None:
        try:
            async with asyncio.timeout(_EXCUSE_S):
                await worker.excuse()
        except Exception as error:  # noqa: BLE001  a database that is away must not keep a process from stopping
            log.event(Event.WORKER_STOPS_UNCOUNTED, **log.of_error(error))

    async def worker(self) -> ChargeWorker:
        """The one ChargeWorker of this process."""
        async with self._making:
            if self._worker is None:
                self._worker = await self._make()
        return self._worker

    async def _breaker_of_worker(self) -> Breaker:
        return (await self.worker()).breaker

    async def _make(self) -> ChargeWorker:
        settings, stack = self._settings, self._stack
        engine = create_engine(settings, name="worker", session=BY_KEY, patience_s=WAIT_FOR_POSTGRES_S)
        stack.push_async_callback(close, engine)
        gateway = await stack.enter_async_context(StripeGateway(settings))
        self._counting = asyncio.create_task(Flusher(engine, "worker").run(self._counted_enough))
        redis = async_client(settings.redis_url)
        stack.push_async_callback(redis.aclose)

        async def probe() -> str | None:
            return await identify_stripe(engine, gateway, settings)

        bucket = Bucket(redis, "post_payment_intents", settings.stripe_rps)
        return ChargeWorker(engine, gateway, Breaker(redis, settings, probe), bucket, settings)


def set_up(settings: Settings) -> PromptBroker:
    """Make the broker and register the actor. Connects to nothing."""
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    runtime = Runtime(settings)
    broker = make_broker(settings, runtime)
    dramatiq.set_broker(broker)
    be_quiet_while_redis_is_away()

    @dramatiq.actor(broker=broker, queue_name=CHARGE_QUEUE, actor_name=CHARGE_ACTOR)
    async def charge_orders(outbox_ids: list[str]) -> None:
        worker = await runtime.worker()
        await worker.charge([UUID(i) for i in outbox_ids])

    return broker


async def check_database(settings: Settings) -> None:
    """Refuse to start with a key that may not do what is needed, or on a database that is not durable or not at this
    code's schema (R30); note how long this worker may go on sending after its database was exchanged (R31).
    """
    await check_start(settings)
    engine = create_engine(settings, name="worker", pool=1)
    try:
        await note_margin(engine, settings)
        async with StripeGateway(settings) as gateway:
            await refuse_a_key_that_may_not(gateway, settings)
    finally:
        await close(engine)


def serve(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT. Raises Misconfigured or Unavailable when it must not start."""
    settings.require("REDIS_URL", "STRIPE_API_KEY")
    stop = threading.Event()

    def end(*_: object) -> None:
        exit_within()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    asyncio.run(check_database(settings))
    with exposed(settings, "worker"):
        broker = set_up(settings)
        worker = start_worker(broker, settings)
        collect_rarely()
        broker.stripe_was_asked.wait(_ASKED_S)
        log.event(Event.READY)
        # The kernel may deliver a signal to any thread, and Python runs the handler in the main thread when that next
        # runs. So the main thread wakes every _WAKE_S seconds.
        while not stop.wait(_WAKE_S):
            pass
        worker.stop(timeout=int(STOP_S * 1000))  # a running batch may finish; the outbox publishes the rest again
        broker.close()


def main() -> None:
    """`python -m workers.main`."""
    log.configure("worker")
    settings = Settings.from_env()
    tracing.start(settings.traces)
    serve(settings)


if __name__ == "__main__":
    guard.run(main)
else:
    broker = set_up(Settings.from_env())  # `dramatiq workers.main` imports this name
