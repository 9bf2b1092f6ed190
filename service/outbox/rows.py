"""The outbox: a row is a promise that stays until its effect is on the books.

Publishing does not complete a row, it hides it for a while (`deliver_after`); only the transaction that books the
effect deletes it. So a lost broker, a dead relay and a dead worker all end the same way: the row becomes due again.
Rows are claimed by state, never by `id > last seen`: ids are not handed out in the order of commits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.errors import Misconfigured
from service.foundation.postgres.sql import Statement, connect
from service.foundation.settings import Settings

CLAIM_MAX = 512  # rows per claim: enough for eight full messages, small enough to stay a millisecond
SUSPECT_OPENS = 2  # once is a worker that was restarted


@dataclass(frozen=True, slots=True)
class Claim:
    """Rows this relay has made invisible and must now publish. `again` counts those that were out before.

    `suspects`, some of `ids`, were opened SUSPECT_OPENS times without settling: one of them may be what kills its
    worker, so each travels alone and takes no neighbour along when it is parked (R10).
    """

    ids: list[UUID]
    again: int
    suspects: frozenset[UUID] = frozenset()


async def claim(engine: AsyncEngine, settings: Settings, *, again_max: int) -> Claim:
    """Claim due rows, oldest first, while fewer than `settings.window` are out (R11); skip what another relay holds.

    A claimed row comes due again after the outbox lease, doubled for each publish that nobody answered, with jitter.
    At most `again_max` of them may have been published before: a wiped broker must not become a stampede.
    """
    async with connect(engine) as connection:
        claimed = await connection.rows(
            _CLAIM,
            {
                "window": settings.window,
                "most": CLAIM_MAX,
                "again_max": again_max,
                "lease": timedelta(seconds=settings.outbox_lease_s),
                "longest": timedelta(seconds=max(settings.retry_max_s, settings.outbox_lease_s)),
            },
        )
    suspects = frozenset(r.id for r in claimed if r.opens_unsettled >= SUSPECT_OPENS)
    return Claim([r.id for r in claimed], sum(r.published > 1 for r in claimed), suspects)


async def put_back(engine: AsyncEngine, ids: Sequence[UUID], *, after_s: float, reason: str | None = None) -> None:
    """Return rows that were not worked on: due again in `after_s` seconds, not counted as a delivery (R10, R20)."""
    async with connect(engine) as connection:
        await connection.rows(_PUT_BACK, {"ids": list(ids), "after": timedelta(seconds=after_s), "reason": reason})


async def excuse(engine: AsyncEngine, ids: Sequence[UUID]) -> None:
    """An open of each of these rows counts for nothing: its process is being stopped, or PostgreSQL took no answer."""
    if ids:
        async with connect(engine) as connection:
            await connection.rows(_EXCUSE, {"ids": list(ids)})


async def list_rows(engine: AsyncEngine, parked: bool | None = None, limit: int = 100) -> list[dict[str, Any]]:
    """Rows as dictionaries, oldest first: all, only parked, or only open ones."""
    async with connect(engine) as connection:
        return [dict(row) for row in await connection.rows(_LIST, {"parked": parked, "limit": limit})]


async def retry(engine: AsyncEngine, ids: Sequence[UUID] | None = None) -> list[UUID]:
    """Bring parked rows back (None: all of them), under all the same guards. Returns the ids that came back."""
    async with connect(engine) as connection:
        return await connection.column(_RETRY, {"ids": None if ids is None else list(ids)})


async def park(engine: AsyncEngine, row_id: UUID, reason: str) -> None:
    """Take one row out of delivery for a human to look at. Raises Misconfigured when there is no such open row."""
    async with connect(engine) as connection:
        if await connection.row(_PARK, {"id": row_id, "reason": reason}) is None:
            raise Misconfigured("There is no such open outbox row. `eo outbox list` shows what there is.")


# While the window is all but full nothing is claimed: room for a few at a time would make messages of a few.
# MATERIALIZED: without it the planner may run the locking subquery once per row, and LIMIT would not limit.
_CLAIM = Statement("""
WITH room AS (
  SELECT CASE WHEN n >= least(CAST(:most AS bigint), CAST(:window AS bigint) / 8) THEN n ELSE 0 END AS n
    FROM (SELECT CAST(:window AS bigint) - count(*) AS n FROM (
      SELECT FROM outbox WHERE parked_at IS NULL AND deliver_after > now() AND published > 0 LIMIT :window) AS o) AS r
), again AS MATERIALIZED (
  SELECT id FROM outbox
   WHERE parked_at IS NULL AND deliver_after <= now() AND published > 0
   ORDER BY deliver_after LIMIT least(CAST(:again_max AS bigint), (SELECT n FROM room)) FOR UPDATE SKIP LOCKED
), fresh AS MATERIALIZED (
  SELECT id FROM outbox
   WHERE parked_at IS NULL AND deliver_after <= now() AND published = 0
   ORDER BY deliver_after LIMIT least(CAST(:most AS bigint), (SELECT n FROM room) - (SELECT count(*) FROM again))
   FOR UPDATE SKIP LOCKED
), due AS (
  SELECT id FROM fresh UNION ALL SELECT id FROM again
)
UPDATE outbox o SET published = o.published + 1,
    deliver_after = now() + (1 + 0.25 * random())
      * least(CAST(:lease AS interval) * power(2, least(o.published, 8)), CAST(:longest AS interval))
  FROM due WHERE o.id = due.id
RETURNING o.id, o.published, o.opens_unsettled
""")

# A row that nobody claimed since its last answer waits for a time of its own, which a duplicate must not shorten.
_PUT_BACK = Statement("""
UPDATE outbox SET published = 0, last_error = coalesce(:reason, last_error),
    deliver_after = greatest(now() + CAST(:after AS interval) * (1 + 0.25 * random()),
                             CASE WHEN published = 0 THEN deliver_after END)
 WHERE id = ANY(CAST(:ids AS uuid[])) AND parked_at IS NULL
""")

_EXCUSE = Statement("""
UPDATE outbox SET opens_unsettled = greatest(opens_unsettled - 1, 0), opens_alone = greatest(opens_alone - 1, 0)
 WHERE id = ANY(CAST(:ids AS uuid[]))
""")

_LIST = Statement("""
SELECT id, account_id, order_id, kind, created_at, deliver_after, published, deliveries, last_error, parked_at
  FROM outbox
 WHERE CAST(:parked AS boolean) IS NULL OR (parked_at IS NOT NULL) = CAST(:parked AS boolean)
 ORDER BY id LIMIT :limit
""")

_RETRY = Statement("""
UPDATE outbox SET parked_at = NULL, deliver_after = now(), published = 0, opens_unsettled = 0, opens_alone = 0
 WHERE parked_at IS NOT NULL AND (CAST(:ids AS uuid[]) IS NULL OR id = ANY(CAST(:ids AS uuid[])))
RETURNING id
""")

_PARK = Statement("""
UPDATE outbox SET parked_at = now(), published = 0, last_error = :reason WHERE id = :id AND parked_at IS NULL
RETURNING id
""")
