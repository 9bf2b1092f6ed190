"""What happened to one order, in the order it happened: read from the rows that did it, no log of its own."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Any, Required, TypedDict
from uuid import UUID

from msgspec import Meta
from sqlalchemy.ext.asyncio import AsyncEngine

from service import duplicates
from service.duplicates import Guard
from service.foundation.fields import Id, Instant
from service.foundation.postgres.sql import Record, Statement, connect
from service.orders.model import Order
from service.orders.reading import get
from service.orders.told_by_banks import told_by_banks
from service.orders.told_by_stripe import told_by_stripe
from service.orders.told_of_effects import told_of_effects
from service.orders.told_to_producers import told_to_producers
from service.orders.why_waiting import Owed, why
from service.outbox.rows import ROWS
from service.states import ORDER_STATUSES

EVENTS = [
    "order.accepted",
    "order.adopted",
    *(f"order.{status}" for status in ORDER_STATUSES),
    "outbox.promised",
    "outbox.due",
    "outbox.parked",
    "charge.opened",
    "charge.called",
    "charge.answered",
    "charge.noted",
    "operation.asked",
    *(f"change.{word}" for word in ("promised", "called", "answered", "noted", "ended")),
    *(f"refund.{word}" for word in ("promised", "adopted", "called", "answered", "noted", "ended")),
    "dispute.told",
    "fraud_warning.told",
    "stripe.told",
    "duplicate.absorbed",
    "notice.sent",
    "notice.parked",
    "ledger.booked",
]


class Event(TypedDict, total=False):
    """One line of an order's story; each has `at` and `event`, and of the rest what it can say."""

    at: Required[Instant]
    event: Required[Annotated[str, Meta(extra_json_schema={"enum": EVENTS})]]
    charge: Id
    attempt: int
    operation: str
    change: Id
    refund: Id
    dispute: str
    fraud_warning: str
    fraud_type: str
    actionable: bool
    unknown: bool
    wanted_by: str
    amount: int
    status: str
    payment_intent: str
    stripe_charge: str
    stripe_refund: str
    balance_transaction: str
    call: str
    worker: str
    ms: int
    answer: str
    request_id: str | None
    replayed: bool
    refused: str
    fault: str
    alarm: str
    adopted: bool
    kind: str
    deliveries: int
    reason: str | None
    due_in_s: float
    waits_for: str
    next_step: str
    notice: Id
    type: str
    stripe_event: str
    source: str
    received: int
    guard: str
    times: int
    process: str
    endpoint: Id
    webhook_id: str
    tries: int
    reference: str
    occurred_at: Instant


# An answer that Stripe repeated is `replayed`, and an event says how often it was `received`.
_TOLD_OTHERWISE = (Guard.STRIPE_KEY, Guard.EVENT)


class _Operation(Record):
    operation: str
    created_at: datetime


_OPERATIONS = Statement("""
SELECT operation, created_at FROM operations WHERE account_id = :account AND order_id = :order ORDER BY id
""").returning(_Operation)


class _Promise(Record):
    """A row that is still in the outbox."""

    kind: str
    created_at: datetime
    deliver_after: datetime
    deliveries: int
    published: int
    parked_at: datetime | None
    last_error: str | None
    due_in_s: float


_OUTBOX = Statement(f"""
SELECT kind, created_at, deliver_after, deliveries, published, parked_at, last_error,
       extract(epoch FROM deliver_after - now())::float8 AS due_in_s
  FROM {ROWS} WHERE account_id = :account AND order_id = :order
""").returning(_Promise)


class _Entry(Record):
    kind: str
    reference: str
    occurred_at: datetime
    created_at: datetime


_ENTRIES = Statement("""
SELECT kind, reference, occurred_at, created_at FROM journal_entries
 WHERE account_id = :account AND order_id = :order ORDER BY id
""").returning(_Entry)


async def timeline(
    engine: AsyncEngine, account_id: UUID, order_id: UUID, checks: Mapping[str, str] = MappingProxyType({})
) -> list[dict[str, Any]]:
    """Events `{"at", "event", …}`, oldest first; `checks` are readiness's, for why it waits. Raises NotFound."""
    order = await get(engine, account_id, order_id)
    who = {"account": account_id, "order": UUID(order.id)}
    async with connect(engine) as connection:
        operations = await connection.rows(_OPERATIONS, who)
        effects = await told_of_effects(connection, who)
        told = await told_by_banks(connection, who)
        hints = await told_by_stripe(connection, [*effects, *told])
        notices = await told_to_producers(connection, who)
        promises = await connection.rows(_OUTBOX, who)
        entries = await connection.rows(_ENTRIES, who)
    absorbed = await duplicates.of_order(engine, who["order"])
    events: list[dict[str, Any]] = [{"at": order.created_at, "event": "order.accepted"}]
    events += [{"at": o.created_at, "event": "operation.asked", "operation": o.operation} for o in operations]
    events += effects
    events += told
    events += hints
    events += [_of_absorbed(one) for one in absorbed if one.guard not in _TOLD_OTHERWISE]
    events += [event for promise in promises for event in _of_promise(promise, checks)]
    events += [_of_entry(entry) for entry in entries]
    if order.status != "pending":
        events.append({"at": _since(order, entries), "event": f"order.{order.status}"})
    events += notices
    # One transaction settles charge, ledger and order, at one time: of equals the sort keeps the order of above.
    return sorted(events, key=lambda e: e["at"])


def _of_absorbed(absorbed: duplicates.Absorbed) -> dict[str, Any]:
    return {
        "at": absorbed.at,
        "event": "duplicate.absorbed",
        "guard": absorbed.guard,
        "times": absorbed.times,
        "process": absorbed.process,
    }


def _of_entry(entry: _Entry) -> dict[str, Any]:
    return {
        "at": entry.created_at,
        "event": "ledger.booked",
        "kind": entry.kind,
        "reference": entry.reference,
        "occurred_at": entry.occurred_at,
    }


def _since(order: Order, entries: Sequence[_Entry]) -> datetime:
    """When the order came into its state. A paid one is updated by its refunds, too; what was booked first paid it."""
    return entries[0].created_at if order.status == "paid" and entries else order.updated_at


def _of_promise(promise: _Promise, checks: Mapping[str, str]) -> list[dict[str, Any]]:
    """A row that is still in the outbox is still owed: when it was made, when it comes next and what it waits for."""
    owed = Owed(promise.parked_at is not None, promise.published > 0, promise.due_in_s, promise.last_error)
    waits_for, next_step = why(owed, checks)
    waits = {"waits_for": waits_for, "next_step": next_step}
    about = {"kind": promise.kind, "deliveries": promise.deliveries}
    made = {"at": promise.created_at, "event": "outbox.promised", **about}
    if promise.parked_at is not None:
        return [
            made,
            {"at": promise.parked_at, "event": "outbox.parked", **about, "reason": promise.last_error, **waits},
        ]
    reason = {"reason": promise.last_error} if promise.last_error else {}
    due = {
        "at": promise.deliver_after,
        "event": "outbox.due",
        "due_in_s": round(promise.due_in_s, 1) + 0.0,
    }  # never -0.0
    return [made, due | about | reason | waits]
