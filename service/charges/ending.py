"""Ending an order by hand: for the rows that only a human can decide about (R32)."""

import json
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service import audit, notices, orders
from service.audit import Action, Who
from service.foundation import log
from service.foundation.errors import Misconfigured, NotFound
from service.foundation.events import Event
from service.foundation.postgres.sql import Record, Statement, begin
from service.outbox.handling import withdraw
from service.outbox.rows import ROWS
from service.states import CHANGE_OPEN, CHARGE_ENDED_UNPAID, CHARGE_UNANSWERED, in_sql

FAILED_BY_HAND = "failed_by_operator"


class _Parked(Record):
    """A parked row of the order, and how the order stands."""

    status: str
    last_error: str | None


# What is owed is a charge, or the cancellation that must be done before the next one (R25).
_PARKED = Statement(f"""
SELECT o.status, x.last_error FROM orders o JOIN {ROWS} ON x.order_id = o.id
 WHERE o.id = :id AND x.kind IN ('charge', 'cancel') AND x.is_parked ORDER BY x.id
""").returning(_Parked)

_IN_HAND = Statement("""
SELECT FROM charges WHERE order_id = :id AND lease_until > now()
UNION ALL
SELECT FROM changes WHERE order_id = :id AND lease_until > now()
""")

_AT_STRIPE = Statement(f"""
SELECT FROM charges
 WHERE order_id = :id AND payment_intent_id IS NOT NULL AND status NOT IN {in_sql(CHARGE_ENDED_UNPAID)}
""")

_END_CHARGE = Statement(f"""
UPDATE charges SET status = 'declined', token = NULL, lease_until = NULL, failure = CAST(:failure AS jsonb),
    history = history || jsonb_build_object('at', now(), 'answer', 'ended by hand'), updated_at = now()
 WHERE order_id = :id AND status IN {in_sql(CHARGE_UNANSWERED)}
""")

_END_CHANGE = Statement(f"""
UPDATE changes SET status = 'refused', token = NULL, lease_until = NULL, updated_at = now(),
    history = history || jsonb_build_object('at', now(), 'answer', 'ended by hand')
 WHERE order_id = :id AND wanted_by = 'pay' AND status IN {in_sql(CHANGE_OPEN)}
""")

_TO_PROCESSING = Statement("UPDATE orders SET status = 'processing' WHERE id = :id AND status = 'pending'")

_TO_FAILED = Statement("""
UPDATE orders SET status = 'failed', failure = CAST(:failure AS jsonb), updated_at = now()
 WHERE id = :id AND status = 'processing'
""")


async def fail_by_hand(engine: AsyncEngine, order_id: UUID, reason: str, *, who: Who) -> None:
    """Make a parked order `failed`; nothing of it is sent any more. `reason` is shown to its producer.

    Stripe's proof of success would still make it `paid` (R23). Raises NotFound where no row of it is parked, and
    Misconfigured where a call may be in flight, or where its PaymentIntent is known and may still take the money.
    """
    failure = {"code": FAILED_BY_HAND, "decline_code": None, "message": reason}
    which: dict[str, object] = {"id": order_id}
    failed = which | {"failure": json.dumps(failure)}
    async with begin(engine) as tx:
        await orders.lock(tx, [order_id])
        parked = await tx.row(_PARKED, which)
        if parked is None:
            raise NotFound("There is no parked row of this order. `eo outbox list --parked` shows what there is.")
        if await tx.row(_IN_HAND, which) is not None:
            raise Misconfigured("A worker may be calling Stripe for it at this moment. Say it again in a minute.")
        if await tx.row(_AT_STRIPE, which) is not None:
            raise Misconfigured(
                "Its PaymentIntent is known and may still take the money: `eo outbox retry` asks Stripe."
            )
        await tx.run(_END_CHARGE, failed)
        await tx.run(_END_CHANGE, which)
        await tx.run(_TO_PROCESSING, which)
        await tx.run(_TO_FAILED, failed)
        await notices.tell_of_orders(tx, [order_id])
        await withdraw(tx, order_id)
        before = {"status": parked.status, "last_error": parked.last_error}
        after = {"status": "failed"}
        await audit.note(
            tx, who, Action.ORDER_FAIL, str(order_id), reason=reason, order_id=order_id, before=before, after=after
        )
    log.event(Event.ORDER_FAILED_BY_OPERATOR, order_id=str(order_id))
