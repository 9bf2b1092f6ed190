"""Early fraud warnings: what a card's bank believes to be fraud, before anybody disputes it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.disputes.belonging import Payment, ours
from service.disputes.model import FraudWarning
from service.disputes.seen import Seen
from service.disputes.telling import tell_of_warnings
from service.foundation import log
from service.foundation.events import Event
from service.foundation.postgres.db import repeat_on_deadlock
from service.foundation.postgres.sql import Batch, Connection, Record, Statement, begin
from service.stripe_gateway.disputes import EarlyFraudWarning


async def settle_warnings(engine: AsyncEngine, found: Sequence[Seen[EarlyFraudWarning]]) -> set[str]:
    """Store what Stripe shows; returns the ids of those that are known here now. They change nothing of an order."""
    newest = {one.id: one for one in sorted(found, key=lambda one: one.asked_at)}
    readable = [one for _, one in sorted(newest.items()) if _is_readable(one)]

    async def once() -> set[str]:
        async with begin(engine) as tx:
            payments = await ours(tx, [one.shown.payment_intent for one in readable])
            mine = [one for one in readable if one.shown.payment_intent in payments]
            await _store(tx, mine, [payments[one.shown.payment_intent or ""] for one in mine])
            return {one.id for one in mine}

    return await repeat_on_deadlock(once)


async def _store(tx: Connection, mine: Sequence[Seen[EarlyFraudWarning]], of: Sequence[Payment]) -> None:
    if mine:
        made = await tx.rows(_SETTLE, _bound(mine, of))
        account_of = {row.id: row.account_id for row in made}
        await tell_of_warnings(tx, account_of, [_warning_of(row) for row in made])


def _is_readable(one: Seen[EarlyFraudWarning]) -> bool:
    if (flaw := one.shown.flaw) is not None:
        log.event(Event.DISPUTE_UNREADABLE, fraud_warning=one.id, reason=flaw)
    return flaw is None


class _Shown(Batch, frozen=True):
    """Warnings as Stripe shows them."""

    alias = "i"
    id: Sequence[str]
    account_id: Sequence[UUID]
    order_id: Sequence[UUID]
    charge_id: Sequence[UUID]
    fraud_type: Sequence[str]
    actionable: Sequence[bool]
    stripe_created: Sequence[datetime]


class _Made(Record):
    """A warning that was not known before."""

    id: str
    account_id: UUID
    order_id: UUID
    payment_intent_id: str | None
    fraud_type: str
    actionable: bool
    stripe_created: datetime


_SETTLE = Statement(f"""
WITH known AS (
  SELECT w.id FROM fraud_warnings w JOIN {_Shown.unnest()} ON i.id = w.id
), settled AS (
  INSERT INTO fraud_warnings AS w ({_Shown.columns()})
  SELECT {_Shown.columns()} FROM {_Shown.unnest()} ORDER BY id
  ON CONFLICT (id) DO UPDATE SET fraud_type = excluded.fraud_type, actionable = excluded.actionable
   WHERE (w.fraud_type, w.actionable) IS DISTINCT FROM (excluded.fraud_type, excluded.actionable)
  RETURNING w.id, w.account_id, w.order_id, w.charge_id, w.fraud_type, w.actionable, w.stripe_created
)
SELECT s.id, s.account_id, s.order_id, c.payment_intent_id, s.fraud_type, s.actionable, s.stripe_created
  FROM settled s JOIN charges c ON c.id = s.charge_id
 WHERE s.id NOT IN (SELECT id FROM known) ORDER BY s.id
""").returning(_Made)


def _warning_of(row: _Made) -> FraudWarning:
    return FraudWarning(
        id=row.id,
        order_id=str(row.order_id),
        payment_intent=row.payment_intent_id,
        fraud_type=row.fraud_type,
        actionable=row.actionable,
        created_at=row.stripe_created,
    )


def _bound(mine: Sequence[Seen[EarlyFraudWarning]], of: Sequence[Payment]) -> dict[str, object]:
    shown = [one.shown for one in mine]
    return _Shown(
        id=[w.id for w in shown],
        account_id=[payment.account_id for payment in of],
        order_id=[payment.order_id for payment in of],
        charge_id=[payment.charge_id for payment in of],
        fraud_type=[w.fraud_type for w in shown],
        actionable=[w.actionable for w in shown],
        stripe_created=[datetime.fromtimestamp(w.created, UTC) for w in shown],
    ).bound()
