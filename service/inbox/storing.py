"""Events are stored before they are acknowledged: those that arrive at once by one statement, each id once.

What comes after a crash, twice, or under an id that is known changes nothing but a count.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from service.duplicates import Guard, absorbed
from service.foundation.errors import NotConfirmed
from service.foundation.postgres.db import is_unreachable, repeat_on_deadlock
from service.foundation.postgres.durability import Durability
from service.foundation.postgres.sql import Batch, Integer, Record, Statement, connect
from service.inbox.reading import Told
from service.orders.together import Together
from service.outbox import INBOX, Waker


class _Events(Batch, frozen=True):
    """Events to be stored; `kept` is JSON, `times` how often each came."""

    alias = "i"
    id: Sequence[str]
    type: Sequence[str]
    object_id: Sequence[str | None]
    thin: Sequence[bool]
    kept: Sequence[str]
    created: Sequence[datetime]
    times: Sequence[Integer]


class _Stored(Record):
    id: str
    is_new: bool


# Rows are inserted in the order of their ids (R5).
_STORE = Statement(f"""
INSERT INTO stripe_events AS e (id, type, object_id, thin, source, kept, stripe_created, received)
SELECT i.id, i.type, i.object_id, i.thin, CAST(:source AS text), i.kept::jsonb, i.created, i.times
  FROM {_Events.unnest()} ORDER BY i.id COLLATE "C"
ON CONFLICT (id) DO UPDATE SET
    received = e.received + CASE WHEN excluded.source = 'webhook' THEN excluded.received ELSE 0 END
RETURNING e.id, e.xmax = 0 AS is_new
""").returning(_Stored)


async def store(engine: AsyncEngine, events: Sequence[Told], source: str) -> set[str]:
    """Store these; durable when it returns. The ids that were new. Of a known one a delivery is counted."""
    by_id = {event.id: event for event in events}
    times = [sum(event.id == one for event in events) for one in by_id]
    batch = _Events(
        id=list(by_id),
        type=[event.type for event in by_id.values()],
        object_id=[event.object_id for event in by_id.values()],
        thin=[event.thin for event in by_id.values()],
        kept=[msgspec.json.encode(event.kept).decode() for event in by_id.values()],
        created=[event.created for event in by_id.values()],
        times=times,
    )

    async def once() -> set[str]:
        async with connect(engine) as connection:
            rows = await connection.rows(_STORE, batch.bound() | {"source": source})
        return {row.id for row in rows if row.is_new}

    new = await repeat_on_deadlock(once)
    if source == "webhook":
        _absorb(events, new)
    return new


def _absorb(events: Sequence[Told], new: set[str]) -> None:
    """Count each delivery of an event but its first."""
    first = set(new)
    for event in events:
        if event.id in first:
            first.remove(event.id)
        else:
            absorbed(Guard.EVENT, UUID(event.kept.order) if event.kept.order else None)


class Inbox:
    """Takes the events of one process. Lives in one event loop."""

    def __init__(self, engine: AsyncEngine, durability: Durability, waker: Waker) -> None:
        self._engine = engine
        self._durability = durability
        self._waker = waker
        self._together = Together(self._store)

    async def take(self, event: Told) -> None:
        """Durable when it returns. Raises NotConfirmed where PostgreSQL is away; then Stripe sends it again."""
        await self._together.submit(event)

    async def _store(self, events: Sequence[Told]) -> Sequence[bool]:
        self._durability.check()
        try:
            new = await store(self._engine, events, "webhook")
        except Exception as error:
            if not is_unreachable(error):
                raise
            raise NotConfirmed(
                "PostgreSQL is away; the event is not stored. Send it again.", retry_after_s=5
            ) from error
        if new:
            self._waker.wake(INBOX)
        return [event.id in new for event in events]
