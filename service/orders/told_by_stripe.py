"""The part of an order's timeline that Stripe's events tell: hints that came, each stored once."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from service.foundation.postgres.sql import Connection, Record, Statement

_EVENTS_MAX = 500


class _Told(Record):
    id: str
    type: str
    source: str
    received: int
    received_at: datetime


_TOLD = Statement("""
SELECT id, type, source, received, received_at FROM stripe_events
 WHERE object_id = ANY(CAST(:objects AS text[])) ORDER BY received_at, id LIMIT :limit
""").returning(_Told)
# Which of Stripe's objects an event of the timeline names.
_OBJECTS = ("payment_intent", "stripe_charge", "stripe_refund", "dispute")


async def told_by_stripe(connection: Connection, events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The events that Stripe sent about the objects that `events` name; `received` says how often each came."""
    objects = sorted({event[name] for event in events for name in _OBJECTS if name in event})
    if not objects:
        return []
    rows = await connection.rows(_TOLD, {"objects": objects, "limit": _EVENTS_MAX})
    return [
        {
            "at": row.received_at,
            "event": "stripe.told",
            "type": row.type,
            "stripe_event": row.id,
            "source": row.source,
            "received": row.received,
        }
        for row in rows
    ]
