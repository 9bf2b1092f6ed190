"""The usual consumer, as many tutorials show it: take the message, charge or refund, record, acknowledge.

Dramatiq's defaults, its retries too (only their backoff is shorter, so that two minutes are enough). It believes that
a message comes once and that an error means that nothing happened. Demonstration only: nothing else uses this.
"""

import asyncio
import signal
import threading
from typing import Any

import aiohttp
import asyncpg
import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import AsyncIO

from demo.events import DemoEvent
from service.foundation.crash import CrashPoint, crash_point
from service.foundation.events import Event
from service.foundation.log import configure, event
from service.foundation.settings import Settings

QUEUE, NAMESPACE = "naive", "naive"
CHARGE, REFUND = "charge_order", "refund_order"
SCHEMA = """
CREATE TABLE orders (id uuid PRIMARY KEY, amount bigint NOT NULL, status text NOT NULL DEFAULT 'pending',
                     payment_intent text, refunded bigint NOT NULL DEFAULT 0)"""
_THREADS = 8
_HEARTBEAT_MS = 5_000  # after so long another worker takes a dead one's messages; the default is 60 s
_MAINTENANCE = 100_000  # of one million commands so many look for dead workers
_CALL_S = 5.0
_RETRY = {"min_backoff": 200, "max_backoff": 2_000}


def make_broker(url: str) -> RedisBroker:
    """Dramatiq's Redis broker with all its default middleware, and one event loop."""
    client = redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)
    broker = RedisBroker(  # type: ignore[no-untyped-call]
        client=client, namespace=NAMESPACE, heartbeat_timeout=_HEARTBEAT_MS, maintenance_chance=_MAINTENANCE
    )
    broker.add_middleware(AsyncIO())
    broker.declare_queue(QUEUE)
    return broker


def message(actor: str, order_id: str, amount: int) -> "dramatiq.Message[None]":
    """The message to charge one order, or to refund so much of it."""
    return dramatiq.Message(queue_name=QUEUE, actor_name=actor, args=(order_id, amount), kwargs={}, options=_RETRY)


class Consumer:
    """Charges or refunds, then records. Its connections are made when the first message comes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._making = asyncio.Lock()
        self._stripe: aiohttp.ClientSession | None = None
        self._database: Any = None

    async def charge_order(self, order_id: str, amount: int) -> None:
        """Charge one order and record it. A process may die between any two lines; the message then comes again."""
        event(DemoEvent.DELIVERED, count=1)
        await self._connect()
        crash_point(CrashPoint.WORKER_BEFORE_OPEN)
        intent = await self._charge(order_id, amount)
        crash_point(CrashPoint.WORKER_AFTER_REPLY)
        await self._database.execute(
            "UPDATE orders SET status = 'paid', payment_intent = $2 WHERE id = $1::text::uuid", order_id, intent
        )
        crash_point(CrashPoint.WORKER_AFTER_SETTLE)

    async def refund_order(self, order_id: str, amount: int) -> None:
        """Refund so much of one order and record it. A process may die between any two lines, as above."""
        event(DemoEvent.DELIVERED, count=1)
        await self._connect()
        crash_point(CrashPoint.WORKER_BEFORE_OPEN)
        intent = await self._database.fetchval("SELECT payment_intent FROM orders WHERE id = $1::text::uuid", order_id)
        await self._refund(intent, amount)
        crash_point(CrashPoint.WORKER_AFTER_REPLY)
        await self._database.execute("UPDATE orders SET refunded = $2 WHERE id = $1::text::uuid", order_id, amount)
        crash_point(CrashPoint.WORKER_AFTER_SETTLE)

    async def _charge(self, order_id: str, amount: int) -> str:
        form = {
            "amount": str(amount),
            "currency": "usd",
            "payment_method": "pm_card_visa",
            "automatic_payment_methods[enabled]": "true",
            "automatic_payment_methods[allow_redirects]": "never",
            "confirm": "true",
            "metadata[eo_order]": order_id,  # only the witness reads it, to know the order of a charge
        }
        return await self._post("/v1/payment_intents", form)

    async def _refund(self, intent: str, amount: int) -> str:
        return await self._post("/v1/refunds", {"payment_intent": intent, "amount": str(amount)})

    async def _post(self, path: str, form: dict[str, str]) -> str:
        """Post without an Idempotency-Key. Any error is raised, and Dramatiq delivers the message again."""
        if self._stripe is None:
            raise RuntimeError("not connected")
        async with self._stripe.post(self._settings.stripe_api_base + path, data=form) as answer:
            crash_point(CrashPoint.WORKER_REPLY_UNREAD)
            answer.raise_for_status()
            return str((await answer.json())["id"])

    async def _connect(self) -> None:
        async with self._making:
            if self._stripe is None:
                self._database = await asyncpg.create_pool(self._settings.database_url, min_size=0, max_size=_THREADS)
                self._stripe = aiohttp.ClientSession(
                    headers={"Authorization": f"Bearer {self._settings.stripe_api_key}"},
                    timeout=aiohttp.ClientTimeout(_CALL_S),
                )


def main() -> None:
    """One worker process, until SIGTERM."""
    configure("naive")
    settings = Settings.from_env()
    consumer = Consumer(settings)
    broker = make_broker(settings.redis_url)
    for name, work in ((CHARGE, consumer.charge_order), (REFUND, consumer.refund_order)):
        dramatiq.actor(broker=broker, queue_name=QUEUE, actor_name=name)(work)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    worker = dramatiq.Worker(broker, worker_threads=_THREADS, worker_timeout=100)
    worker.start()
    event(Event.READY)
    stop.wait()
    worker.stop()


if __name__ == "__main__":
    main()
