"""Asking for a capture or a cancellation: judged under the order's lock, and promised by an outbox row.

Nothing here talks to Stripe. Of one payment there is at most one open change; the one that comes second is refused.
"""

from dataclasses import dataclass
from uuid import UUID

from msgspec import UNSET
from uuid_utils.compat import uuid7

from service import audit, notices
from service.audit import Action, Who
from service.changes.model import CaptureRequest
from service.foundation.errors import BadRequest, Conflict, NotConfirmed
from service.foundation.money import CURRENCIES
from service.foundation.postgres.sql import Connection, Record, Statement
from service.orders import operations
from service.orders.identity import CANCEL, CAPTURE, wire_key
from service.orders.model import Order
from service.orders.operations import Operations, Wish
from service.orders.reading import COLUMNS, OrderRow, captured, order_of
from service.outbox.handling import withdraw
from service.outbox.rows import promise
from service.outbox.tracing import carry_trace
from service.states import CANCELED_AT_STRIPE, CHANGE_OPEN, in_sql

DONE, ACCEPTED = 200, 202  # HTTP's words for what is true now, and for what will be asked of Stripe


@dataclass(frozen=True, slots=True)
class Changed:
    """The order as it is now, and the status of the first answer; `replayed` where an earlier request asked for it."""

    order: Order
    answered: int
    replayed: bool


async def capture(
    there: Operations, wish: Wish, request: CaptureRequest, *, who: Who | None = None, why: str | None = None
) -> Changed:
    """Take the money that is held. Durable when it returns. `who`: the operator who asks for it, and `why`.

    Raises NotFound, Conflict, UnprocessableKey, BadRequest for an amount that the currency does not take, NotConfirmed.
    """

    async def work(tx: Connection) -> Changed:
        order = await operations.locked(tx, wish)
        answered = DONE if order.status == "paid" else ACCEPTED
        if repeat := await operations.remember(tx, wish, order, answered=answered):
            return Changed(order_of(order), repeat.answered, replayed=True)
        amount = order.amount_minor if request.amount is UNSET else request.amount
        _check_capture(order, amount)
        if order.status == "authorized":
            payment = await payment_to_change(tx, order, CAPTURE)
            _refuse_second(payment, order)
            await add_change(tx, order, payment, kind=CAPTURE, wanted_by="producer", amount=amount)
        await _note(tx, Action.ORDER_CAPTURE, order, who, why, amount=amount, currency=order.currency)
        return Changed(order_of(order), answered, replayed=False)

    return await there.carry_out(wish, work)


async def cancel(there: Operations, wish: Wish, *, who: Who | None = None, why: str | None = None) -> Changed:
    """End an order without taking money. Durable when it returns. `who`: the operator who asks for it, and `why`.

    Raises NotFound, Conflict, UnprocessableKey, NotConfirmed.
    """

    async def work(tx: Connection) -> Changed:
        order = await operations.locked(tx, wish)
        answered = ACCEPTED if order.status in CANCELED_AT_STRIPE else DONE
        if repeat := await operations.remember(tx, wish, order, answered=answered):
            return Changed(order_of(order), repeat.answered, replayed=True)
        if order.status == "pending":
            order = await _cancel_unopened(tx, order)
        elif order.status in CANCELED_AT_STRIPE:
            payment = await payment_to_change(tx, order, CANCEL)
            if payment.open_kind != CANCEL:
                _refuse_second(payment, order)
                await add_change(tx, order, payment, kind=CANCEL, wanted_by="producer")
        elif order.status != "canceled":
            raise _not_canceled(order)
        await _note(tx, Action.ORDER_CANCEL, order, who, why)
        return Changed(order_of(order), answered, replayed=False)

    return await there.carry_out(wish, work)


async def _note(
    tx: Connection, action: Action, order: OrderRow, who: Who | None, why: str | None, **after: str | int
) -> None:
    """An operator's wish is noted in the transaction that stores it; a producer's is its operation."""
    if who is not None:
        before: audit.Shown = {"status": order.status}
        await audit.note(tx, who, action, str(order.id), reason=why, order_id=order.id, before=before, after=after)


def _not_canceled(order: OrderRow) -> Conflict:
    if order.status == "processing":
        return Conflict(
            "The order is processing: whether Stripe takes the money is not known yet. Wait for its end (GET "
            "/v1/orders/{id} with Prefer: wait); then cancel it, or refund it with POST /v1/orders/{id}/refunds."
        )
    if order.status == "paid":
        return Conflict("The order is paid: what was taken can only be given back, by POST /v1/orders/{id}/refunds.")
    return Conflict(f"The order is {order.status}: nothing was taken, and nothing more happens to it by itself.")


def _check_capture(order: OrderRow, amount: int) -> None:
    """Raises Conflict where the order has nothing that could be captured, BadRequest for an odd amount."""
    currency = CURRENCIES[order.currency]
    if amount % currency.step:
        raise BadRequest(
            f"amount must be a multiple of {currency.step} for {currency.code}.", code="amount-not-a-multiple"
        )
    # A repeat of a capture whose key this database forgot finds the order paid (R31).
    if order.status == "paid" and order.capture == "manual" and captured(order) == amount:
        return
    if order.status != "authorized":
        raise Conflict(
            f"The order is {order.status}: only an authorized one, placed with capture manual, can be captured. "
            "GET /v1/orders/{id} shows its state."
        )
    if amount > order.amount_minor:
        raise Conflict("The order is authorized for less than this amount: capture at most what the order asks for.")


def _refuse_second(payment: "Payment", order: OrderRow) -> None:
    if payment.open_kind is not None:
        raise Conflict(
            f"The order is {order.status}, and its {payment.open_kind} is under way. "
            "Wait for its end: GET /v1/orders/{id} with Prefer: wait."
        )


# No charge is on record. But a worker of an earlier life may still hold one that this database forgot, also of an order
# that was placed again since, under its key: its adoption would make the canceled order paid. So nothing is canceled
# before the life is closed. In the first life there is no such worker, once Stripe was asked (R31).
_CANCEL_UNOPENED = Statement(f"""
UPDATE orders SET status = 'canceled', updated_at = now()
 WHERE id = :id AND EXISTS (
   SELECT FROM lives l
    WHERE l.identity = database_identity()
      AND (l.verified_until = 'infinity'
        OR (l.verified_until > now() AND l.seen_at <= orders.created_at
            AND NOT EXISTS (SELECT FROM lives earlier WHERE earlier.id <> l.id))))
RETURNING {COLUMNS}
""").returning(OrderRow)
_LIFE_CLOSES_S = 30  # a life is closed some minutes after it began


async def _cancel_unopened(tx: Connection, order: OrderRow) -> OrderRow:
    """The order, canceled before anything of it was sent. Raises NotConfirmed where that is not known yet."""
    canceled = await tx.row(_CANCEL_UNOPENED, {"id": order.id})
    if canceled is None:
        raise NotConfirmed(
            "The order is pending, but the database was started, promoted or restored some minutes ago, and a charge "
            "that it may have forgotten could still be under way. The order is not canceled. Repeat the request with "
            "the same key; `eo status` shows when Stripe was asked.",
            retry_after_s=_LIFE_CLOSES_S,
        )
    await withdraw(tx, order.id)
    await notices.tell_of_orders(tx, [order.id])
    return canceled


class Payment(Record):
    """The newest attempt of an order, its open change if there is one, and the last try of a change of this kind."""

    id: UUID
    attempt: int
    status: str
    payment_intent_id: str | None
    open_kind: str | None
    last_try: int


# The key on the wire to Stripe has the number of the try, so that no two changes of one payment share a key (R37).
_PAYMENT = Statement(f"""
SELECT c.id, c.attempt, c.status, c.payment_intent_id, o.kind AS open_kind,
       (SELECT coalesce(max(nth), 0) FROM changes
         WHERE order_id = c.order_id AND charge_id = c.id AND kind = :kind) AS last_try
  FROM charges c LEFT JOIN changes o
    ON o.account_id = c.account_id AND o.charge_id = c.id AND o.status IN {in_sql(CHANGE_OPEN)}
 WHERE c.order_id = :order AND c.account_id = :account
 ORDER BY c.attempt DESC LIMIT 1
""").returning(Payment)


async def payment_to_change(tx: Connection, order: OrderRow, kind: str) -> Payment:
    """The newest attempt of a locked order that Stripe knows. Raises LookupError where there is none."""
    return await tx.one(_PAYMENT, {"order": order.id, "account": order.account_id, "kind": kind})


async def newest_payment(tx: Connection, order: OrderRow, kind: str) -> Payment | None:
    """The newest attempt of a locked order, if there is one."""
    return await tx.row(_PAYMENT, {"order": order.id, "account": order.account_id, "kind": kind})


_ADD = Statement(f"""
WITH made AS (
  INSERT INTO changes (id, account_id, order_id, charge_id, kind, wanted_by, amount_minor, idempotency_key, nth,
                       request, stripe_version)
  VALUES (:id, :account, :order, :charge, :kind, :wanted_by, :amount, :key, :nth, '{{}}', '')
  RETURNING id, account_id, order_id, kind
), promised AS (
  {
    promise(
        "CAST(:promise AS uuid)",
        "made.account_id",
        "made.order_id",
        source="made",
        kind="made.kind",
        payload="jsonb_build_object('effect', made.id)",
    )
}
)
SELECT FROM made
""")


async def add_change(
    tx: Connection, order: OrderRow, payment: Payment, *, kind: str, wanted_by: str, amount: int | None = None
) -> None:
    """A change of this payment is owed from now on; a worker makes its request when it opens it."""
    nth = payment.last_try + 1
    key = wire_key(
        account_id=order.account_id,
        is_default=False,  # of no matter: only a first charge has another key for the default account
        operation=kind,
        order_key=order.idempotency_key,
        attempt=payment.attempt,
        nth=nth,
    )
    row_id = uuid7()
    values = {
        "id": uuid7(),
        "promise": row_id,
        "account": order.account_id,
        "order": order.id,
        "charge": payment.id,
        "kind": kind,
        "wanted_by": wanted_by,
        "amount": amount,
        "key": key,
        "nth": nth,
    }
    await tx.run(_ADD, values)
    await carry_trace(tx, row_id)
