"""Ending a refund by hand: for the rows that only a human can decide about."""

import json
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service import audit, orders
from service.audit import Action, Who
from service.charges.ending import FAILED_BY_HAND
from service.foundation import log
from service.foundation.errors import Misconfigured, NotFound
from service.foundation.events import Event
from service.foundation.postgres.sql import Connection, Record, Statement, begin
from service.outbox.handling import complete_rows
from service.outbox.rows import ROWS
from service.refunds.telling import tell_of_refunds
from service.states import REFUND_OPEN, in_sql


class _Parked(Record):
    order_id: UUID
    status: str
    last_error: str | None
    outbox_id: UUID
    is_leased: bool
    stripe_refund_id: str | None


_PARKED = Statement(f"""
SELECT r.order_id, r.status, x.last_error, x.id AS outbox_id,
       coalesce(r.lease_until > now(), false) AS is_leased, r.stripe_refund_id
  FROM refunds r JOIN {ROWS} ON x.order_id = r.order_id AND x.kind = 'refund' AND x.effect = r.id AND x.is_parked
 WHERE r.id = :id AND r.status IN {in_sql(REFUND_OPEN)}
""").returning(_Parked)

_END = Statement("""
WITH ended AS (
  UPDATE refunds SET status = 'failed', token = NULL, lease_until = NULL, failure = CAST(:failure AS jsonb),
      history = history || jsonb_build_object('at', now(), 'answer', 'ended by hand'), updated_at = now()
   WHERE id = :id
  RETURNING order_id, amount_minor
)
UPDATE orders o SET amount_refunding_minor = o.amount_refunding_minor - e.amount_minor, updated_at = now()
  FROM ended e WHERE o.id = e.order_id
""")


async def fail_by_hand(engine: AsyncEngine, refund_id: UUID, reason: str, *, who: Who) -> None:
    """Make a parked refund `failed`, so that its amount can be refunded again. `reason` is shown to its producer.

    Should Stripe show it later, it is booked and reported. Raises NotFound where it is not parked, and Misconfigured
    where a call may be in flight, or where Stripe has made it.
    """
    failure = {"code": FAILED_BY_HAND, "decline_code": None, "message": reason}
    async with begin(engine) as tx:
        parked = await _parked(tx, refund_id)
        await orders.lock(tx, [parked.order_id])
        parked = await _parked(tx, refund_id)
        if parked.is_leased:
            raise Misconfigured("A worker may be calling Stripe for it at this moment. Say it again in a minute.")
        if parked.stripe_refund_id is not None:
            raise Misconfigured("Stripe has made it, and says how it ends: `eo outbox retry` asks Stripe.")
        await tx.run(_END, {"id": refund_id, "failure": json.dumps(failure)})
        await complete_rows(tx, [parked.outbox_id])
        await tell_of_refunds(tx, [refund_id])
        before = {"status": parked.status, "last_error": parked.last_error}
        order_id, after = parked.order_id, {"status": "failed"}
        await audit.note(
            tx, who, Action.REFUND_FAIL, str(refund_id), reason=reason, order_id=order_id, before=before, after=after
        )
    log.event(Event.REFUND_FAILED_BY_OPERATOR, refund=str(refund_id))


async def _parked(tx: Connection, refund_id: UUID) -> _Parked:
    found = await tx.row(_PARKED, {"id": refund_id})
    if found is None:
        raise NotFound("There is no parked row of this refund. `eo outbox list --parked` shows what there is.")
    return found
