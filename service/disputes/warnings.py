"""Early fraud warnings: what a card's bank believes to be fraud, before anybody disputes it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.disputes.belonging import Payment, ours
from service.disputes.seen import Seen
from service.foundation import log
from service.foundation.events import Event
from service.foundation.postgres.db import repeat_on_deadlock
from service.foundation.postgres.sql import Batch, Statement, begin
from service.stripe_gateway.disputes import EarlyFraudWarning


async def settle_warnings(engine: AsyncEngine, found: Sequence[Seen[EarlyFraudWarning]]) -> set[str]:
    """Store what Stripe shows; returns the ids of those that are known here now. They change nothing of an order."""
    newest = {one.id: one for one in sorted(found, key=lambda one: one.asked_at)}
    readable = [one for _, one in sorted(newest.items()) if _is_readable(one)]

    async def once() -> set[str]:
        async with begin(engine) as tx:
            payments = await ours(tx, [one.shown.payment_intent for one in readable])
            mine = [one for one in readable if one.shown.payment_intent in payments]
            if mine:
                await tx.run(_SETTLE, _bound(mine, [payments[one.shown.payment_intent or ""] for one in mine]))
            return {one.id for one in mine}

    return await repeat_on_deadlock(once)


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


_SETTLE = Statement(f"""
INSERT INTO fraud_warnings AS w ({_Shown.columns()})
SELECT {_Shown.columns()} FROM {_Shown.unnest()} ORDER BY id
ON CONFLICT (id) DO UPDATE SET fraud_type = excluded.fraud_type, actionable = excluded.actionable
 WHERE (w.fraud_type, w.actionable) IS DISTINCT FROM (excluded.fraud_type, excluded.actionable)
""")


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
