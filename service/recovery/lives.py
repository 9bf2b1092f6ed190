"""The lives of this database: which one it is in, whether Stripe was asked since it began, what it surely remembers.

A life reaches from a start, promotion or restore of the database to the next; `database_identity()` tells them apart.
Under a life that is not verified nothing is sent (R31). Its first listing is good for an hour; a second one, when no
worker of an earlier life can be sending any more, closes it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from service import audit
from service.audit import Action, Who
from service.foundation import log
from service.foundation.events import Event
from service.foundation.postgres.sql import Record, Statement, begin, connect
from service.foundation.settings import Settings

HEARTBEAT = timedelta(minutes=1)
FIRST_LISTING_GOOD_FOR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Life:
    """One life. Times are the database's.

    bound: what Stripe did before is known here. verified: orders may be sent. closed: no listing is needed any more.
    due: a listing is. found: what the listings brought back, None before the first.
    """

    id: int
    identity: str
    seen_at: datetime
    bound: datetime
    verified: bool
    closed: bool
    due: bool
    found: dict[str, Any] | None


class _Life(Record):
    """A life as it is stored; `found` is JSON."""

    id: int
    identity: str
    seen_at: datetime
    bound: datetime
    verified: bool
    closed: bool
    due: bool
    found: str | None


_LIFE = """
  id, identity, seen_at, bound, verified_until > now() AS verified, verified_until = 'infinity' AS closed,
  verified_until <= now() OR (verified_until < 'infinity' AND now() >= seen_at + margin) AS due, found::text AS found
"""

_CURRENT = Statement(f"SELECT {_LIFE} FROM lives WHERE identity = database_identity()").returning(_Life)

# The bound is what a life that was never closed hands on; else the newest moment that a verified life proves; in the
# first life the newest charge, or the installation's birth.
_FIRST_SIGHT = Statement(f"""
WITH before AS (
  SELECT min(bound) FILTER (WHERE verified_until < 'infinity') AS handed_on, max(heartbeat_at) AS heartbeat,
         greatest(max(margin), CAST(:margin AS interval)) AS margin
    FROM lives
), proven AS (
  SELECT coalesce(b.heartbeat, (SELECT created_at FROM charges ORDER BY id DESC LIMIT 1), i.created_at) AS at
    FROM before b CROSS JOIN instance i
)
INSERT INTO lives (identity, bound, margin)
SELECT database_identity(), coalesce(b.handed_on, p.at - b.margin), b.margin FROM before b CROSS JOIN proven p
ON CONFLICT (identity) DO UPDATE SET margin = greatest(lives.margin, excluded.margin)
RETURNING {_LIFE}
""").returning(_Life)


async def current(engine: AsyncEngine, settings: Settings) -> Life:
    """The life this database is in; noted, with its bound, when it is seen for the first time."""
    async with connect(engine) as connection:
        life = await connection.row(_CURRENT) or await connection.one(_FIRST_SIGHT, {"margin": margin(settings)})
    return Life(
        id=life.id,
        identity=life.identity,
        seen_at=life.seen_at,
        bound=life.bound,
        verified=life.verified,
        closed=life.closed,
        due=life.due,
        found=msgspec.json.decode(life.found) if life.found else None,
    )


_IS_VERIFIED = Statement("SELECT FROM lives WHERE identity = database_identity() AND verified_until > now()")


async def is_verified(engine: AsyncEngine) -> bool:
    """Whether orders may be sent in the life this database is in."""
    async with connect(engine) as connection:
        return await connection.row(_IS_VERIFIED) is not None


def margin(settings: Settings) -> timedelta:
    """How long a worker of an earlier life may still be sending: its lease, a call, and how far clocks may differ."""
    return timedelta(seconds=settings.charge_lease_s + settings.stripe_timeout_s + settings.clock_skew_max_s)


_NOTE_MARGIN = Statement("""
UPDATE lives SET margin = CAST(:margin AS interval)
 WHERE identity = database_identity() AND margin < CAST(:margin AS interval)
""")


async def note_margin(engine: AsyncEngine, settings: Settings) -> None:
    """Remember the longest margin that any worker of this life was ever configured with.

    Says so where this PostgreSQL refuses a part of its identity: what only that part tells is not noticed then.
    """
    life = await current(engine, settings)
    if "-" in life.identity.split("/"):
        log.event(Event.RECOVERY_IDENTITY_INCOMPLETE, refused="pg_control_system or pg_walfile_name")
    async with connect(engine) as connection:
        await connection.run(_NOTE_MARGIN, {"margin": margin(settings)})


class _Taken(Record):
    now: datetime


_TAKE = Statement("""
UPDATE lives SET verifier = :verifier, verifier_until = now() + CAST(:lease AS interval),
    found = coalesce(CAST(CAST(:found AS text) AS jsonb), found)
 WHERE id = :id AND identity = database_identity()
   AND (verifier_until IS NULL OR verifier_until < now() OR verifier = :verifier)
RETURNING now() AS now
""").returning(_Taken)


async def take(
    engine: AsyncEngine, settings: Settings, life: Life, verifier: UUID, found: dict[str, Any] | None = None
) -> datetime | None:
    """Become, or stay, the one who lists for `life`; the database's time, or None where another does or it is over.

    Where it dies, another may list once a charge's lease is over: until then nothing is sent. `found` is what it has
    brought back so far, so that its successor counts it, too.
    """
    values = {
        "id": life.id,
        "verifier": verifier,
        "lease": timedelta(seconds=settings.charge_lease_s),
        "found": None if found is None else msgspec.json.encode(found).decode(),
    }
    async with connect(engine) as connection:
        row = await connection.row(_TAKE, values)
    return None if row is None else row.now


# Whoever closes a life closes those before it, too: it has listed from their bound.
_VERIFIED = Statement("""
WITH mine AS (
  UPDATE lives SET verifier = NULL, verifier_until = NULL, heartbeat_at = now(), found = CAST(:found AS jsonb),
      verified_until = CASE WHEN CAST(:began AS timestamptz) >= seen_at + margin THEN 'infinity'
                            ELSE CAST(:began AS timestamptz) + CAST(:good_for AS interval) END
   WHERE id = :id AND verifier = :verifier AND identity = database_identity()
  RETURNING id, verified_until
), earlier AS (
  UPDATE lives l SET verified_until = 'infinity'
    FROM mine m WHERE l.id <> m.id AND l.verified_until < 'infinity' AND m.verified_until = 'infinity'
)
SELECT FROM mine
""")


async def verified(engine: AsyncEngine, life: Life, verifier: UUID, *, began: datetime, found: dict[str, Any]) -> bool:
    """A listing that began at `began` was complete: allow sending. False where the database's life is over."""
    values = {
        "id": life.id,
        "verifier": verifier,
        "began": began,
        "good_for": FIRST_LISTING_GOOD_FOR,
        "found": msgspec.json.encode(found).decode(),
    }
    async with connect(engine) as connection:
        return await connection.row(_VERIFIED, values) is not None


_GIVE_UP = Statement("UPDATE lives SET verifier = NULL, verifier_until = NULL WHERE verifier = :verifier")


async def give_up(engine: AsyncEngine, verifier: UUID) -> None:
    """Let another list: this listing could not be completed."""
    async with connect(engine) as connection:
        await connection.run(_GIVE_UP, {"verifier": verifier})


_BEAT = Statement("""
UPDATE lives SET heartbeat_at = now()
 WHERE identity = database_identity() AND verified_until > now() AND heartbeat_at < now() - CAST(:pause AS interval)
""")


async def beat(engine: AsyncEngine) -> None:
    """Note, at most once a minute, that everything sent until now is known in this verified life."""
    async with connect(engine) as connection:
        await connection.run(_BEAT, {"pause": HEARTBEAT})


class _Forked(Record):
    uuid: UUID


_INSTANCE = Statement("SELECT uuid FROM instance WHERE id = 1 FOR UPDATE").returning(_Forked)
_FORK = Statement("UPDATE instance SET uuid = gen_random_uuid() WHERE id = 1 RETURNING uuid").returning(_Forked)


async def fork(engine: AsyncEngine, *, who: Who) -> UUID:
    """Make this database another installation at Stripe: its payments so far belong to the one it was copied from."""
    async with begin(engine) as tx:
        before = (await tx.one(_INSTANCE)).uuid
        after = (await tx.one(_FORK)).uuid
        shown = {"uuid": str(after)}
        await audit.note(tx, who, Action.INSTANCE_FORK, "instance", before={"uuid": str(before)}, after=shown)
    return after
