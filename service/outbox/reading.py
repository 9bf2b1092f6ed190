"""The outbox as people and health checks see it."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.sql import Row, Statement, connect

_LIST = Statement("""
SELECT id, account_id, order_id, kind, created_at, deliver_after, published, deliveries, last_error, parked_at
  FROM outbox
 WHERE CAST(:parked AS boolean) IS NULL OR (parked_at IS NOT NULL) = CAST(:parked AS boolean)
 ORDER BY id LIMIT :limit
""")


async def list_rows(engine: AsyncEngine, parked: bool | None = None, limit: int = 100) -> list[dict[str, Any]]:
    """Rows as dictionaries, oldest first: all, only parked, or only open ones."""
    async with connect(engine) as connection:
        return [dict(row) for row in await connection.rows(_LIST, {"parked": parked, "limit": limit})]


_BACKLOG = Statement("""
SELECT coalesce(extract(epoch FROM now() - least(
         (SELECT min(deliver_after) FROM outbox WHERE parked_at IS NULL AND published = 0),
         (SELECT min(deliver_after) FROM outbox WHERE parked_at IS NULL AND published > 0))), 0)::float8 AS due_s,
       coalesce(extract(epoch FROM now() -
         (SELECT created_at FROM outbox WHERE parked_at IS NULL ORDER BY id LIMIT 1)), 0)::float8 AS oldest_s,
       (SELECT count(*) FROM (SELECT FROM outbox WHERE parked_at IS NOT NULL LIMIT :most) AS p) AS parked,
       (SELECT count(*) FROM (SELECT FROM outbox WHERE parked_at IS NULL LIMIT :most) AS w) AS waiting
""")


async def backlog(engine: AsyncEngine, count_max: int) -> Row | None:
    """Four numbers, each by an index: for how long the first row has been due, the age of the oldest, and how many rows
    are parked and open, both counted up to `count_max`.
    """
    async with connect(engine) as connection:
        return await connection.row(_BACKLOG, {"most": count_max})
