"""How far each list of Stripe's is read, by Stripe's clock; stored, so that no restart and no outage skips a second."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.sql import Record, Statement, connect


class _Cursor(Record):
    swept_until: datetime


# An installation that has swept nothing yet begins with its own birth, which the database's clock has told: as much
# earlier as the two clocks may differ.
_CURSOR = Statement("""
SELECT coalesce((SELECT swept_until FROM sweeps WHERE kind = :kind),
                created_at - make_interval(secs => CAST(:skew_s AS double precision))) AS swept_until
  FROM instance WHERE id = 1
""").returning(_Cursor)


async def swept_until(engine: AsyncEngine, kind: str, skew_s: float) -> int:
    """The Unix second before which the list of this kind is read."""
    async with connect(engine) as connection:
        cursor = await connection.one(_CURSOR, {"kind": kind, "skew_s": skew_s})
    return int(cursor.swept_until.timestamp())


# Two relays may sweep at once for a moment: the one that read further counts.
_ADVANCE = Statement("""
INSERT INTO sweeps AS s (kind, swept_until, swept_at) SELECT :kind, to_timestamp(:until), created_at FROM instance
 WHERE id = 1
ON CONFLICT (kind) DO UPDATE SET swept_until = greatest(s.swept_until, excluded.swept_until)
""")


async def advance(engine: AsyncEngine, kind: str, until: int) -> None:
    """All that was created before `until` is read and settled."""
    async with connect(engine) as connection:
        await connection.run(_ADVANCE, {"kind": kind, "until": until})


_PROGRESS = Statement("UPDATE sweeps SET swept_at = now(), note = NULL WHERE kind = :kind")


async def progress(engine: AsyncEngine, kind: str) -> None:
    """Something was done that `late` asks for: a chunk before the last was read, or the list and all that is beside."""
    async with connect(engine) as connection:
        await connection.run(_PROGRESS, {"kind": kind})


class Late(Record):
    """A list that was not read with all that is beside it, or to the end of a chunk, for so long, in seconds."""

    kind: str
    late_s: float


# What was never swept is late since the birth of this installation.
_LATE = Statement("""
SELECT k.kind, CAST(extract(epoch FROM now() - coalesce(s.swept_at, i.created_at)) AS double precision) AS late_s
  FROM unnest(CAST(:kinds AS text[])) AS k (kind) CROSS JOIN instance i LEFT JOIN sweeps s ON s.kind = k.kind
 WHERE i.id = 1 AND coalesce(s.swept_at, i.created_at) < now() - make_interval(secs => :bound_s)
""").returning(Late)


async def late(engine: AsyncEngine, kinds: Sequence[str], bound_s: float) -> list[Late]:
    """Those of these kinds that have made no progress for `bound_s` seconds."""
    async with connect(engine) as connection:
        return await connection.rows(_LATE, {"kinds": list(kinds), "bound_s": bound_s})


_NOTE = Statement("UPDATE sweeps SET note = :why WHERE kind = :kind")


async def note(engine: AsyncEngine, kind: str, why: str) -> None:
    """Say why the last sweep of this kind was not complete."""
    async with connect(engine) as connection:
        await connection.run(_NOTE, {"kind": kind, "why": why})
