"""What a producer asks of a payment that exists, as the API stores it."""

from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from service import changes, refunds
from service.foundation.postgres.durability import Durability
from service.orders.operations import Operations, Wish
from service.outbox import Waker
from tests.charges.world import Books, Promise

_numbers = count(1)


@dataclass(frozen=True)
class Asked(Promise):
    """An accepted wish, and the outbox row that promises it. `effect`: of the change or refund; None: of a charge."""

    effect: UUID | None = None


def api(engine: AsyncEngine) -> Operations:
    """The operations of an API process on this engine."""
    return Operations(engine, Durability(engine), Waker(engine))


async def ask_capture(books: Books, order: Promise, amount: int | None = None) -> Asked:
    """Take what is held, or so much of it."""
    request = changes.CaptureRequest() if amount is None else changes.CaptureRequest(amount)
    await changes.capture(api(books.engine), _wish("capture", order, request), request)
    return await _newest(books, order)


async def ask_cancel(books: Books, order: Promise) -> Asked:
    """Let go what is held, or what its customer has not finished."""
    await changes.cancel(api(books.engine), _wish("cancel", order, changes.CancelRequest()))
    return await _newest(books, order)


async def ask_pay(books: Books, order: Promise, payment_method: str = "pm_card_visa") -> Asked:
    """Begin another attempt of a failed order; the promise is of the attempt, or of the cancellation before it."""
    request = changes.PayRequest(payment_method)
    await changes.pay(api(books.engine), _wish("pay", order, request), request)
    return await _newest(books, order)


async def ask_refund(books: Books, order: Promise, amount: int, *, key: str | None = None, **more: Any) -> Asked:
    """Give so much back, in minor units."""
    request = msgspec.convert({"amount": amount, **more}, refunds.RefundRequest)
    await refunds.refund(api(books.engine), _wish("refund", order, request, key), request)
    return await _newest(books, order)


def _wish(operation: str, order: Promise, request: msgspec.Struct, key: str | None = None) -> Wish:
    key = key or f"{operation}:{next(_numbers)}"
    return Wish(operation, order.account_id, order.order_id, key, request)


async def _newest(books: Books, order: Promise) -> Asked:
    """The newest outbox row of the order."""
    row = await books.one(
        "SELECT id, CAST(payload ->> 'effect' AS uuid) AS effect FROM outbox WHERE order_id = :order"
        " ORDER BY created_at DESC, id DESC LIMIT 1",
        order=order.order_id,
    )
    return Asked(order.order_id, row["id"], order.account_id, order.key, effect=row["effect"])
