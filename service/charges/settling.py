"""Settle: one transaction for the charge, the order, the journal and the outbox row.

The token is the safety, the lease only saves calls (R21): order, journal and outbox change only for charges that the
guarded UPDATE returned. One exception: Stripe's proof of success settles whoever brings it, guarded by the state alone.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger, orders
from service.charges.history import news
from service.charges.model import Rules, Settlement
from service.charges.parking import Parked
from service.charges.patience import backoff_s, with_an_end
from service.foundation import log
from service.foundation.events import Event
from service.foundation.postgres.db import Refused, repeat_on_deadlock, sqlstate
from service.foundation.postgres.sql import Batch, Connection, Record, SmallInt, Statement, begin
from service.foundation.settings import Settings
from service.outbox import rows
from service.outbox.handling import park_or_add
from service.states import CHARGE_MONEY_MOVED, CHARGE_TRANSITIONS, ORDER_TRANSITIONS
from service.stripe_gateway.objects import Intent

_REFUSALS = ("22", "23")  # SQLSTATE classes: a value that cannot be stored, a constraint


class BookedDifferently(Exception):
    """The journal holds this reference with other content: an alarm. Nothing of the settlement was kept."""


async def settle(engine: AsyncEngine, settlements: Sequence[Settlement], settings: Settings) -> set[UUID]:
    """Record what came back; returns the ids of the charges that changed (the others were fenced off).

    What cannot be stored (a constraint, a value that no column holds) is repeated one by one, the offender parked
    with its PaymentIntent id: one bad item never holds up its neighbours (R22). Whoever settles, a wait without an end
    is given one (R36).
    """
    rules = Rules.of(settings)
    return await _settle_all(
        engine, [replace(s, outcome=with_an_end(s.charge, s.outcome, rules)) for s in settlements], settings
    )


async def _settle_all(engine: AsyncEngine, settlements: Sequence[Settlement], settings: Settings) -> set[UUID]:
    try:
        return await repeat_on_deadlock(lambda: _settle(engine, settlements, settings))
    except (Refused, BookedDifferently, ValueError) as error:
        if not is_about_content(error):
            raise
        if len(settlements) == 1:
            await _park(engine, settlements[0], error)
            return set()
    changed: set[UUID] = set()
    for settlement in settlements:
        changed |= await _settle_all(engine, [settlement], settings)
    return changed


def is_about_content(error: Exception) -> bool:
    """Whether the same content would be refused again, as opposed to a database that is away or busy."""
    if isinstance(error, Refused):
        return (sqlstate(error) or "").startswith(_REFUSALS)
    return True


_GIVE_BACK = rows.give_back(
    "settled s", "x.id = s.outbox_id AND NOT s.final", delay="s.delay", error="s.error", parks="s.parked"
)


class _Incoming(Batch, frozen=True):
    """Charges and what came back for each. `failure` and `entry` (the news for its history) are JSON."""

    alias = "i"
    id: Sequence[UUID]
    token: Sequence[UUID]
    outbox_id: Sequence[UUID]
    status: Sequence[str]
    order_status: Sequence[str | None]
    next_call: Sequence[str]
    proven_unexecuted: Sequence[bool]
    unclear_answers: Sequence[SmallInt]
    conflict: Sequence[bool]
    intent: Sequence[str | None]
    stripe_charge: Sequence[str | None]
    created: Sequence[datetime | None]
    charged: Sequence[datetime | None]
    cancel_refused: Sequence[bool]
    failure: Sequence[str | None]
    entry: Sequence[str | None]
    final: Sequence[bool]
    delay: Sequence[timedelta]
    error: Sequence[str | None]
    parked: Sequence[bool]


class _Settled(Record):
    id: UUID
    status: str


_SETTLE = Statement(f"""
WITH incoming AS (
  SELECT * FROM {_Incoming.unnest()}
), settled AS (
  UPDATE charges c SET
      status = CASE WHEN i.status = 'succeeded' AND EXISTS (
          SELECT FROM charges other WHERE other.account_id = c.account_id AND other.order_id = c.order_id
             AND other.status = 'succeeded' AND other.id <> c.id) THEN 'duplicate' ELSE i.status END,
      next_call = i.next_call, token = NULL, lease_until = NULL, unclear_in_a_row = i.unclear_answers,
      key_conflict = c.key_conflict OR i.conflict,
      maybe_executed = c.maybe_executed AND NOT i.proven_unexecuted,
      first_sent_at = CASE WHEN NOT i.proven_unexecuted THEN c.first_sent_at
                           WHEN c.next_call = 'lookup' THEN now() END,  -- a clean look-up tells the key's age (R17)
      last_sent_at = CASE WHEN i.proven_unexecuted THEN NULL ELSE c.last_sent_at END,
      payment_intent_id = coalesce(i.intent, c.payment_intent_id),
      stripe_charge_id = coalesce(i.stripe_charge, c.stripe_charge_id),
      stripe_created = coalesce(i.created, c.stripe_created),
      charged_at = coalesce(i.charged, c.charged_at),
      cancel_try = c.cancel_try + CAST(i.cancel_refused AS int),
      failure = i.failure::jsonb,
      history = CASE WHEN i.entry IS NULL THEN c.history
                     ELSE c.history || (jsonb_build_object('at', now()) || i.entry::jsonb) END,
      polls = CASE WHEN i.entry IS NULL THEN c.polls + 1 ELSE 0 END,
      updated_at = now()
    FROM incoming i
   WHERE c.id = i.id
     AND (c.token = i.token OR i.status = 'succeeded')
     AND EXISTS (SELECT FROM unnest(CAST(:charge_from AS text[]), CAST(:charge_to AS text[])) AS m(f, t)
                  WHERE m.f = c.status AND m.t = i.status)
  RETURNING c.id, c.status, c.order_id, i.outbox_id, i.order_status, i.intent, i.failure, i.final, i.delay, i.error,
            i.parked
), moved AS (
  UPDATE orders o SET status = coalesce(s.order_status, o.status),
      payment_intent_id = coalesce(s.intent, o.payment_intent_id),
      failure = CASE s.order_status WHEN 'paid' THEN NULL WHEN 'failed' THEN s.failure::jsonb ELSE o.failure END,
      updated_at = now()
    FROM settled s
   WHERE o.id = s.order_id AND s.status <> 'duplicate'
     AND (EXISTS (SELECT FROM unnest(CAST(:order_from AS text[]), CAST(:order_to AS text[])) AS m(f, t)
                   WHERE m.f = o.status AND m.t = s.order_status)
          OR o.status = 'processing' AND coalesce(s.order_status, o.status) = o.status  -- sent, and now known by its id
             AND s.intent IS NOT NULL AND o.payment_intent_id IS DISTINCT FROM s.intent)
), done AS (
  {rows.complete("settled s", "x.id = s.outbox_id AND s.final")}
), returned AS (
  {_GIVE_BACK}
)
SELECT id, status FROM settled
""").returning(_Settled)


async def _settle(engine: AsyncEngine, settlements: Sequence[Settlement], settings: Settings) -> set[UUID]:
    async with begin(engine) as tx:
        await orders.lock(tx, [s.charge.order_id for s in settlements])
        values = _incoming(settlements, settings).bound() | _CHARGE_MOVES | _ORDER_MOVES
        states = {row.id: row.status for row in await tx.rows(_SETTLE, values)}
        await _book(tx, [s for s in settlements if s.charge.id in states], states)
    return set(states)


async def _book(tx: Connection, settled: list[Settlement], states: dict[UUID, str]) -> None:
    entries = [entry for s in settled if (entry := _entry(s, states[s.charge.id])) is not None]
    if not entries:
        return
    result = await ledger.post(tx, entries)
    if result.conflicting:
        raise BookedDifferently(f"already booked with other content: {result.conflicting}")


def _entry(settlement: Settlement, status: str) -> ledger.JournalEntry | None:
    """The journal entry of a success: gross, because the fee is not known yet (R24)."""
    charge, intent = settlement.charge, settlement.outcome.intent
    if status not in CHARGE_MONEY_MOVED or intent is None or intent.charge_id is None:
        return None
    make = ledger.charge_entry if status == "succeeded" else ledger.duplicate_entry
    return make(
        account_id=charge.account_id,
        order_id=charge.order_id,
        payment_intent_id=intent.id,
        stripe_charge_id=intent.charge_id,
        amount_minor=charge.amount,
        currency=charge.currency,
        occurred_at=_charged_at(intent),
    )


def _charged_at(intent: Intent) -> datetime:
    """The moment of the charge. Where a POST's answer does not show it, it is of the same request, and day, as the
    PaymentIntent (`answers.py` sees to that).
    """
    return datetime.fromtimestamp(intent.charged_at or intent.created, UTC)


async def _park(engine: AsyncEngine, settlement: Settlement, error: Exception) -> None:
    intent = settlement.outcome.intent
    detail = f"{type(error).__name__} while settling; PaymentIntent {intent.id if intent else 'unknown'}"
    reason = Parked.BOOKS.because(detail)
    log.event(Event.SETTLEMENT_PARKED, order_id=str(settlement.charge.order_id), reason=reason)
    await park_or_add(engine, settlement.charge.outbox_id, reason)


def _incoming(settlements: Sequence[Settlement], settings: Settings) -> _Incoming:
    ordered = sorted(settlements, key=lambda s: s.charge.id.bytes)
    outcomes = [s.outcome for s in ordered]
    intents = [o.intent for o in outcomes]
    return _Incoming(
        id=[s.charge.id for s in ordered],
        token=[s.charge.token for s in ordered],
        outbox_id=[s.charge.outbox_id for s in ordered],
        status=[o.status for o in outcomes],
        order_status=[o.order_status for o in outcomes],
        next_call=[o.next_call for o in outcomes],
        proven_unexecuted=[o.proven_unexecuted for o in outcomes],
        unclear_answers=[o.unclear_answers for o in outcomes],
        conflict=[o.key_conflict for o in outcomes],
        intent=[i.id if i else None for i in intents],
        stripe_charge=[i.charge_id if i else None for i in intents],
        created=[datetime.fromtimestamp(i.created, UTC) if i else None for i in intents],
        charged=[_charged_at(o.intent) if o.intent and o.status == "succeeded" else None for o in outcomes],
        cancel_refused=[o.cancel_refused for o in outcomes],
        failure=[json.dumps(o.failure) if o.failure else None for o in outcomes],
        entry=[json.dumps(entry) if (entry := news(s)) else None for s in ordered],
        final=[o.final for o in outcomes],
        delay=[timedelta(seconds=backoff_s(s, settings)) for s in ordered],
        error=[o.parked or (s.answer.word if s.answer else None) for s, o in zip(ordered, outcomes, strict=True)],
        parked=[o.parked is not None for o in outcomes],
    )


def _moves(table: Mapping[str, frozenset[str]], name: str) -> dict[str, object]:
    """A table of transitions as two parallel arrays, so that the statement enforces the very table the code reads."""
    pairs = [(old, new) for old, news in sorted(table.items()) for new in sorted(news)]
    return {f"{name}_from": [old for old, _ in pairs], f"{name}_to": [new for _, new in pairs]}


_CHARGE_MOVES = _moves(CHARGE_TRANSITIONS, "charge")
_ORDER_MOVES = _moves(ORDER_TRANSITIONS, "order")
