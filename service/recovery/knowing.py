"""A listed PaymentIntent of this installation, and what this database knows of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.sql import Batch, Connection, SmallInt, Statement, connect
from service.orders.keys import is_key
from service.recovery.adoption import Known
from service.stripe_gateway.marks import Marks
from service.stripe_gateway.objects import Intent


@dataclass(frozen=True, slots=True)
class Listed:
    """A PaymentIntent of this installation, with what its metadata says."""

    intent: Intent
    marks: Marks

    @property
    def created(self) -> datetime:
        """Stripe's moment."""
        return datetime.fromtimestamp(self.intent.created, UTC)


async def what_is_known(engine: AsyncEngine, listed: Sequence[Listed]) -> list[Known]:
    """What is known of each, without any lock: good enough to pass over what needs nothing."""
    async with connect(engine) as connection:
        return await known_of(connection, listed)


class _Asked(Batch, frozen=True):
    """PaymentIntents and what their metadata names."""

    alias = "i"
    intent: Sequence[str]
    account_id: Sequence[UUID]
    order_id: Sequence[UUID]
    attempt: Sequence[SmallInt]
    key: Sequence[str | None]


_KNOWN = Statement(f"""
SELECT i.intent, a.id AS account_id, a.is_default, o.id AS order_id, named.id IS NOT NULL AS by_id,
       o.amount_minor AS amount, o.currency, o.fingerprint, c.id AS charge_id, c.status AS charge_status,
       c.payment_intent_id AS charge_intent, coalesce(c.lease_until > now(), false) AS leased,
       h.id AS holder_id, h.status AS holder_status
  FROM {_Asked.unnest()}
  LEFT JOIN accounts a ON a.id = i.account_id
  LEFT JOIN order_aliases l ON l.id = i.order_id AND l.account_id = i.account_id
  LEFT JOIN orders named ON named.id = coalesce(l.order_id, i.order_id) AND named.account_id = i.account_id
  LEFT JOIN orders held ON held.account_id = i.account_id AND held.idempotency_key = i.key
  LEFT JOIN orders o ON o.id = coalesce(named.id, held.id)
  LEFT JOIN charges c ON c.order_id = o.id AND c.attempt = i.attempt
  LEFT JOIN charges h ON h.account_id = i.account_id AND h.payment_intent_id = i.intent
""").returning(Known)


async def known_of(connection: Connection, listed: Sequence[Listed]) -> list[Known]:
    """What is known of each, seen by this connection."""
    asked = _Asked(
        intent=[one.intent.id for one in listed],
        account_id=[one.marks.account_id for one in listed],
        order_id=[one.marks.order_id for one in listed],
        attempt=[one.marks.attempt for one in listed],
        key=[one.marks.key if one.marks.key and is_key(one.marks.key) else None for one in listed],
    )
    rows = {row.intent: row for row in await connection.rows(_KNOWN, asked.bound())}
    return [rows[one.intent.id] for one in listed]
