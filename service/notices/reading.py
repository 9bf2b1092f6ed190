"""Notices as an operator sees them, resends them, or parks them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service import audit
from service.audit import Action, Deed, Who
from service.foundation.errors import NotFound
from service.foundation.postgres.sql import Record, Statement, begin, connect


class _Listed(Record):
    id: UUID
    account_id: UUID
    endpoint_id: UUID
    url: str
    webhook_id: str
    type: str
    object_id: str
    order_id: UUID | None
    status: str
    tries: int
    answer: str | None
    deliver_after: datetime
    tried_at: datetime | None
    ended_at: datetime | None
    created_at: datetime


_LIST = Statement("""
SELECT n.id, n.account_id, n.endpoint_id, e.url, n.webhook_id, n.type, n.object_id, n.order_id, n.status, n.tries,
       n.answer, n.deliver_after, n.tried_at, n.ended_at, n.created_at
  FROM (SELECT * FROM notices
         WHERE (CAST(:status AS text) IS NULL OR status = CAST(:status AS text))
           AND (CAST(:order AS uuid) IS NULL OR order_id = CAST(:order AS uuid))
         ORDER BY id DESC LIMIT :limit) AS n
  JOIN webhook_endpoints e ON e.id = n.endpoint_id
 ORDER BY n.id DESC
""").returning(_Listed)


async def list_notices(
    engine: AsyncEngine, *, status: str | None = None, order_id: UUID | None = None, limit: int = 100
) -> list[dict[str, Any]]:
    """Notices as dictionaries, newest first: all, those in one state, those of one order."""
    async with connect(engine) as connection:
        rows = await connection.rows(_LIST, {"status": status, "order": order_id, "limit": limit})
    return [dict(row.items()) for row in rows]


class _Touched(Record):
    """A notice as it was before."""

    id: UUID
    order_id: UUID | None
    status: str
    answer: str | None


_WAS = "was.id, was.order_id, was.status, was.answer"
_RESEND = Statement(f"""
WITH was AS (
  SELECT * FROM notices
   WHERE CASE WHEN CAST(:ids AS uuid[]) IS NULL THEN status = 'parked'
              ELSE id = ANY(CAST(:ids AS uuid[])) AND NOT (status = 'pending' AND in_hand) END
     AND EXISTS (SELECT FROM webhook_endpoints e
                  WHERE e.id = endpoint_id AND e.deleted_at IS NULL AND e.gone_at IS NULL)
   ORDER BY id FOR NO KEY UPDATE
)
UPDATE notices n SET status = 'pending', in_hand = false, tries = 0, deliver_after = now(), promised_at = now(),
    ended_at = NULL
  FROM was WHERE n.id = was.id
RETURNING {_WAS}
""").returning(_Touched)


async def resend(
    engine: AsyncEngine, ids: Sequence[UUID] | None = None, *, who: Who, reason: str | None = None
) -> list[UUID]:
    """Send these again under the same ids, delivered ones too (None: all that are parked), and try for three days.

    Returns those that will be sent: not one in a worker's hand, and none whose endpoint is deleted or gone.
    """
    async with begin(engine) as tx:
        rows = await tx.rows(_RESEND, {"ids": ids})
        deeds = [_deed(row, status="pending") for row in rows]
        await audit.note_each(tx, who, Action.NOTICE_RESEND, deeds, reason=reason)
    return [row.id for row in rows]


_PARK = Statement(f"""
WITH was AS (SELECT * FROM notices WHERE id = :id AND status = 'pending' FOR NO KEY UPDATE)
UPDATE notices n SET status = 'parked', in_hand = false, ended_at = now() FROM was WHERE n.id = was.id
RETURNING {_WAS}
""").returning(_Touched)


async def park(engine: AsyncEngine, notice_id: UUID, *, who: Who, reason: str | None = None) -> None:
    """It is not sent until somebody resends it. Raises NotFound where it does not wait."""
    async with begin(engine) as tx:
        row = await tx.row(_PARK, {"id": notice_id})
        if row is None:
            raise NotFound("There is no such notice that waits. `eo notices list` shows what there is.")
        await audit.note_each(tx, who, Action.NOTICE_PARK, [_deed(row, status="parked")], reason=reason)


def _deed(row: _Touched, *, status: str) -> Deed:
    return Deed(str(row.id), row.order_id, {"status": row.status, "answer": row.answer}, {"status": status})


class Waiting(Record):
    """How many notices wait and are parked, counted up to a bound, and for how long the oldest that waits has."""

    waiting: int
    parked: int
    oldest_s: float


_WAITING = Statement("""
SELECT (SELECT count(*) FROM (SELECT FROM notices WHERE status = 'pending' LIMIT :most) AS w) AS waiting,
       (SELECT count(*) FROM (SELECT FROM notices WHERE status = 'parked' LIMIT :most) AS p) AS parked,
       coalesce(extract(epoch FROM now() - (SELECT min(promised_at) FROM notices WHERE status = 'pending')),
                0)::float8 AS oldest_s
""").returning(Waiting)


async def waiting(engine: AsyncEngine, count_max: int) -> Waiting:
    """Three numbers, each by an index."""
    async with connect(engine) as connection:
        return await connection.one(_WAITING, {"most": count_max})
