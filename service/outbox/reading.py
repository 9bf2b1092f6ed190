"""The outbox as people and health checks see it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.sql import Record, Statement, connect


class Listed(Record):
    """A row as people see it."""

    id: UUID
    account_id: UUID
    order_id: UUID
    kind: str
    created_at: datetime
    deliver_after: datetime
    published: int
    deliveries: int
    last_error: str | None
    parked_at: datetime | None


_LIST = Statement(f"""
SELECT {Listed.columns()} FROM outbox
 WHERE CAST(:parked AS boolean) IS NULL OR (parked_at IS NOT NULL) = CAST(:parked AS boolean)
 ORDER BY id LIMIT :limit
""").returning(Listed)


async def list_rows(engine: AsyncEngine, parked: bool | None = None, limit: int = 100) -> list[dict[str, Any]]:
    """Rows as dictionaries, oldest first: all, only parked, or only open ones."""
    async with connect(engine) as connection:
        return [dict(row.items()) for row in await connection.rows(_LIST, {"parked": parked, "limit": limit})]


class Owing(Record):
    """How many rows of an order are in the outbox, and how many of them are parked."""

    order_id: UUID
    rows: int
    parked: int


_OWING = Statement("""
SELECT order_id, count(*) AS rows, count(parked_at) AS parked FROM outbox
 WHERE order_id = ANY(CAST(:orders AS uuid[])) GROUP BY order_id
""").returning(Owing)


async def owing(engine: AsyncEngine, order_ids: Sequence[UUID]) -> list[Owing]:
    """What is still owed of these orders; those of which nothing is owed are left out."""
    async with connect(engine) as connection:
        return await connection.rows(_OWING, {"orders": list(order_ids)})


_OF_ORDER = Statement(f"""
SELECT {Listed.columns()} FROM outbox WHERE order_id = :order ORDER BY id
""").returning(Listed)


async def rows_of_order(engine: AsyncEngine, order_id: UUID) -> list[Listed]:
    """What is still owed of an order, oldest first."""
    async with connect(engine) as connection:
        return await connection.rows(_OF_ORDER, {"order": order_id})


class Backlog(Record):
    """For how long the first row has been due, the age of the oldest, and how many rows are parked and open."""

    due_s: float
    oldest_s: float
    parked: int
    waiting: int


_BACKLOG = Statement("""
SELECT coalesce(extract(epoch FROM now() - least(
         (SELECT min(deliver_after) FROM outbox WHERE parked_at IS NULL AND published = 0),
         (SELECT min(deliver_after) FROM outbox WHERE parked_at IS NULL AND published > 0))), 0)::float8 AS due_s,
       coalesce(extract(epoch FROM now() -
         (SELECT created_at FROM outbox WHERE parked_at IS NULL ORDER BY id LIMIT 1)), 0)::float8 AS oldest_s,
       (SELECT count(*) FROM (SELECT FROM outbox WHERE parked_at IS NOT NULL LIMIT :most) AS p) AS parked,
       (SELECT count(*) FROM (SELECT FROM outbox WHERE parked_at IS NULL LIMIT :most) AS w) AS waiting
""").returning(Backlog)


async def backlog(engine: AsyncEngine, count_max: int) -> Backlog:
    """Four numbers, each by an index; rows are counted up to `count_max`."""
    async with connect(engine) as connection:
        return await connection.one(_BACKLOG, {"most": count_max})
