"""Orders of all accounts, as operators see them: pages of them, and one by whatever names it.

Each look-up goes through the accounts, because every index begins with one: they are few.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.errors import NotFound
from service.foundation.postgres.sql import Record, Statement, connect

FIRST_ID, LAST_ID = UUID(int=0), UUID(int=2**128 - 1)


class Listed(Record):
    """An order as it is listed; `failure` is JSON."""

    id: UUID
    account: str | None
    status: str
    amount: int
    currency: str
    idempotency_key: str
    payment_intent_id: str | None
    capture: str
    amount_captured: int
    amount_refunded: int
    amount_disputed: int
    failure: str | None
    created_at: datetime
    updated_at: datetime


_COLUMNS = """
  o.id, a.name AS account, o.status, o.amount_minor AS amount, o.currency, o.idempotency_key, o.payment_intent_id,
  o.capture,
  CASE WHEN o.status = 'paid' THEN coalesce(o.amount_captured_minor, o.amount_minor) ELSE 0 END AS amount_captured,
  o.amount_refunded_minor + o.amount_refunding_minor AS amount_refunded, o.amount_disputed_minor AS amount_disputed,
  o.failure::text AS failure, o.created_at, o.updated_at
"""

_NEWEST = Statement(f"""
SELECT {_COLUMNS} FROM (SELECT * FROM orders WHERE id < :before ORDER BY id DESC LIMIT :limit) AS o
  LEFT JOIN accounts a ON a.id = o.account_id ORDER BY o.id DESC
""").returning(Listed)

_NEWEST_OF_STATUS = Statement(f"""
SELECT {_COLUMNS} FROM accounts a, LATERAL (
    SELECT * FROM orders
     WHERE (account_id, status, id) >= (a.id, CAST(:status AS text), CAST('{FIRST_ID}' AS uuid))
       AND (account_id, status, id) < (a.id, CAST(:status AS text), CAST(:before AS uuid))
     ORDER BY account_id DESC, status DESC, id DESC LIMIT :limit) AS o
 ORDER BY o.id DESC LIMIT :limit
""").returning(Listed)


async def newest(engine: AsyncEngine, *, status: str | None, limit: int, before: UUID | None = None) -> list[Listed]:
    """Up to `limit` orders of all accounts that are older than `before`, newest first, of one state or of all."""
    values: dict[str, object] = {"limit": limit, "before": before or LAST_ID}
    async with connect(engine) as connection:
        if status is None:
            return await connection.rows(_NEWEST, values)
        return await connection.rows(_NEWEST_OF_STATUS, values | {"status": status})


_THESE = Statement(f"""
SELECT {_COLUMNS} FROM orders o LEFT JOIN accounts a ON a.id = o.account_id
 WHERE o.id = ANY(CAST(:ids AS uuid[])) ORDER BY o.id DESC
""").returning(Listed)


async def these(engine: AsyncEngine, ids: Sequence[UUID]) -> list[Listed]:
    """The orders with these ids, newest first."""
    async with connect(engine) as connection:
        return await connection.rows(_THESE, {"ids": list(ids)})


class Whose(Record):
    """Which order it is, and whose."""

    id: UUID
    account_id: UUID
    account: str


_BY_ID = Statement("""
SELECT o.id, o.account_id, coalesce(a.name, CAST(o.account_id AS text)) AS account
  FROM orders o LEFT JOIN accounts a ON a.id = o.account_id
 WHERE o.id = coalesce((SELECT order_id FROM order_aliases WHERE id = :id), CAST(:id AS uuid))
""").returning(Whose)

_BY_KEY = Statement("""
SELECT o.id, o.account_id, a.name AS account FROM accounts a JOIN orders o
    ON o.account_id = a.id AND o.idempotency_key = :key
""").returning(Whose)


async def by_id(engine: AsyncEngine, order_id: UUID) -> Whose | None:
    """The order with this id, or with this one before it was forgotten."""
    async with connect(engine) as connection:
        return await connection.row(_BY_ID, {"id": order_id})


async def by_key(engine: AsyncEngine, key: str) -> list[Whose]:
    """The orders under this idempotency key, one per account at most."""
    async with connect(engine) as connection:
        return await connection.rows(_BY_KEY, {"key": key})


async def one(engine: AsyncEngine, order_id: UUID) -> Whose:
    """The order with this id. Raises NotFound."""
    found = await by_id(engine, order_id)
    if found is None:
        raise NotFound("There is no such order.")
    return found
