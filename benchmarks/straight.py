"""The straight line: `python -m benchmarks.straight` inserts, calls Stripe and settles, back to back, without a queue.

One process, no HTTP, no outbox, no worker: the least time an order can take from being due to being booked. It uses
the product's own statements to insert and to book, and its gateway, so that only the way between them differs.
"""

import asyncio
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import uvloop
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.load import BODY, key
from service import ledger, orders
from service.charges import payment_intent_request
from service.effects import STRIPE_VERSION
from service.foundation.postgres.db import BY_KEY, create_engine
from service.foundation.postgres.sql import Statement, begin, connect
from service.foundation.settings import Settings
from service.orders import Order, OrderRequest
from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.marks import Marks
from service.web import body

_PAID = Statement("UPDATE orders SET status = 'paid', payment_intent_id = :intent, updated_at = now() WHERE id = :id")
_ACCOUNT = Statement("SELECT id FROM accounts WHERE is_default")


class Question(msgspec.Struct):
    """The rate in orders per second, the duration in seconds, and the prefix of the keys."""

    rate: float
    seconds: float
    prefix: str


class Answered(msgspec.Struct):
    """The wall-clock time at which each order was due, and the CPU of this process."""

    due: list[float]
    cpu_s: float


async def run(question: Question) -> Answered:
    """Start each order when it is due, without waiting for earlier ones."""
    settings = Settings.from_env()
    engine = create_engine(settings, name="straight line", pool=32, session=BY_KEY)
    due: list[float] = []
    async with StripeGateway(settings) as gateway:
        async with connect(engine) as connection:
            account_id = (await connection.column(_ACCOUNT, {}))[0]
        began, cpu, tasks = time.perf_counter(), time.process_time(), []
        for number in range(int(question.rate * question.seconds)):
            await asyncio.sleep(max(0.0, began + number / question.rate - time.perf_counter()))
            due.append(time.time() - (time.perf_counter() - began - number / question.rate))
            order = _order(engine, gateway, account_id, key(question.prefix, number))
            tasks.append(asyncio.create_task(order))
        await asyncio.gather(*tasks)
    await engine.dispose()
    return Answered(due, time.process_time() - cpu)


async def _order(engine: AsyncEngine, gateway: StripeGateway, account_id: UUID, order_key: str) -> None:
    candidate = orders.Candidate.of(account_id, order_key, body.decode(BODY.encode(), OrderRequest))
    placed = (await orders.place(engine, [candidate]))[0]
    if not isinstance(placed, orders.Placed):
        raise placed
    answer = await gateway.create_payment_intent(
        _request(account_id, placed.order), key=order_key, version=STRIPE_VERSION
    )
    if answer.intent is None or answer.intent.charge_id is None:
        raise RuntimeError(f"the charge failed: {answer.word}")
    entry = ledger.charge_entry(
        account_id=account_id,
        order_id=UUID(placed.order.id),
        payment_intent_id=answer.intent.id,
        stripe_charge_id=answer.intent.charge_id,
        amount_minor=placed.order.amount,
        currency=placed.order.currency,
        occurred_at=datetime.fromtimestamp(answer.intent.created, UTC),
    )
    async with begin(engine) as tx:
        await tx.rows(_PAID, {"id": UUID(placed.order.id), "intent": answer.intent.id})
        await ledger.post(tx, [entry])


def _request(account_id: UUID, order: Order) -> Mapping[str, Any]:
    marks = Marks(account_id=account_id, order_id=UUID(order.id), attempt=1)
    return payment_intent_request(
        marks=marks,
        amount=order.amount,
        currency=order.currency,
        payment_method=order.payment_method,
        customer=None,
        description=None,
        metadata=order.metadata,
    )


def main() -> None:
    """One Question on stdin, one Answered on stdout."""
    question = msgspec.json.decode(sys.stdin.readline(), type=Question)
    print(msgspec.json.encode(uvloop.run(run(question))).decode())


if __name__ == "__main__":
    main()
