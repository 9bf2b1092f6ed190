"""Asking for a refund: judged under the order's lock, counted there as under way, and promised by an outbox row.

What is under way counts as given back, so that no two refunds take the same money (R26). Each has the key that its
producer gave it: two equal refunds under two keys are two refunds (R37). Nothing here talks to Stripe.
"""

from dataclasses import dataclass

import msgspec
from msgspec import UNSET
from uuid_utils.compat import uuid7

from service import audit
from service.audit import Action, Who
from service.foundation.errors import BadRequest, Conflict, UnprocessableKey
from service.foundation.money import CURRENCIES, spelled
from service.foundation.postgres.sql import Connection, Statement
from service.orders import operations
from service.orders.operations import Operations, Wish
from service.orders.reading import OrderRow, captured
from service.outbox.rows import promise
from service.outbox.tracing import carry_trace
from service.refunds.disputed import open_dispute
from service.refunds.model import Refund, RefundRequest
from service.refunds.reading import COLUMNS, RefundRow, refund_of

CREATED = 201  # HTTP's word for what was made


@dataclass(frozen=True, slots=True)
class Refunded:
    """The refund as it is now; `replayed` where an earlier request made it."""

    refund: Refund
    replayed: bool


async def refund(
    there: Operations, wish: Wish, request: RefundRequest, *, who: Who | None = None, why: str | None = None
) -> Refunded:
    """Give money back. Durable when it returns. `who`: the operator who asks for it, and `why`.

    Raises NotFound, Conflict, UnprocessableKey, NotConfirmed, or BadRequest where the order's currency forbids it.
    """

    async def work(tx: Connection) -> Refunded:
        order = await operations.locked(tx, wish)
        repeat = await operations.remember(tx, wish, order, answered=CREATED)
        known = await tx.row(_OF_KEY, {"account": wish.account_id, "key": wish.key})
        if known is not None:
            if repeat is None:
                _compare(known, order, request)
                operations.absorb_after(tx, order)
            return Refunded(refund_of(known), replayed=True)
        made = await _add(tx, wish, order, request, await judged(tx, order, request))
        if who is not None:
            after: audit.Shown = {"refund": made.id, "amount": made.amount, "currency": made.currency}
            await audit.note(tx, who, Action.REFUND_ASK, made.id, reason=why, order_id=order.id, after=after)
        return Refunded(made, replayed=False)

    return await there.carry_out(wish, work)


# Also one that was made before this database forgot it, and was brought back from Stripe under its key (R31).
_OF_KEY = Statement(f"""
SELECT {COLUMNS} FROM refunds WHERE account_id = :account AND producer_key = :key
""").returning(RefundRow)


def _compare(known: RefundRow, order: OrderRow, request: RefundRequest) -> None:
    """Raises UnprocessableKey where the refund that was brought back is not the one that is asked for."""
    shown = refund_of(known)
    same = (
        known.order_id == order.id
        and request.amount in (UNSET, shown.amount)
        and request.currency in (UNSET, shown.currency)
        and (None if request.reason is UNSET else request.reason) == shown.reason
        and request.metadata == shown.metadata
    )
    if not same:
        raise UnprocessableKey("This idempotency key was used for another refund. Use a new key for a new refund.")


async def judged(connection: Connection, order: OrderRow, request: RefundRequest) -> int:
    """What would be given back, in minor units. Raises Conflict or BadRequest where it may not be."""
    _check_request(order, request)
    if order.amount_disputed_minor > 0:
        await _check_disputes(connection, order)
    return _amount(order, request)


def _check_request(order: OrderRow, request: RefundRequest) -> None:
    """What the order's currency takes. Raises BadRequest."""
    if request.currency not in (UNSET, order.currency):
        raise BadRequest("currency must be the order's; it may be left out.", code="currency-mismatch")
    rules = CURRENCIES[order.currency]
    if request.amount is not UNSET and request.amount % rules.step:
        raise BadRequest(f"amount must be a multiple of {rules.step} for {rules.code}.", code="amount-not-a-multiple")


async def _check_disputes(tx: Connection, order: OrderRow) -> None:
    """Raises Conflict while a dispute of the order is open. Every dispute is settled under the same lock."""
    found = await open_dispute(tx, order.id)
    if found is not None:
        raise Conflict(
            f"The order is {order.status}, and its dispute {found.id} is open ({found.status}): the bank may give the "
            f"same money back. GET /v1/disputes/{found.id} shows it; answer or accept it at Stripe, and refund what is "
            "left once it is decided."
        )


def _amount(order: OrderRow, request: RefundRequest) -> int:
    """What is to be given back, in minor units. Raises Conflict where the order's state forbids it."""
    if order.status != "paid":
        raise Conflict(f"The order is {order.status}: only what was taken can be given back. {_next_step(order)}")
    left = left_of(order)
    amount = left if request.amount is UNSET else request.amount
    if left <= 0:
        raise Conflict(f"The order is paid, and all of it was given back{_of_these(order)}. Nothing is left.")
    if amount > left:
        raise Conflict(
            f"The order is paid, and {spelled(left, order.currency)} are left{_of_these(order)}: refund less."
        )
    return amount


def left_of(order: OrderRow) -> int:
    """What can still be given back, in minor units, while no dispute is open: then what is disputed is lost."""
    return captured(order) - order.amount_refunded_minor - order.amount_refunding_minor - order.amount_disputed_minor


def _of_these(order: OrderRow) -> str:
    parts = {"by refunds that are under way": order.amount_refunding_minor, "by disputes": order.amount_disputed_minor}
    told = [f"{spelled(amount, order.currency)} {how}" for how, amount in parts.items() if amount]
    return f" ({', '.join(told)})" if told else ""


def _next_step(order: OrderRow) -> str:
    if order.status == "authorized":
        return "POST /v1/orders/{id}/cancel releases what is held."
    return "GET /v1/orders/{id} shows its state."


# The refund takes its charge from the same statement, so that none is made without one.
_ADD = Statement(f"""
WITH made AS (
  INSERT INTO refunds (id, account_id, order_id, charge_id, producer_key, amount_minor, currency, reason,
                       metadata, request, stripe_version)
  SELECT CAST(:id AS uuid), c.account_id, c.order_id, c.id, CAST(:key AS text),
         CAST(:amount AS bigint), CAST(:currency AS text), CAST(:reason AS text), CAST(:metadata AS jsonb),
         '{{}}', ''
    FROM charges c WHERE c.account_id = :account AND c.order_id = :order AND c.status = 'succeeded'
  RETURNING {COLUMNS}, account_id
), counted AS (
  UPDATE orders SET amount_refunding_minor = amount_refunding_minor + CAST(:amount AS bigint), updated_at = now()
   WHERE id = (SELECT order_id FROM made)
), promised AS (
  {
    promise(
        "CAST(:promise AS uuid)",
        "made.account_id",
        "made.order_id",
        source="made",
        kind="'refund'",
        payload="jsonb_build_object('effect', made.id)",
    )
}
)
SELECT id, order_id, status, amount_minor, currency, reason, metadata_text, producer_key, stripe_refund_id,
       failure_text, created_at, updated_at
  FROM made
""").returning(RefundRow)


async def _add(tx: Connection, wish: Wish, order: OrderRow, request: RefundRequest, amount: int) -> Refund:
    """A refund is owed from now on. What a failed one left owed is drawn down when Stripe has made this one."""
    row_id = uuid7()
    values: dict[str, object] = {
        "id": uuid7(),
        "promise": row_id,
        "account": order.account_id,
        "order": order.id,
        "key": wish.key,
        "amount": amount,
        "currency": order.currency,
        "reason": None if request.reason is UNSET else request.reason,
        "metadata": msgspec.json.encode(request.metadata).decode(),
    }
    made = await tx.one(_ADD, values)
    await carry_trace(tx, row_id)
    return refund_of(made)
