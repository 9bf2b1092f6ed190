"""The database says of disputes what Stripe says of them now: set-based, under the locks of their orders (R5, R38).

Twice, late or out of order changes nothing. A dispute of a payment that is unknown here is not stored; the look at all
of the last months (`again`) shows it anew once its payment is known.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service import orders
from service.disputes.belonging import Payment, ours
from service.disputes.closing import close
from service.disputes.seen import Seen
from service.disputes.telling import Moved, tell_of_disputes
from service.foundation import log
from service.foundation.events import Event
from service.foundation.postgres.db import repeat_on_deadlock
from service.foundation.postgres.sql import Batch, Connection, Statement, begin, connect
from service.states import DISPUTE_HOLDS_MONEY, DISPUTE_STATUSES, in_sql
from service.stripe_gateway.disputes import Dispute

# What a dispute counts as whose first word is not known here: its money may be held, and nothing is given back.
_CAUTIOUS = "needs_response"


async def settle(engine: AsyncEngine, found: Sequence[Seen[Dispute]]) -> set[str]:
    """Store what Stripe shows; returns the ids of those that are known here now, in the state that was shown or a
    younger one. One transaction for all of them.
    """
    newest = {one.id: one for one in sorted(found, key=lambda one: one.asked_at)}
    readable = [one for _, one in sorted(newest.items()) if _is_readable(one)]

    async def once() -> tuple[set[str], list[Moved]]:
        async with begin(engine) as tx:
            payments = await ours(tx, [one.shown.payment_intent for one in readable])
            mine = [one for one in readable if one.shown.payment_intent in payments]
            return {one.id for one in mine}, await _store(tx, mine, payments)

    settled, moved = await repeat_on_deadlock(once)
    for one in moved:
        _say(one)
    return settled


async def why_not(engine: AsyncEngine, shown: Dispute) -> str | None:
    """Why what is shown cannot be stored as it is, for people; None where it can be."""
    if shown.flaw is not None:
        return shown.flaw
    if shown.status not in DISPUTE_STATUSES:
        return f"its state {shown.status} is none that this version knows"
    async with connect(engine) as connection:
        payments = await ours(connection, [shown.payment_intent])
    return None if payments else "its payment is not known here"


def _is_readable(one: Seen[Dispute]) -> bool:
    if (flaw := one.shown.flaw) is not None:
        log.event(Event.DISPUTE_UNREADABLE, dispute=one.id, reason=flaw)
    return flaw is None


async def _store(tx: Connection, mine: Sequence[Seen[Dispute]], payments: dict[str, Payment]) -> list[Moved]:
    if not mine:
        return []
    of = [payments[one.shown.payment_intent or ""] for one in mine]
    order_ids = sorted({payment.order_id for payment in of})
    await orders.lock(tx, order_ids)
    moved = await tx.rows(_SETTLE, _bound(mine, of))
    await tx.run(_COUNT, {"orders": order_ids})
    await close(tx, [one.id for one in mine])
    await tell_of_disputes(tx, moved, {one.id: one.shown for one in mine})
    return moved


class _Shown(Batch, frozen=True):
    """Disputes as Stripe shows them. `status` is null for a word that is newer than this code; `entry` is JSON."""

    alias = "i"
    id: Sequence[str]
    account_id: Sequence[UUID]
    order_id: Sequence[UUID]
    charge_id: Sequence[UUID]
    word: Sequence[str]
    status: Sequence[str | None]
    reason: Sequence[str | None]
    amount_minor: Sequence[int]
    currency: Sequence[str]
    is_charge_refundable: Sequence[bool]
    evidence_due_by: Sequence[datetime | None]
    stripe_created: Sequence[datetime]
    age: Sequence[timedelta]


# An unknown word changes no state: the row keeps its last one, and its history has the word. The last word that was
# stored, and no other, says whether there is news. `clock_timestamp()` and not the transaction's beginning, because
# the lock may have been waited for.
_SETTLE = Statement(f"""
WITH before AS (
  SELECT i.*, d.status AS was, d.history -> -1 ->> 'status' IS DISTINCT FROM i.word AS is_news,
         clock_timestamp() - i.age AS asked_at,
         jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('at', clock_timestamp(), 'status', i.word,
           'unknown', CASE WHEN i.status IS NULL THEN true END))) AS entry
    FROM {_Shown.unnest()} LEFT JOIN disputes d ON d.id = i.id
), made AS (
  INSERT INTO disputes (id, account_id, order_id, charge_id, status, reason, amount_minor, currency,
                        is_charge_refundable, evidence_due_by, history, stripe_created)
  SELECT id, account_id, order_id, charge_id, coalesce(status, '{_CAUTIOUS}'), reason, amount_minor, currency,
         is_charge_refundable, evidence_due_by, entry, stripe_created
    FROM before WHERE was IS NULL ORDER BY id
  ON CONFLICT (id) DO NOTHING
  RETURNING id, status
), changed AS (
  UPDATE disputes d SET status = coalesce(b.status, d.status), reason = b.reason, amount_minor = b.amount_minor,
      currency = b.currency, is_charge_refundable = b.is_charge_refundable, evidence_due_by = b.evidence_due_by,
      history = d.history || CASE WHEN b.is_news THEN b.entry ELSE '[]' END, updated_at = clock_timestamp()
    FROM before b
   WHERE d.id = b.id AND d.updated_at <= b.asked_at
     AND (b.is_news OR (d.reason, d.amount_minor, d.currency, d.is_charge_refundable, d.evidence_due_by)
       IS DISTINCT FROM (b.reason, b.amount_minor, b.currency, b.is_charge_refundable, b.evidence_due_by))
  RETURNING d.id, d.status
)
SELECT b.id, b.order_id, b.was, n.status, b.word
  FROM (SELECT * FROM made UNION ALL SELECT * FROM changed) AS n JOIN before b ON b.id = n.id
 WHERE b.is_news
""").returning(Moved)

# What disputes hold or took of an order's one success. One that does not say how much in the order's currency holds all
# of it, so that an open dispute is never counted as nothing.
_COUNT = Statement(f"""
WITH counted AS (
  SELECT o.id, coalesce(sum(CASE WHEN d.currency = o.currency AND d.amount_minor > 0 THEN d.amount_minor
                                 ELSE coalesce(o.amount_captured_minor, o.amount_minor) END)
                        FILTER (WHERE c.id IS NOT NULL), 0) AS amount
    FROM orders o
    LEFT JOIN disputes d ON d.order_id = o.id AND d.status IN {in_sql(DISPUTE_HOLDS_MONEY)}
    LEFT JOIN charges c ON c.id = d.charge_id AND c.status <> 'duplicate'
   WHERE o.id = ANY(CAST(:orders AS uuid[]))
   GROUP BY o.id
)
UPDATE orders o SET amount_disputed_minor = c.amount, updated_at = now()
  FROM counted c WHERE o.id = c.id AND o.amount_disputed_minor <> c.amount
""")


def _bound(mine: Sequence[Seen[Dispute]], of: Sequence[Payment]) -> dict[str, object]:
    shown = [one.shown for one in mine]
    return _Shown(
        id=[d.id for d in shown],
        account_id=[payment.account_id for payment in of],
        order_id=[payment.order_id for payment in of],
        charge_id=[payment.charge_id for payment in of],
        word=[d.status for d in shown],
        status=[d.status if d.status in DISPUTE_STATUSES else None for d in shown],
        reason=[d.reason for d in shown],
        amount_minor=[d.amount for d in shown],
        currency=[d.currency for d in shown],
        is_charge_refundable=[d.is_charge_refundable for d in shown],
        evidence_due_by=[None if d.due_by is None else datetime.fromtimestamp(d.due_by, UTC) for d in shown],
        stripe_created=[datetime.fromtimestamp(d.created, UTC) for d in shown],
        age=[one.age for one in mine],
    ).bound()


def _say(moved: Moved) -> None:
    if moved.word not in DISPUTE_STATUSES:
        log.event(Event.DISPUTE_UNKNOWN_STATUS, dispute=moved.id, order_id=str(moved.order_id), status=moved.word)
