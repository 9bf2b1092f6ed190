"""What a producer asks of a payment that exists: the row of the effect and its promise, as the API writes them."""

from dataclasses import dataclass
from itertools import count
from typing import Any

from service.charges.lookup import NEVER_EXECUTED
from service.outbox.rows import promise
from tests.charges.world import Books, Promise

_numbers = count(1)


@dataclass(frozen=True)
class Asked(Promise):
    """An accepted wish: its effect's id, and the outbox row that promises it."""

    effect: Any = None


_CHANGE = f"""
WITH made AS (
  INSERT INTO changes (id, account_id, order_id, charge_id, kind, wanted_by, amount_minor, nth, request, stripe_version)
  SELECT gen_random_uuid(), c.account_id, c.order_id, c.id, CAST(:kind AS text), CAST(:wanted_by AS text),
         CAST(:amount AS bigint),
         (SELECT 1 + coalesce(max(b.nth), 0) FROM changes b WHERE b.charge_id = c.id AND b.kind = :kind), '{{}}', ''
    FROM charges c WHERE c.order_id = :order ORDER BY c.attempt DESC LIMIT 1
  RETURNING id, account_id, order_id, kind
), promised AS (
  {
    promise(
        "gen_random_uuid()",
        "made.account_id",
        "made.order_id",
        source="made",
        kind="made.kind",
        payload="jsonb_build_object('effect', made.id)",
    )
}
  RETURNING id
)
SELECT made.id, promised.id AS outbox_id FROM made, promised
"""


async def ask_capture(books: Books, order: Promise, amount: int | None = None) -> Asked:
    """Take what is held, or so much of it."""
    if amount is None:
        amount = (await books.one("SELECT amount_minor FROM orders WHERE id = :id", id=order.order_id))["amount_minor"]
    return await _change(books, order, "capture", "producer", amount)


async def ask_cancel(books: Books, order: Promise) -> Asked:
    """Let go what is held, or what its customer has not finished."""
    return await _change(books, order, "cancel", "producer", None)


async def _change(books: Books, order: Promise, kind: str, wanted_by: str, amount: int | None) -> Asked:
    made = await books.one(_CHANGE, order=order.order_id, kind=kind, wanted_by=wanted_by, amount=amount)
    return _asked(order, made)


def _asked(order: Promise, made: dict[str, Any]) -> Asked:
    return Asked(order.order_id, made["outbox_id"], order.account_id, order.key, effect=made["id"])


_REFUND = f"""
WITH counted AS (
  UPDATE orders SET amount_refunding_minor = amount_refunding_minor + CAST(:amount AS bigint) WHERE id = :order
), made AS (
  INSERT INTO refunds (id, account_id, order_id, charge_id, producer_key, amount_minor, currency, reason, metadata,
                       request, stripe_version)
  SELECT gen_random_uuid(), c.account_id, c.order_id, c.id, CAST(:key AS text), CAST(:amount AS bigint), c.currency,
         CAST(:reason AS text), CAST(:metadata AS jsonb), '{{}}', ''
    FROM charges c WHERE c.order_id = :order AND c.status = 'succeeded'
  RETURNING id, account_id, order_id
), promised AS (
  {
    promise(
        "gen_random_uuid()",
        "made.account_id",
        "made.order_id",
        source="made",
        kind="'refund'",
        payload="jsonb_build_object('effect', made.id)",
    )
}
  RETURNING id
)
SELECT made.id, promised.id AS outbox_id FROM made, promised
"""


async def ask_refund(
    books: Books,
    order: Promise,
    amount: int,
    *,
    key: str | None = None,
    reason: str | None = None,
    metadata: str = "{}",
) -> Asked:
    """Give so much back, in minor units."""
    made = await books.one(
        _REFUND,
        order=order.order_id,
        amount=amount,
        key=key or f"refund:{next(_numbers)}",
        reason=reason,
        metadata=metadata,
    )
    return _asked(order, made)


_BEGIN = """
UPDATE orders SET status = 'processing', attempt = :attempt, payment_method = :payment_method, failure = NULL
 WHERE id = :order AND status = 'failed'
RETURNING id
"""

_SEND_AGAIN = """
UPDATE charges SET status = 'sending', next_call = 'send', maybe_executed = false, first_sent_at = NULL,
    last_sent_at = NULL, token = NULL, lease_until = NULL, unclear_in_a_row = 0, failure = NULL
 WHERE id = :charge
"""

_PROMISE = promise(
    "gen_random_uuid()",
    "o.account_id",
    "o.id",
    source="orders o WHERE o.id = :order",
    payload="jsonb_build_object('attempt', CAST(:attempt AS int))",
)


async def ask_pay(books: Books, order: Promise, payment_method: str = "pm_card_visa") -> Asked:
    """Begin another attempt of a failed order (R25); the promise is of the attempt, or of the cancellation before it.

    Where the last attempt was never executed it is sent again, under the same key.
    """
    last = await books.one(
        "SELECT c.*, o.failure AS why FROM charges c JOIN orders o ON o.id = c.order_id WHERE o.id = :id"
        " ORDER BY c.attempt DESC LIMIT 1",
        id=order.order_id,
    )
    never_executed = last["why"]["code"] == NEVER_EXECUTED
    attempt = last["attempt"] + (not never_executed)
    (_,) = await books.all(_BEGIN, order=order.order_id, attempt=attempt, payment_method=payment_method)
    if last["payment_intent_id"] is not None and last["status"] != "canceled":
        return await _change(books, order, "cancel", "pay", None)
    if never_executed:
        await books.run(_SEND_AGAIN, charge=last["id"])
    promised = await books.one(f"{_PROMISE} RETURNING id AS outbox_id", order=order.order_id, attempt=attempt)
    return _asked(order, promised | {"id": last["id"]})
