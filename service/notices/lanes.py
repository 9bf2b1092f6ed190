"""The life of a notice after it was made: due, in a worker's hand, then delivered, or due again.

Each endpoint is a lane: few of its notices are in hand at once, so one whose receiver hangs holds up none of the
others. One that has failed for minutes rests between its tries, and gets one notice at a time until it takes one.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.sql import Batch, Record, SmallInt, Statement, connect
from service.notices.posting import Answer
from service.states import NOTICE_FORGOTTEN, in_sql

LANE_MAX = 16  # notices of one endpoint in hand at once
KEEP_TRYING = timedelta(days=3)
ROLL_OVERLAP = timedelta(hours=24)  # the secret before a roll signs so long
_LEASE = timedelta(seconds=30)  # above the longest try and the storing of its answer
_TIRED_AFTER = timedelta(minutes=2)  # of failures without a success between
_REST_MAX = timedelta(minutes=10)
_SWEPT_MAX = 1_000
# Seconds until the next try, by the tries before.
PAUSES_S = (5, 30, 120, 600, 3_600)
_LATER_S = 21_600

GONE = 410


class Sendable(Record):
    """A notice in hand. `nth` counts the rolls of its endpoint's secret, `overlapping` those of the last day."""

    id: UUID
    webhook_id: str
    body: str
    tries: int
    endpoint_id: UUID
    url: str
    nth: int
    overlapping: int
    hmac_key: bytes
    at: datetime


# Endpoints come in any order, so that none always comes last. One that is tired has room for one notice.
_CLAIM = Statement(f"""
WITH due AS MATERIALIZED (
  SELECT n.id
    FROM (SELECT * FROM webhook_endpoints ORDER BY random()) AS e
   CROSS JOIN LATERAL (
     SELECT count(*) AS n FROM (
       SELECT FROM notices WHERE endpoint_id = e.id AND status = 'pending' AND in_hand AND deliver_after > now()
        LIMIT {LANE_MAX}) AS h) AS held
   CROSS JOIN LATERAL (
     SELECT id FROM notices
      WHERE endpoint_id = e.id AND status = 'pending' AND deliver_after <= now()
      ORDER BY deliver_after
      LIMIT greatest(CASE WHEN e.resting_until IS NULL THEN {LANE_MAX} ELSE 1 END - held.n, 0)
        FOR UPDATE SKIP LOCKED) AS n
   WHERE EXISTS (SELECT FROM notices WHERE status = 'pending' AND deliver_after <= now())
     AND e.deleted_at IS NULL AND e.gone_at IS NULL AND (e.resting_until IS NULL OR e.resting_until <= now())
   LIMIT :most
), claimed AS (
  UPDATE notices n SET in_hand = true, tries = n.tries + 1, tried_at = now(),
      deliver_after = now() + CAST(:lease AS interval)
    FROM due WHERE n.id = due.id
  RETURNING n.id, n.webhook_id, n.body, n.tries, n.endpoint_id
)
SELECT c.id, c.webhook_id, c.body, c.tries, c.endpoint_id, e.url, e.rolls AS nth, i.hmac_key, now() AS at,
       (SELECT count(*)::int FROM endpoint_rolls r
         WHERE r.endpoint_id = e.id AND r.created_at > now() - CAST(:overlap AS interval)) AS overlapping
  FROM claimed c JOIN webhook_endpoints e ON e.id = c.endpoint_id CROSS JOIN instance i
""").returning(Sendable)


async def claim(engine: AsyncEngine, most: int) -> list[Sendable]:
    """Up to `most` notices that are due, to be sent now. The try is counted before it is made.

    Where nobody says what came of it, a notice is due again half a minute later.
    """
    async with connect(engine) as connection:
        return await connection.rows(_CLAIM, {"most": most, "lease": _LEASE, "overlap": ROLL_OVERLAP})


class _Swept(Record):
    id: UUID


_SWEEP = Statement("""
WITH old AS (
  SELECT id FROM notices WHERE status = 'pending' AND promised_at < now() - CAST(:keep AS interval)
   ORDER BY promised_at LIMIT :most FOR UPDATE SKIP LOCKED
), unwanted AS (
  SELECT n.id, e.deleted_at IS NOT NULL AS is_deleted
    FROM webhook_endpoints e
   CROSS JOIN LATERAL (
     SELECT id FROM notices WHERE endpoint_id = e.id AND status = 'pending' LIMIT :most FOR UPDATE SKIP LOCKED) AS n
   WHERE e.deleted_at IS NOT NULL OR e.gone_at IS NOT NULL
   LIMIT :most
), ended AS (
  SELECT id, CASE WHEN is_deleted THEN 'dropped' ELSE 'parked' END AS status FROM unwanted
   UNION ALL SELECT id, 'parked' FROM old WHERE id NOT IN (SELECT id FROM unwanted)
)
UPDATE notices n SET status = e.status, in_hand = false, ended_at = now()
  FROM ended e WHERE n.id = e.id
RETURNING n.id
""").returning(_Swept)


async def sweep(engine: AsyncEngine) -> int:
    """Park what was tried for three days and what nobody takes any more; drop what a deleted endpoint was owed.

    Returns how many; where it is a thousand there may be more.
    """
    async with connect(engine) as connection:
        return len(await connection.rows(_SWEEP, {"keep": KEEP_TRYING, "most": _SWEPT_MAX}))


# Those of which nothing is owed any more. The id of a fact that is told again later is the same all the same.
_FORGET = Statement(f"""
DELETE FROM notices WHERE id IN (
  SELECT id FROM notices
   WHERE status IN {in_sql(NOTICE_FORGOTTEN)} AND ended_at < now() - CAST(:keep AS interval)
   ORDER BY ended_at LIMIT :most FOR UPDATE SKIP LOCKED)
RETURNING id
""").returning(_Swept)


async def forget(engine: AsyncEngine, keep: timedelta) -> int:
    """Delete some notices that were delivered or dropped so long ago; how many. 0: the next round is soon enough."""
    async with connect(engine) as connection:
        deleted = len(await connection.rows(_FORGET, {"keep": keep, "most": _SWEPT_MAX}))
    return deleted if deleted == _SWEPT_MAX else 0


class _Answered(Batch, frozen=True):
    """Notices and what came back for each."""

    alias = "i"
    id: Sequence[UUID]
    endpoint_id: Sequence[UUID]
    tries: Sequence[SmallInt]
    answer: Sequence[str]
    success: Sequence[bool]
    gone: Sequence[bool]
    pause: Sequence[timedelta]


# A success is one whoever brings it; a failure is of the try that is the last one. A success between two failures ends
# the endpoint's rest, whichever is stored first: the receiver works.
_RECORD = Statement(f"""
WITH incoming AS (
  SELECT * FROM {_Answered.unnest()}
), settled AS (
  UPDATE notices n SET answer = i.answer, in_hand = false,
      status = CASE WHEN i.success THEN 'delivered' WHEN i.gone THEN 'parked' ELSE 'pending' END,
      ended_at = CASE WHEN i.success OR i.gone THEN now() END,
      deliver_after = now() + i.pause * (1 + 0.1 * random())
    FROM incoming i
   WHERE n.id = i.id AND (n.status = 'pending' AND n.in_hand AND n.tries = i.tries
         OR n.status <> 'delivered' AND i.success)
  RETURNING n.id
), lanes AS (
  SELECT endpoint_id, bool_or(success) AS success, bool_or(gone) AS gone,
         count(*) FILTER (WHERE NOT success)::int AS failed
    FROM incoming GROUP BY endpoint_id ORDER BY endpoint_id
), locked AS (
  SELECT e.id FROM webhook_endpoints e JOIN lanes l ON l.endpoint_id = e.id
   WHERE NOT l.success OR l.gone OR e.failures > 0 ORDER BY e.id FOR NO KEY UPDATE OF e
)
UPDATE webhook_endpoints e SET
    failures = CASE WHEN l.success THEN 0 ELSE e.failures + l.failed END,
    failing_since = CASE WHEN NOT l.success THEN coalesce(e.failing_since, now()) END,
    resting_until = CASE WHEN NOT l.success AND e.failing_since < now() - CAST(:tired AS interval)
                         THEN now() + least((now() - e.failing_since) / 4, CAST(:rest AS interval)) END,
    gone_at = CASE WHEN l.gone THEN coalesce(e.gone_at, now()) ELSE e.gone_at END
  FROM lanes l JOIN locked k ON k.id = l.endpoint_id WHERE e.id = l.endpoint_id
""")


async def record(engine: AsyncEngine, answers: Sequence[tuple[Sendable, Answer]]) -> None:
    """Store what came back: delivered, or due again after its pause. Repeated, it changes no notice."""
    if not answers:
        return
    ordered = sorted(answers, key=lambda one: one[0].id.bytes)
    batch = _Answered(
        id=[notice.id for notice, _ in ordered],
        endpoint_id=[notice.endpoint_id for notice, _ in ordered],
        tries=[notice.tries for notice, _ in ordered],
        answer=[answer.word for _, answer in ordered],
        success=[answer.is_success for _, answer in ordered],
        gone=[answer.status == GONE for _, answer in ordered],
        pause=[pause(notice.tries) for notice, _ in ordered],
    )
    async with connect(engine) as connection:
        await connection.run(_RECORD, batch.bound() | {"tired": _TIRED_AFTER, "rest": _REST_MAX})


def pause(tries: int) -> timedelta:
    """How long a notice waits after so many tries."""
    return timedelta(seconds=PAUSES_S[tries - 1] if tries <= len(PAUSES_S) else _LATER_S)
