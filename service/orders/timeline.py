"""What happened to one order, in the order it happened: read from the rows that did it, no log of its own."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Any, Required, TypedDict
from uuid import UUID

import msgspec
from msgspec import Meta
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.fields import Id, Instant
from service.foundation.postgres.sql import Record, Statement, connect
from service.orders.reading import get
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
    "ledger.booked",
]


class Event(TypedDict, total=False):
    """One line of an order's story; each has `at` and `event`, and of the rest what it can say."""

    at: Required[Instant]
    event: Required[Annotated[str, Meta(extra_json_schema={"enum": EVENTS})]]
    charge: Id
    attempt: int
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
    reference: str
    occurred_at: Instant


class _Charge(Record):
    id: UUID
    attempt: int
    history_text: str
    created_at: datetime


_CHARGES = Statement("""
SELECT id, attempt, history::text AS history_text, created_at FROM charges
 WHERE account_id = :account AND order_id = :order ORDER BY attempt
""").returning(_Charge)


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
        charges = await connection.rows(_CHARGES, who)
        promises = await connection.rows(_OUTBOX, who)
        entries = await connection.rows(_ENTRIES, who)
    events: list[dict[str, Any]] = [{"at": order.created_at, "event": "order.accepted"}]
    for charge in charges:
        events += _of_charge(charge)
    for promise in promises:
        events += _of_promise(promise, checks)
    events += [
        {
            "at": e.created_at,
            "event": "ledger.booked",
            "kind": e.kind,
            "reference": e.reference,
            "occurred_at": e.occurred_at,
        }
        for e in entries
    ]
    if order.status != "pending":
        events.append({"at": order.updated_at, "event": f"order.{order.status}"})
    # One transaction settles charge, ledger and order, at one time: of equals the sort keeps the order of above.
    return sorted(events, key=lambda e: e["at"])


def _of_charge(charge: _Charge) -> list[dict[str, Any]]:
    """The open, then one event per call and per answer, as the charge protocol noted them."""
    about = {"charge": str(charge.id), "attempt": charge.attempt}
    events = [{"at": charge.created_at, "event": "charge.opened", **about}]
    for entry in msgspec.json.decode(charge.history_text):
        at = datetime.fromisoformat(entry.pop("at"))
        events.append({"at": at, "event": _event_of(entry), **about, **entry})
    return events


def _event_of(entry: dict[str, Any]) -> str:
    kinds = {"answer": "charge.answered", "call": "charge.called", "adopted": "order.adopted"}
    return next((event for name, event in kinds.items() if name in entry), "charge.noted")


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
