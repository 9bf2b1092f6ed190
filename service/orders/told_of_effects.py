"""The part of an order's timeline that its charges, changes and refunds tell: opened, called, answered, ended."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from service.foundation.postgres.sql import Connection, Record, Statement
from service.states import CHANGE_FINAL, REFUND_FINAL


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


async def told_of_effects(connection: Connection, who: Mapping[str, object]) -> list[dict[str, Any]]:
    """The events of what was done at Stripe; `who` names the account and the order."""
    charges = await connection.rows(_CHARGES, who)
    changes = await connection.rows(_CHANGES, who)
    refunds = await connection.rows(_REFUNDS, who)
    return [
        *(event for charge in charges for event in _of_charge(charge)),
        *(event for change in changes for event in _of_change(change)),
        *(event for refund in refunds for event in _of_refund(refund)),
    ]


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
