"""A wait for the customer that is over: the payment is to be canceled at Stripe (R36)."""

from collections.abc import Sequence
from uuid import UUID

from uuid_utils.compat import uuid7

from service.charges.model import OpenCharge
from service.foundation.postgres.sql import Batch, Connection, Statement
from service.outbox.rows import promise


class _Expired(Batch, frozen=True):
    """Charges whose time is over, and the ids of what they are canceled by."""

    alias = "i"
    id: Sequence[UUID]
    row_id: Sequence[UUID]
    charge_id: Sequence[UUID]
    account_id: Sequence[UUID]
    order_id: Sequence[UUID]


_CANCEL = Statement(f"""
WITH expired AS (
  INSERT INTO changes (id, account_id, order_id, charge_id, kind, wanted_by, nth, request, stripe_version)
  SELECT i.id, i.account_id, i.order_id, i.charge_id, 'cancel', 'expiry',
         (SELECT 1 + coalesce(max(c.nth), 0) FROM changes c WHERE c.charge_id = i.charge_id AND c.kind = 'cancel'),
         '{{}}', ''
    FROM {_Expired.unnest()} ORDER BY i.account_id, i.charge_id
  ON CONFLICT DO NOTHING  -- a change of the payment is under way already
  RETURNING id, account_id, order_id
), promised AS (
  {
    promise(
        "i.row_id",
        "e.account_id",
        "e.order_id",
        kind="'cancel'",
        payload="jsonb_build_object('effect', e.id)",
        source=f"expired e JOIN {_Expired.unnest()} ON i.id = e.id",
    )
}
)
SELECT FROM expired
""")


async def expire(tx: Connection, charges: Sequence[OpenCharge]) -> None:
    """Have these payments canceled, in the transaction that has settled their charges; their orders are locked."""
    batch = _Expired(
        id=[uuid7() for _ in charges],
        row_id=[uuid7() for _ in charges],
        charge_id=[c.id for c in charges],
        account_id=[c.account_id for c in charges],
        order_id=[c.order_id for c in charges],
    )
    await tx.run(_CANCEL, batch.bound())
