"""The part of an order's timeline that its customer's bank tells: disputes, and warnings of fraud."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from service.foundation.postgres.sql import Connection, Record, Statement


class _Dispute(Record):
    id: str
    amount_minor: int
    reason: str | None
    history_text: str


_DISPUTES = Statement("""
SELECT id, amount_minor, reason, history::text AS history_text FROM disputes
 WHERE account_id = :account AND order_id = :order ORDER BY stripe_created, id
""").returning(_Dispute)


class _Warning(Record):
    id: str
    fraud_type: str
    actionable: bool
    created_at: datetime


_WARNINGS = Statement("""
SELECT id, fraud_type, actionable, created_at FROM fraud_warnings
 WHERE account_id = :account AND order_id = :order ORDER BY stripe_created, id
""").returning(_Warning)


async def told_by_banks(connection: Connection, who: Mapping[str, object]) -> list[dict[str, Any]]:
    """The events of its warnings and disputes; `who` names the account and the order."""
    warnings = await connection.rows(_WARNINGS, who)
    disputes = await connection.rows(_DISPUTES, who)
    return [
        *(_of_warning(warning) for warning in warnings),
        *(event for dispute in disputes for event in _of_dispute(dispute)),
    ]


def _of_dispute(dispute: _Dispute) -> Iterator[dict[str, Any]]:
    """Each state that Stripe told, by Stripe's word; `unknown` beside one that this version does not know."""
    about = {
        "dispute": dispute.id,
        "amount": dispute.amount_minor,
        **({"reason": dispute.reason} if dispute.reason else {}),
    }
    for entry in msgspec.json.decode(dispute.history_text):
        yield {"at": datetime.fromisoformat(entry.pop("at")), "event": "dispute.told", **about, **entry}


def _of_warning(warning: _Warning) -> dict[str, Any]:
    return {
        "at": warning.created_at,
        "event": "fraud_warning.told",
        "fraud_warning": warning.id,
        "fraud_type": warning.fraud_type,
        "actionable": warning.actionable,
    }
