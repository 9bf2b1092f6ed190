"""What settling a change stores: the change, the charge that its PaymentIntent proves, and what is owed next."""

from collections.abc import Sequence
from uuid import UUID

from uuid_utils.compat import uuid7

from service import orders
from service.changes.effect import OpenChange
from service.charges import answers as charge_answers
from service.charges import settling as charge_settling
from service.charges.model import OpenCharge
from service.effects.model import Settlement
from service.effects.settling import (
    COMPLETE,
    GIVE_BACK,
    SETS,
    TRY_SETS,
    Incoming,
    in_order,
    may_move,
    moves,
)
from service.foundation.postgres.sql import Batch, Connection, Record, SmallInt, Statement
from service.foundation.settings import Settings
from service.outbox.rows import ATTEMPT, complete, promise
from service.states import CHANGE_TRANSITIONS, CHARGE_PROVEN, ORDER_MOVES_BY_ITSELF, in_sql
from service.stripe_gateway.objects import Answer


async def record(tx: Connection, settlements: Sequence[Settlement[OpenChange]], settings: Settings) -> set[UUID]:
    """Store what came back for these changes, in the caller's transaction; returns the ids of those that changed."""
    await orders.lock(tx, [s.effect.order_id for s in settlements])
    ordered = in_order(settlements)
    changed = {row.id for row in await tx.rows(_SETTLE, Incoming.of(ordered, settings).bound() | _MOVES)}
    if proofs := [_proof(s) for s in ordered if _proves(s)]:
        ended = await charge_settling.record_locked(tx, proofs, settings)
        await _complete_charges(tx, [p.effect for p in proofs if p.effect.id in ended])
    if paid_again := [s.effect.charge for s in ordered if s.effect.id in changed and _next_attempt_is_owed(s)]:
        await _promise_next(tx, paid_again)
    return changed


class _Changed(Record):
    id: UUID


_SETTLE = Statement(f"""
WITH incoming AS (
  SELECT * FROM {Incoming.unnest()}
), settled AS (
  UPDATE changes c SET status = i.status, {TRY_SETS}, {SETS}
    FROM incoming i
   WHERE c.id = i.id AND c.token = i.token AND {may_move("change")}
  RETURNING c.id, i.outbox_id, i.final, i.delay, i.error, i.parked
), done AS (
  {COMPLETE}
), returned AS (
  {GIVE_BACK}
)
SELECT id FROM settled
""").returning(_Changed)
_MOVES = moves(CHANGE_TRANSITIONS, "change")


def _proves(settlement: Settlement[OpenChange]) -> bool:
    """Whether Stripe's object is proof of the charge's end, also where this worker was fenced off (R21)."""
    intent = settlement.outcome.intent
    return intent is not None and intent.status in CHARGE_PROVEN


def _proof(settlement: Settlement[OpenChange]) -> Settlement[OpenCharge]:
    charge, intent = settlement.effect.charge, settlement.outcome.intent
    answer = settlement.answer or Answer(http_status=200, intent=intent)
    if intent is None:
        raise ValueError("a proof without an object")
    return Settlement(charge, charge_answers.judge_intent(charge, intent, answer), answer)


class _Attempts(Batch, frozen=True):
    """Attempts, each of an order."""

    alias = "i"
    order_id: Sequence[UUID]
    attempt: Sequence[SmallInt]


# The charge's own row would otherwise come back once more, up to six hours later, to find that nothing is owed.
_COMPLETE_CHARGES = Statement(
    complete(_Attempts.unnest(), f"x.order_id = i.order_id AND x.kind = 'charge' AND {ATTEMPT} = i.attempt")
)


async def _complete_charges(tx: Connection, charges: Sequence[OpenCharge]) -> None:
    batch = _Attempts(order_id=[c.order_id for c in charges], attempt=[c.attempt for c in charges])
    await tx.run(_COMPLETE_CHARGES, batch.bound())


def _next_attempt_is_owed(settlement: Settlement[OpenChange]) -> bool:
    """Its payment is canceled at Stripe, so that it can no longer succeed beside the next attempt (R25)."""
    return settlement.effect.wanted_by == "pay" and settlement.outcome.status == "done"


class _Next(Batch, frozen=True):
    """Outbox rows of attempts that are owed now."""

    alias = "i"
    id: Sequence[UUID]
    order_id: Sequence[UUID]
    attempt: Sequence[SmallInt]


_PROMISE_NEXT = Statement(
    promise(
        "i.id",
        "o.account_id",
        "o.id",
        payload="jsonb_build_object('attempt', i.attempt)",
        source=f"""{_Next.unnest()} JOIN orders o ON o.id = i.order_id
 WHERE o.status IN {in_sql(ORDER_MOVES_BY_ITSELF)} AND o.attempt = i.attempt""",
    )
)


async def _promise_next(tx: Connection, charges: Sequence[OpenCharge]) -> None:
    batch = _Next(
        id=[uuid7() for _ in charges],
        order_id=[c.order_id for c in charges],
        attempt=[c.attempt + 1 for c in charges],
    )
    await tx.run(_PROMISE_NEXT, batch.bound())
