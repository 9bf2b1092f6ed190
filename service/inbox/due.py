"""The events whose objects are to be looked at, and what became of each."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation import log
from service.foundation.events import Event
from service.foundation.postgres.sql import Batch, Integer, Record, Statement, begin, connect
from service.inbox.following import Verdict

MOST = 200  # events in one round; each may cost a call
_FORGOTTEN = 1_000  # events deleted by one statement
_LONGEST = timedelta(hours=1)
A_DAY = timedelta(days=1)


class Due(Record):
    """An event that is to be looked at; `kept` is JSON. is_late: for a day it could not be settled.

    is_old: for as long as settled ones are kept.
    """

    id: str
    type: str
    object_id: str | None
    thin: bool
    kept: str
    note: str | None
    is_late: bool
    is_old: bool


_DUE = Statement("""
SELECT id, type, object_id, thin, kept::text AS kept, note,
       received_at < now() - CAST(:day AS interval) AS is_late,
       received_at < now() - CAST(:keep AS interval) AS is_old
  FROM stripe_events WHERE settled_at IS NULL AND look_at <= now() ORDER BY look_at LIMIT :most
""").returning(Due)


async def due(engine: AsyncEngine, keep: timedelta) -> list[Due]:
    """Those that wait longest, at most MOST."""
    async with connect(engine) as connection:
        return await connection.rows(_DUE, {"day": A_DAY, "keep": keep, "most": MOST})


class _Seen(Batch, frozen=True):
    """Events that were looked at."""

    alias = "i"
    id: Sequence[str]
    settled: Sequence[bool]
    note: Sequence[str | None]
    counts: Sequence[Integer]


# The first look comes half a second after the event, the next ones after twice as long each.
_WRITE = Statement(f"""
UPDATE stripe_events e SET settled_at = CASE WHEN i.settled THEN now() END, note = i.note,
    looks = least(e.looks + i.counts, 1000),
    look_at = CASE WHEN i.settled THEN e.look_at
              ELSE now() + least(CAST(:longest AS interval), interval '0.5 s' * power(2, least(e.looks, 16))) END
  FROM {_Seen.unnest()} WHERE e.id = i.id AND e.settled_at IS NULL
""")


async def write(engine: AsyncEngine, events: Sequence[Due], verdicts: Mapping[str, Verdict]) -> None:
    """Store what became of these, each by its id."""
    final = [_final(event, verdicts[event.id]) for event in events]
    batch = _Seen(
        id=[event.id for event in events],
        settled=[verdict.settled for verdict in final],
        note=[verdict.note for verdict in final],
        counts=[int(not verdict.settled and verdict.counts) for verdict in final],
    )
    async with connect(engine) as connection:
        await connection.run(_WRITE, batch.bound() | {"longest": _LONGEST})


_FOR_A_DAY = "for a day: "


def _final(event: Due, verdict: Verdict) -> Verdict:
    """What is not settled within a day is said, once; after as long as events are kept it ends (R36)."""
    if verdict.settled or not event.is_late:
        return verdict
    if verdict.may_be_foreign:
        return Verdict(settled=True, note=verdict.note)
    if event.is_old:
        return Verdict(settled=True, note=f"given up, unsettled: {verdict.note}")
    if not (event.note or "").startswith(_FOR_A_DAY):
        log.event(Event.INBOX_UNSETTLED, stripe_event=event.id, stripe_object=event.object_id, why=verdict.note)
    return Verdict(settled=False, note=f"{_FOR_A_DAY}{verdict.note}", counts=verdict.counts)


class _Deleted(Record):
    id: str


_DELETE = Statement("""
DELETE FROM stripe_events WHERE id IN (
  SELECT id FROM stripe_events
   WHERE received_at < now() - CAST(:keep AS interval) AND settled_at IS NOT NULL LIMIT :most)
RETURNING id
""").returning(_Deleted)


# Relays forbid bitmaps, and a block-range index has no other plan: without this the table would be read whole.
_BY_TIME = Statement("SET LOCAL enable_bitmapscan = on")


async def forget(engine: AsyncEngine, keep: timedelta) -> int:
    """Delete some settled events that are older than `keep`; how many. 0: what is left waits for the next round."""
    async with begin(engine) as tx:
        await tx.run(_BY_TIME)
        deleted = len(await tx.rows(_DELETE, {"keep": keep, "most": _FORGOTTEN}))
    return deleted if deleted == _FORGOTTEN else 0
