"""What settling a charge stores beside the charge itself: its order's state, and the booking of a success."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from service import ledger, notices, orders
from service.charges.elsewhere import SETTLES_ELSEWHERE
from service.charges.expiring import expire
from service.charges.model import OpenCharge
from service.effects.model import Outcome, Settlement
from service.effects.settling import COMPLETE, GIVE_BACK, SETS, Incoming, book, in_order, may_move, moves
from service.foundation.postgres.sql import Connection, Record, Statement
from service.foundation.settings import Settings
from service.states import CHARGE_MONEY_MOVED, CHARGE_TRANSITIONS, ORDER_TOLD, ORDER_TRANSITIONS, in_sql
from service.stripe_gateway.objects import Answer, Intent


async def record(tx: Connection, settlements: Sequence[Settlement[OpenCharge]], settings: Settings) -> set[UUID]:
    """Store what came back for these charges, in the caller's transaction; returns the ids of those that changed."""
    await orders.lock(tx, [s.effect.order_id for s in settlements])
    return await record_locked(tx, settlements, settings)


async def record_locked(tx: Connection, settlements: Sequence[Settlement[OpenCharge]], settings: Settings) -> set[UUID]:
    """The same where the caller holds the orders already."""
    ordered = in_order(settlements)
    rows = {row.id: row for row in await tx.rows(_SETTLE, _bound(ordered, settings))}
    settled = [s for s in ordered if s.effect.id in rows]
    await book(tx, [entry for s in settled if (entry := _entry(s, rows[s.effect.id])) is not None])
    if expired := [s.effect for s in settled if s.outcome.expires]:
        await expire(tx, expired)
    await notices.tell_of_orders(tx, {row.order_id for row in rows.values() if row.is_told})
    return set(rows)


class _Charges(Incoming, frozen=True):
    """The same with what the PaymentIntent says. `captured`: where less than all was taken."""

    order_status: Sequence[str | None]
    intent: Sequence[str | None]
    stripe_charge: Sequence[str | None]
    created: Sequence[datetime | None]
    charged: Sequence[datetime | None]
    captured: Sequence[int | None]


class _Settled(Record):
    """A charge that changed. `elsewhere`: Stripe's balance gets its currency as another one.

    `is_told`: its order came to where somebody wants to hear of it.
    """

    id: UUID
    status: str
    elsewhere: bool
    order_id: UUID
    is_told: bool


_SETTLE = Statement(f"""
WITH incoming AS (
  SELECT * FROM {_Charges.unnest()}
), settled AS (
  UPDATE charges c SET
      status = CASE WHEN i.status = 'succeeded' AND EXISTS (
          SELECT FROM charges other WHERE other.account_id = c.account_id AND other.order_id = c.order_id
             AND other.status = 'succeeded' AND other.id <> c.id) THEN 'duplicate' ELSE i.status END,
      {SETS},
      payment_intent_id = coalesce(i.intent, c.payment_intent_id),
      stripe_charge_id = coalesce(i.stripe_charge, c.stripe_charge_id),
      stripe_created = coalesce(i.created, c.stripe_created),
      charged_at = coalesce(i.charged, c.charged_at),
      captured_minor = coalesce(i.captured, c.captured_minor)
    FROM incoming i
   WHERE c.id = i.id
     AND (c.token = i.token OR i.status = 'succeeded' OR (i.status = 'canceled' AND i.intent IS NOT NULL))  -- proof
     AND {may_move("charge")}
  RETURNING c.id, c.status, c.currency, c.account_id, c.order_id, c.attempt, i.captured, i.outbox_id, i.order_status,
            i.intent,
            i.failure, i.final, i.delay, i.error, i.parked
), moved AS (
  UPDATE orders o SET status = coalesce(s.order_status, o.status),
      payment_intent_id = coalesce(s.intent, o.payment_intent_id),
      amount_captured_minor = coalesce(s.captured, o.amount_captured_minor),
      failure = CASE s.order_status WHEN 'paid' THEN NULL WHEN 'failed' THEN s.failure::jsonb ELSE o.failure END,
      updated_at = now()
    FROM settled s
   WHERE o.id = s.order_id AND s.status <> 'duplicate'
     AND (s.attempt >= o.attempt OR s.status = 'succeeded')  -- an earlier attempt moves its order by success alone
     AND (EXISTS (SELECT FROM unnest(CAST(:order_from AS text[]), CAST(:order_to AS text[])) AS m(f, t)
                   WHERE m.f = o.status AND m.t = s.order_status)
          OR o.status = 'processing' AND coalesce(s.order_status, o.status) = o.status  -- sent, and now known by its id
             AND s.intent IS NOT NULL AND o.payment_intent_id IS DISTINCT FROM s.intent)
  RETURNING o.id, o.status
), done AS (
  {COMPLETE}
), returned AS (
  {GIVE_BACK}
)
SELECT id, status, currency {SETTLES_ELSEWHERE} AS elsewhere, order_id,
       CASE WHEN {notices.is_heard("s.account_id")} THEN EXISTS (
    SELECT FROM moved m WHERE m.id = s.order_id AND m.status IN {in_sql(ORDER_TOLD)}) ELSE false END AS is_told
  FROM settled s
""").returning(_Settled)


_MOVES = moves(CHARGE_TRANSITIONS, "charge") | moves(ORDER_TRANSITIONS, "order")


def _bound(ordered: Sequence[Settlement[OpenCharge]], settings: Settings) -> dict[str, object]:
    outcomes = [s.outcome for s in ordered]
    intents = [o.intent for o in outcomes]
    batch = _Charges.of(
        ordered,
        settings,
        order_status=[o.order_status for o in outcomes],
        intent=[i.id if i else None for i in intents],
        stripe_charge=[i.charge_id if i else None for i in intents],
        created=[datetime.fromtimestamp(i.created, UTC) if i else None for i in intents],
        charged=[
            _moment(s.effect, o.intent, s.answer) if o.intent and _is_success(o) else None
            for s, o in zip(ordered, outcomes, strict=True)
        ],
        captured=[_part_taken(s) for s in ordered],
    )
    return batch.bound() | _MOVES


def _is_success(outcome: Outcome) -> bool:
    return outcome.status == "succeeded"


def _part_taken(settlement: Settlement[OpenCharge]) -> int | None:
    """What was captured, where that is less than was authorized."""
    intent = settlement.outcome.intent
    if intent is None or not _is_success(settlement.outcome):
        return None
    return intent.amount_received if 0 < intent.amount_received < settlement.effect.amount else None


def _entry(settlement: Settlement[OpenCharge], row: _Settled) -> ledger.JournalEntry | None:
    """The journal entry of a success: gross, because the fee is not known yet (R24).

    None where only its balance transaction will tell what Stripe's balance got.
    """
    charge, intent = settlement.effect, settlement.outcome.intent
    if row.status not in CHARGE_MONEY_MOVED or row.elsewhere or intent is None or intent.charge_id is None:
        return None
    make = ledger.charge_entry if row.status == "succeeded" else ledger.duplicate_entry
    return make(
        account_id=charge.account_id,
        order_id=charge.order_id,
        payment_intent_id=intent.id,
        stripe_charge_id=intent.charge_id,
        amount_minor=_part_taken(settlement) or charge.amount,
        currency=charge.currency,
        occurred_at=_moment(charge, intent, settlement.answer),
    )


def _moment(charge: OpenCharge, intent: Intent, answer: Answer | None) -> datetime:
    """Stripe's moment of the success.

    Where a POST's answer does not show the charge, it is of the same request, and day, as the PaymentIntent
    (`answers.py` sees to that). A capture comes days after the charge: its moment is that of the balance transaction,
    or where Stripe has not made it yet, that of the answer.
    """
    at = intent.charged_at
    if at is None and charge.capture == "manual" and answer is not None and answer.date is not None:
        at = int(answer.date)
    return datetime.fromtimestamp(at or intent.created, UTC)
