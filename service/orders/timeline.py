"""What happened to one order, in the order it happened: read from the rows that did it, no log of its own."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Any, Required, TypedDict
from uuid import UUID

import msgspec
from msgspec import Meta
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.fields import Id, Instant
from service.foundation.postgres.sql import Record, Statement, connect
from service.orders.model import Order
from service.orders.reading import get
from service.orders.told_by_banks import told_by_banks
from service.orders.told_to_producers import told_to_producers
from service.orders.why_waiting import Owed, why
from service.outbox.rows import ROWS
from service.states import CHANGE_FINAL, ORDER_STATUSES, REFUND_FINAL

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
    endpoint: Id
    webhook_id: str
    tries: int
    reference: str
    occurred_at: Instant


class _Operation(Record):
    operation: str
    created_at: datetime


_OPERATIONS = Statement("""
SELECT operation, created_at FROM operations WHERE account_id = :account AND order_id = :order ORDER BY id
""").returning(_Operation)


class _Charge(Record):
    id: UUID
    attempt: int
    payment_intent_id: str | None
    stripe_charge_id: str | None
    history_text: str
    created_at: datetime


_CHARGES = Statement("""
SELECT id, attempt, payment_intent_id, stripe_charge_id, history::text AS history_text, created_at FROM charges
 WHERE account_id = :account AND order_id = :order ORDER BY attempt
""").returning(_Charge)


class _Change(Record):
    id: UUID
    kind: str
    wanted_by: str
    amount_minor: int | None
    status: str
    history_text: str
    created_at: datetime
    updated_at: datetime


_CHANGES = Statement("""
SELECT id, kind, wanted_by, amount_minor, status, history::text AS history_text, created_at, updated_at FROM changes
 WHERE account_id = :account AND order_id = :order ORDER BY id
""").returning(_Change)


class _Refund(Record):
    id: UUID
    amount_minor: int
    status: str
    stripe_refund_id: str | None
    balance_transaction_id: str | None
    failure_transaction_id: str | None
    history_text: str
    created_at: datetime
    updated_at: datetime


_REFUNDS = Statement("""
SELECT id, amount_minor, status, stripe_refund_id, balance_transaction_id, failure_transaction_id,
       history::text AS history_text, created_at, updated_at FROM refunds
 WHERE account_id = :account AND order_id = :order ORDER BY id
""").returning(_Refund)


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
        charges = await connection.rows(_CHARGES, who)
        changes = await connection.rows(_CHANGES, who)
        refunds = await connection.rows(_REFUNDS, who)
        told = await told_by_banks(connection, who)
        notices = await told_to_producers(connection, who)
        promises = await connection.rows(_OUTBOX, who)
        entries = await connection.rows(_ENTRIES, who)
    events: list[dict[str, Any]] = [{"at": order.created_at, "event": "order.accepted"}]
    events += [{"at": o.created_at, "event": "operation.asked", "operation": o.operation} for o in operations]
    events += [event for charge in charges for event in _of_charge(charge)]
    events += [event for change in changes for event in _of_change(change)]
    events += [event for refund in refunds for event in _of_refund(refund)]
    events += told
    events += [event for promise in promises for event in _of_promise(promise, checks)]
    events += [_of_entry(entry) for entry in entries]
    if order.status != "pending":
        events.append({"at": _since(order, entries), "event": f"order.{order.status}"})
    events += notices
    # One transaction settles charge, ledger and order, at one time: of equals the sort keeps the order of above.
    return sorted(events, key=lambda e: e["at"])


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


def _of_charge(charge: _Charge) -> list[dict[str, Any]]:
    """The open, then one event per call and per answer, as the charge protocol noted them."""
    about = {"charge": str(charge.id), "attempt": charge.attempt}
    at_stripe = _known(payment_intent=charge.payment_intent_id, stripe_charge=charge.stripe_charge_id)
    opened = {"at": charge.created_at, "event": "charge.opened", **about}
    return [opened, *_calls("charge", charge.history_text, about, at_stripe)]


def _of_change(change: _Change) -> list[dict[str, Any]]:
    """A capture or a cancellation: promised, called and answered, ended."""
    about = {"change": str(change.id), "kind": change.kind, "wanted_by": change.wanted_by}
    promised = {"at": change.created_at, "event": "change.promised", **about, **_known(amount=change.amount_minor)}
    ended = {"at": change.updated_at, "event": "change.ended", **about, "status": change.status}
    calls = _calls("change", change.history_text, about, {})
    return [promised, *calls, *([ended] if change.status in CHANGE_FINAL else ())]


def _of_refund(refund: _Refund) -> list[dict[str, Any]]:
    """A refund: promised, called and answered, ended."""
    about = {"refund": str(refund.id)}
    at_stripe = _known(stripe_refund=refund.stripe_refund_id)
    moved = _known(balance_transaction=refund.failure_transaction_id or refund.balance_transaction_id)
    promised = {"at": refund.created_at, "event": "refund.promised", **about, "amount": refund.amount_minor}
    ended = {"at": refund.updated_at, "event": "refund.ended", **about, "status": refund.status, **at_stripe, **moved}
    calls = _calls("refund", refund.history_text, about, at_stripe)
    return [promised, *calls, *([ended] if refund.status in REFUND_FINAL else ())]


def _calls(noun: str, history: str, about: dict[str, Any], at_stripe: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """An event per entry of a history; the last answer bears Stripe's ids of what it is about."""
    entries: list[dict[str, Any]] = msgspec.json.decode(history)
    last = next((entry for entry in reversed(entries) if "answer" in entry), None)
    for entry in entries:
        at = datetime.fromisoformat(entry.pop("at"))
        event = _event_of(noun, entry)
        yield {"at": at, "event": event, **about, **entry, **(at_stripe if entry is last else {})}


def _event_of(noun: str, entry: dict[str, Any]) -> str:
    adopted = "order.adopted" if noun == "charge" else f"{noun}.adopted"
    kinds = {"answer": f"{noun}.answered", "call": f"{noun}.called", "adopted": adopted}
    return next((event for name, event in kinds.items() if name in entry), f"{noun}.noted")


def _known(**values: object) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


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
