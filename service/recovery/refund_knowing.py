"""What this database knows of refunds that Stripe shows."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.sql import Batch, Connection, Statement, connect
from service.recovery.refund_adoption import KnownRefund, ListedRefund


class _Asked(Batch, frozen=True):
    """Refunds and what their metadata names."""

    alias = "i"
    refund: Sequence[str]
    intent: Sequence[str | None]
    account_id: Sequence[UUID | None]
    named: Sequence[UUID | None]
    key: Sequence[str | None]


_KNOWN = Statement(f"""
SELECT i.refund, c.id AS charge_id, c.status AS charge_status, c.account_id, c.order_id,
       r.id AS row_id, r.order_id AS row_order_id, r.charge_id AS row_charge_id, r.amount_minor AS row_amount,
       r.currency AS row_currency, r.status AS row_status, r.stripe_refund_id AS row_refund,
       held.id IS NOT NULL AS is_held, named.id IS NOT NULL AS by_id, coalesce(r.lease_until > now(), false) AS leased
  FROM {_Asked.unnest()}
  LEFT JOIN LATERAL (
    SELECT p.* FROM accounts a JOIN charges p ON p.account_id = a.id AND p.payment_intent_id = i.intent LIMIT 1
  ) AS c ON true
  LEFT JOIN refunds held ON held.account_id = c.account_id AND held.stripe_refund_id = i.refund
  LEFT JOIN refunds named ON named.id = i.named AND named.account_id = c.account_id AND i.account_id = c.account_id
  LEFT JOIN refunds keyed ON keyed.account_id = c.account_id AND i.account_id = c.account_id
   AND keyed.producer_key = i.key
  LEFT JOIN refunds r ON r.id = coalesce(held.id, named.id, keyed.id)
""").returning(KnownRefund)


async def known_of(connection: Connection, listed: Sequence[ListedRefund]) -> list[KnownRefund]:
    """What is known of each, seen by this connection."""
    marks = [one.marks for one in listed]
    asked = _Asked(
        refund=[one.shown.id for one in listed],
        intent=[one.shown.payment_intent for one in listed],
        account_id=[m.account_id if m else None for m in marks],
        named=[m.refund_id if m else None for m in marks],
        key=[one.key for one in listed],
    )
    found = {row.refund: row for row in await connection.rows(_KNOWN, asked.bound())}
    return [found[one.shown.id] for one in listed]


async def what_is_known(engine: AsyncEngine, listed: Sequence[ListedRefund]) -> list[KnownRefund]:
    """What is known of each, without any lock: good enough to pass over what needs nothing."""
    async with connect(engine) as connection:
        return await known_of(connection, listed)
