"""Paying again: another attempt after a definitive decline, never after an unknown (R25).

Before the next attempt is sent, the PaymentIntent of the one before must be canceled at Stripe: a change wanted by
`pay`, whose settlement promises the attempt. Where there is none, the attempt is promised at once.
"""

import msgspec
from uuid_utils.compat import uuid7

from service.changes.asking import ACCEPTED, Changed, Payment, add_change, newest_payment
from service.changes.model import PayRequest
from service.charges.ending import FAILED_BY_HAND
from service.foundation.errors import Conflict
from service.foundation.postgres.sql import Connection, Statement
from service.orders import operations
from service.orders.identity import CANCEL
from service.orders.model import MADE_AGAIN, NEVER_EXECUTED, Failure
from service.orders.operations import Operations, Wish
from service.orders.reading import OrderRow, order_of
from service.outbox.rows import promise
from service.outbox.tracing import carry_trace
from service.states import CHARGE_ENDED_UNPAID, ORDER_MOVES_BY_ITSELF


async def pay(there: Operations, wish: Wish, request: PayRequest) -> Changed:
    """Begin another attempt with another payment method. Durable when it returns.

    Raises NotFound, Conflict, UnprocessableKey, NotConfirmed.
    """

    async def work(tx: Connection) -> Changed:
        order = await operations.locked(tx, wish)
        if repeat := await operations.remember(tx, wish, order, answered=ACCEPTED):
            return Changed(order_of(order), repeat.answered, replayed=True)
        payment = await newest_payment(tx, order, CANCEL)
        code = _why_failed(order)
        _check(order, code, payment)
        is_at_stripe = payment is not None and payment.payment_intent_id is not None
        # A listing may have shown since that it ran all the same: then it is an attempt like any other.
        runs_again = code == NEVER_EXECUTED and not is_at_stripe
        attempt = order.attempt if runs_again else order.attempt + 1
        if runs_again and payment is not None:
            await tx.run(_SEND_AGAIN, {"charge": payment.id})
        if payment is not None and is_at_stripe and payment.status != "canceled":
            await add_change(tx, order, payment, kind=CANCEL, wanted_by="pay")
        else:
            await _promise(tx, order, attempt)
        await tx.run(_BEGIN, {"id": order.id, "attempt": attempt, "payment_method": request.payment_method})
        return Changed(order_of(await operations.read_back(tx, order.id)), ACCEPTED, replayed=False)

    return await there.carry_out(wish, work)


def _why_failed(order: OrderRow) -> str | None:
    return msgspec.json.decode(order.failure_text, type=Failure).code if order.failure_text else None


def _check(order: OrderRow, code: str | None, payment: Payment | None) -> None:
    """Raises Conflict where no other attempt may be made."""
    if order.status != "failed":
        raise Conflict(f"The order is {order.status}: only a failed one can be paid again. {_next_step(order)}")
    if code == FAILED_BY_HAND:
        raise Conflict(
            "The order is failed because an operator ended it: whether Stripe took the money is not known, so it is "
            "not charged again. Place a new order once you know."
        )
    if payment is not None and payment.open_kind is not None:
        raise Conflict(f"The order is failed, and its {payment.open_kind} is under way. Try again once that has ended.")
    if payment is not None and payment.status not in CHARGE_ENDED_UNPAID:
        raise Conflict(
            "The order is failed, and its last attempt has no end yet. GET /v1/orders/{id}/timeline shows it."
        )


def _next_step(order: OrderRow) -> str:
    if order.status in ORDER_MOVES_BY_ITSELF:
        return "Wait for its end: GET /v1/orders/{id} with Prefer: wait."
    if order.status == "requires_action":
        return "Its customer has to act: GET /v1/orders/{id}/action."
    if order.status == "authorized":
        return "Its money is held: POST /v1/orders/{id}/capture takes it."
    return "It has its money." if order.status == "paid" else "Place a new order."


# Proven not to have run: the same attempt and key, as if it had never been sent. Its request is built anew.
_SEND_AGAIN = Statement(f"""
UPDATE charges SET status = 'sending', next_call = 'send', maybe_executed = false, first_sent_at = NULL,
    last_sent_at = NULL, token = NULL, lease_until = NULL, unclear_in_a_row = 0, failure = NULL, updated_at = now(),
    history = history || jsonb_build_object('at', now(), 'reason', '{MADE_AGAIN}')
 WHERE id = :charge
""")

_BEGIN = Statement("""
UPDATE orders SET status = 'processing', attempt = :attempt, payment_method = :payment_method, failure = NULL,
    updated_at = now()
 WHERE id = :id
""")

_PROMISE = Statement(
    promise(
        "CAST(:promise AS uuid)",
        "o.account_id",
        "o.id",
        source="orders o WHERE o.id = :order",
        payload="jsonb_build_object('attempt', CAST(:attempt AS int))",
    )
)


async def _promise(tx: Connection, order: OrderRow, attempt: int) -> None:
    row_id = uuid7()
    values: dict[str, object] = {"promise": row_id, "order": order.id, "attempt": attempt}
    await tx.run(_PROMISE, values)
    await carry_trace(tx, row_id)
