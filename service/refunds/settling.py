"""What settling a refund stores: the refund, its order's sums, and the bookings of what moved.

An order counts what succeeded, what is under way, and what its customer is owed because a refund came back. All three
change with the refund, under the order's lock, so that the cap holds whatever happens at once (R26).
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from uuid import UUID

from service import notices, orders
from service.effects.model import Settlement
from service.effects.settling import (
    COMPLETE,
    GIVE_BACK,
    SETS,
    TRY_SETS,
    Incoming,
    book,
    in_order,
    may_move,
    moves,
)
from service.foundation.postgres.sql import Connection, Record, Statement
from service.foundation.settings import Settings
from service.refunds.booking import BOOKING, Booking, entries
from service.refunds.effect import OpenRefund
from service.refunds.telling import tell_of_refunds
from service.states import REFUND_ENDED_UNPAID, REFUND_FINAL, REFUND_OPEN, REFUND_TRANSITIONS, in_sql
from service.stripe_gateway.objects import BalanceTransaction, Refund


async def record(tx: Connection, settlements: Sequence[Settlement[OpenRefund]], settings: Settings) -> set[UUID]:
    """Store what came back for these refunds, in the caller's transaction; returns the ids of those that changed."""
    await orders.lock(tx, [s.effect.order_id for s in settlements])
    changed: set[UUID] = set()
    for together in _one_per_order(settlements):
        changed |= await _record(tx, in_order(together), settings)
    return changed


def _one_per_order(settlements: Sequence[Settlement[OpenRefund]]) -> Iterator[list[Settlement[OpenRefund]]]:
    """Rounds in which no order has two refunds: one statement changes a row of `orders` once."""
    left = list(settlements)
    while left:
        first = {s.effect.order_id: s for s in reversed(left)}
        yield list(first.values())
        taken = {id(s) for s in first.values()}
        left = [s for s in left if id(s) not in taken]


async def _record(tx: Connection, ordered: list[Settlement[OpenRefund]], settings: Settings) -> set[UUID]:
    settled = {row.id: row for row in await tx.rows(_SETTLE, _bound(ordered, settings))}
    bookings = [
        _booking(s, s.outcome.refund, settled[s.effect.id])
        for s in ordered
        if s.effect.id in settled and s.outcome.refund is not None
    ]
    of_refunds = await entries(tx, bookings)
    await book(tx, [entry for of_refund in of_refunds.values() for entry in of_refund])
    await tell_of_refunds(tx, [row.id for row in settled.values() if row.is_told])
    return set(settled)


def _booking(settlement: Settlement[OpenRefund], shown: Refund, row: "_Settled") -> Booking:
    return Booking(
        id=row.id,
        account_id=settlement.effect.account_id,
        order_id=settlement.effect.order_id,
        charge_id=row.charge_id,
        shown=shown,
        drawn_minor=row.drawn_minor,
        of_duplicate=row.of_duplicate,
        is_exchanged=row.is_exchanged,
        is_early=row.is_early,
        waits=row.waits,
    )


class _Refunds(Incoming, frozen=True):
    """The same with what Stripe's object says."""

    refund: Sequence[str | None]
    created: Sequence[datetime | None]
    gone: Sequence[str | None]
    back: Sequence[str | None]


class _Settled(Record):
    """A refund that changed, and what of its charge decides how it is booked.

    `is_told`: it came to an end of which somebody wants to hear.
    """

    id: UUID
    charge_id: UUID
    drawn_minor: int
    of_duplicate: bool
    is_exchanged: bool
    is_early: bool
    waits: bool
    is_told: bool


# A first sight of Stripe's object draws down what the customer is owed; one that comes back is owed again. An order
# counts the refunds of its one success: that of a duplicate is none of its sums.
_SETTLE = Statement(f"""
WITH incoming AS (
  SELECT * FROM {_Refunds.unnest()}
), before AS (
  SELECT r.id, r.status AS was, r.stripe_refund_id IS NULL AND i.refund IS NOT NULL AS is_new,
         {BOOKING},
         CASE WHEN p.status = 'duplicate' THEN 0 ELSE o.amount_owed_minor END AS owed
    FROM incoming i JOIN refunds r ON r.id = i.id
    JOIN orders o ON o.id = r.order_id JOIN charges p ON p.id = r.charge_id
), settled AS (
  UPDATE refunds c SET status = i.status, {TRY_SETS}, {SETS},
      stripe_refund_id = coalesce(i.refund, c.stripe_refund_id),
      stripe_created = coalesce(i.created, c.stripe_created),
      balance_transaction_id = coalesce(i.gone, c.balance_transaction_id),
      failure_transaction_id = coalesce(i.back, c.failure_transaction_id),
      drawn_minor = CASE WHEN b.is_new THEN least(b.owed, c.amount_minor) ELSE c.drawn_minor END
    FROM incoming i JOIN before b ON b.id = i.id
   WHERE c.id = i.id
     AND (c.token = i.token OR (i.refund IS NOT NULL AND i.status IN {in_sql(REFUND_FINAL)}))
     AND (i.refund = c.stripe_refund_id) IS NOT FALSE  -- known by its id, it is never another one
     AND {may_move("refund")}
  RETURNING c.id, c.account_id, c.order_id, c.amount_minor, c.drawn_minor, c.status, b.was, b.is_new, b.of_duplicate,
            b.charge_id, b.is_exchanged, b.is_early, b.waits,
            c.stripe_refund_id IS NOT NULL AS is_made, i.outbox_id, i.final, i.delay, i.error, i.parked
), moved AS (
  UPDATE orders o SET
      amount_refunding_minor = o.amount_refunding_minor
        - CASE WHEN s.was IN {in_sql(REFUND_OPEN)} AND s.status IN {in_sql(REFUND_FINAL)}
               THEN s.amount_minor ELSE 0 END,
      amount_refunded_minor = o.amount_refunded_minor
        + CASE WHEN s.status = 'succeeded' THEN s.amount_minor
               WHEN s.was = 'succeeded' THEN -s.amount_minor ELSE 0 END,
      amount_owed_minor = o.amount_owed_minor
        - CASE WHEN s.is_new THEN s.drawn_minor ELSE 0 END
        + CASE WHEN s.is_made AND s.status IN {in_sql(REFUND_ENDED_UNPAID)} THEN s.amount_minor ELSE 0 END,
      updated_at = now()
    FROM settled s
   WHERE o.id = s.order_id AND NOT s.of_duplicate AND (s.is_new OR s.was <> s.status)
), done AS (
  {COMPLETE}
), returned AS (
  {GIVE_BACK}
)
SELECT id, charge_id, drawn_minor, of_duplicate, is_exchanged, is_early, waits,
       status <> was AND status IN {in_sql(REFUND_FINAL)} AND {notices.is_heard("s.account_id")} AS is_told
  FROM settled s
""").returning(_Settled)
_MOVES = moves(REFUND_TRANSITIONS, "refund")


def _bound(ordered: list[Settlement[OpenRefund]], settings: Settings) -> dict[str, object]:
    shown = [s.outcome.refund for s in ordered]
    batch = _Refunds.of(
        ordered,
        settings,
        refund=[r.id if r else None for r in shown],
        created=[datetime.fromtimestamp(r.created, UTC) if r else None for r in shown],
        gone=[movement_id(r.balance_transaction) if r else None for r in shown],
        back=[movement_id(r.failure_balance_transaction) if r else None for r in shown],
    )
    return batch.bound() | _MOVES


def movement_id(movement: BalanceTransaction | str | None) -> str | None:
    """The id of a balance transaction, expanded or not."""
    return movement.id if isinstance(movement, BalanceTransaction) else movement
