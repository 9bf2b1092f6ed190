"""Refunds of all accounts, for the operator: the newest ones, those in one state, and one by its name.

As for orders, each look-up goes through the accounts, because every index begins with one.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.errors import Misconfigured, NotFound
from service.foundation.postgres.sql import Record, Statement, connect
from service.refunds import Refund, get


class _Listed(Record):
    """A refund as it is listed; `failure` is JSON."""

    id: UUID
    order_id: UUID
    account: str | None
    status: str
    amount: int
    currency: str
    reason: str | None
    idempotency_key: str | None
    stripe_refund: str | None
    failure: str | None
    created_at: datetime
    updated_at: datetime


_COLUMNS = """
  r.id, r.order_id, a.name AS account, r.status, r.amount_minor AS amount, r.currency, r.reason,
  r.producer_key AS idempotency_key, r.stripe_refund_id AS stripe_refund, r.failure::text AS failure, r.created_at,
  r.updated_at
"""

_NEWEST = Statement(f"""
SELECT {_COLUMNS} FROM (SELECT * FROM refunds ORDER BY id DESC LIMIT :limit) AS r
  LEFT JOIN accounts a ON a.id = r.account_id ORDER BY r.id DESC
""").returning(_Listed)

_NEWEST_OF_STATUS = Statement(f"""
SELECT {_COLUMNS} FROM accounts a, LATERAL (
    SELECT * FROM refunds
     WHERE (account_id, status, id) >= (a.id, CAST(:status AS text), CAST('{UUID(int=0)}' AS uuid))
       AND (account_id, status, id) <= (a.id, CAST(:status AS text), CAST('{UUID(int=2**128 - 1)}' AS uuid))
     ORDER BY account_id DESC, status DESC, id DESC LIMIT :limit) AS r
 ORDER BY r.id DESC LIMIT :limit
""").returning(_Listed)


async def newest(engine: AsyncEngine, *, status: str | None, limit: int) -> list[dict[str, Any]]:
    """Up to `limit` refunds of all accounts, newest first, of one state or of all."""
    async with connect(engine) as connection:
        if status is None:
            rows = await connection.rows(_NEWEST, {"limit": limit})
        else:
            rows = await connection.rows(_NEWEST_OF_STATUS, {"status": status, "limit": limit})
    return [dict(row.items()) for row in rows]


class _Found(Record):
    """Which refund it is, and whose."""

    id: UUID
    account_id: UUID
    account: str


_FIND = Statement("""
SELECT r.id, r.account_id, a.name AS account FROM accounts a JOIN refunds r ON r.account_id = a.id
 WHERE r.id = CAST(:id AS uuid) OR r.producer_key = :name OR r.stripe_refund_id = :name
""").returning(_Found)


async def find(engine: AsyncEngine, name: str) -> tuple[str, Refund]:
    """The account's name, and the refund with this id, idempotency key or id of Stripe's.

    Raises NotFound, or Misconfigured where several accounts have one.
    """
    async with connect(engine) as connection:
        found = await connection.rows(_FIND, {"id": _as_id(name), "name": name})
    if not found:
        raise NotFound("There is no such refund. `eo refunds list` shows the newest.")
    if len(found) > 1:
        ids = ", ".join(f"{row.id} ({row.account})" for row in found)
        raise Misconfigured(f"{len(found)} refunds have this name. Name one by its id: {ids}.")
    return found[0].account, await get(engine, found[0].account_id, found[0].id)


def _as_id(name: str) -> UUID | None:
    try:
        return UUID(name)
    except ValueError:
        return None
