"""The naive service's worker: `python -m benchmarks.naive.worker`, eight threads as Dramatiq has them by default."""

import asyncio
import signal
import threading
from uuid import UUID

import dramatiq
import stripe
import uvloop
from dramatiq.brokers.redis import RedisBroker
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from benchmarks.naive.models import Charge, Entry, Order, Posting, engine_of
from service.foundation.settings import Settings

_settings = Settings.from_env()
broker = RedisBroker(url=_settings.redis_url, namespace="naive")  # type: ignore[no-untyped-call]
dramatiq.set_broker(broker)
client = stripe.StripeClient(_settings.stripe_api_key, base_addresses={"api": _settings.stripe_api_base})
stripe.enable_telemetry = False


class _Thread(threading.local):
    """The event loop and the connection of one worker thread."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self.engine: AsyncEngine = engine_of(_settings.database_url, pool_size=1)


_thread = _Thread()


@dramatiq.actor(broker=broker, max_retries=10)
def charge_order(order_id: str) -> None:
    """Charge one order: a transaction, the call to Stripe, a transaction."""
    order = _thread.runner.run(_open(UUID(order_id)))
    if order is None:
        return
    intent = client.v1.payment_intents.create(
        {
            "amount": order.amount_minor,
            "currency": order.currency,
            "payment_method": order.payment_method,
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
            "confirm": True,
            "metadata": {**order.details, "order": order_id},
        },
        {"idempotency_key": order.idempotency_key},
    )
    _thread.runner.run(_settle(order.id, intent))


async def _open(order_id: UUID) -> Order | None:
    async with AsyncSession(_thread.engine, expire_on_commit=False) as session:
        order = await session.get(Order, order_id)
        if order is None or order.status != "pending":
            return None
        session.add(Charge(order_id=order.id, payment_intent_id=None))
        await session.commit()
    return order


async def _settle(order_id: UUID, intent: stripe.PaymentIntent) -> None:
    async with AsyncSession(_thread.engine) as session:
        order = await session.get_one(Order, order_id, with_for_update=True)
        charge = (await session.scalars(select(Charge).filter_by(order_id=order_id))).one()
        order.status, order.payment_intent_id = "paid", intent.id
        charge.status, charge.payment_intent_id = "succeeded", intent.id
        amount, currency = order.amount_minor, order.currency
        legs = (("assets:stripe:balance", amount), ("revenue:orders", -amount))
        postings = [Posting(account=account, currency=currency, amount_minor=moved) for account, moved in legs]
        session.add(Entry(reference=f"charge:{intent.latest_charge}", order_id=order_id, postings=postings))
        await session.commit()


def main() -> None:
    """Work until SIGTERM."""
    worker = dramatiq.Worker(broker, worker_threads=8)
    worker.start()
    print("ready", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    worker.stop(timeout=5_000)


if __name__ == "__main__":
    main()
