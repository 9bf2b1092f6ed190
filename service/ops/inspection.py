"""Orders of all accounts, for the operator: the newest ones, those in one state, and one order with its history.

Each look-up goes through the accounts, because every index begins with one: they are few.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.errors import Misconfigured, NotFound
from service.foundation.postgres.sql import Record, Statement, connect
from service.orders import get
from service.orders.model import Order
from service.orders.timeline import timeline
from service.states import ORDER_FINAL

_LOOK_AGAIN_S = 0.5
_NONE = "There is no such order. `eo orders list` shows the newest."


@dataclass(frozen=True, slots=True)
class Story:
    """One order as it is now, its account, and its events, oldest first."""

    account: str
    order: Order
    timeline: list[dict[str, Any]]


class _Listed(Record):
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
SELECT {_COLUMNS} FROM (SELECT * FROM orders ORDER BY id DESC LIMIT :limit) AS o
  LEFT JOIN accounts a ON a.id = o.account_id ORDER BY o.id DESC
""").returning(_Listed)

_NEWEST_OF_STATUS = Statement(f"""
SELECT {_COLUMNS} FROM accounts a, LATERAL (
    SELECT * FROM orders
     WHERE (account_id, status, id) >= (a.id, CAST(:status AS text), CAST('{UUID(int=0)}' AS uuid))
       AND (account_id, status, id) <= (a.id, CAST(:status AS text), CAST('{UUID(int=2**128 - 1)}' AS uuid))
     ORDER BY account_id DESC, status DESC, id DESC LIMIT :limit) AS o
 ORDER BY o.id DESC LIMIT :limit
""").returning(_Listed)


async def newest(engine: AsyncEngine, *, status: str | None, limit: int) -> list[dict[str, Any]]:
    """Up to `limit` orders of all accounts, newest first, of one state or of all."""
    async with connect(engine) as connection:
        if status is None:
            rows = await connection.rows(_NEWEST, {"limit": limit})
        else:
            rows = await connection.rows(_NEWEST_OF_STATUS, {"status": status, "limit": limit})
    return [dict(row.items()) for row in rows]


class _Found(Record):
    """Which order it is, and whose."""

    id: UUID
    account_id: UUID
    account: str


_BY_ID = Statement("""
SELECT o.id, o.account_id, coalesce(a.name, CAST(o.account_id AS text)) AS account
  FROM orders o LEFT JOIN accounts a ON a.id = o.account_id
 WHERE o.id = :id OR o.id = (SELECT order_id FROM order_aliases WHERE id = :id)
""").returning(_Found)

_BY_KEY = Statement("""
SELECT o.id, o.account_id, a.name AS account FROM accounts a JOIN orders o
    ON o.account_id = a.id AND o.idempotency_key = :key
""").returning(_Found)


async def find(engine: AsyncEngine, name: str) -> tuple[UUID, str, UUID]:
    """Account, its name, and id of the order with this id or idempotency key. Raises NotFound or Misconfigured."""
    async with connect(engine) as connection:
        found: list[_Found] = []
        if (order_id := _as_id(name)) is not None:
            found = await connection.rows(_BY_ID, {"id": order_id})
        found = found or await connection.rows(_BY_KEY, {"key": name})
    if not found:
        raise NotFound(_NONE)
    if len(found) > 1:
        ids = ", ".join(f"{row.id} ({row.account})" for row in found)
        raise Misconfigured(f"{len(found)} accounts have an order with this key. Name one by its id: {ids}.")
    return found[0].account_id, found[0].account, found[0].id


async def story(engine: AsyncEngine, name: str) -> Story:
    """The order with this id or idempotency key, and its timeline. Raises as `find` does."""
    account_id, account, order_id = await find(engine, name)
    return Story(account, await get(engine, account_id, order_id), await timeline(engine, account_id, order_id))


async def follow(engine: AsyncEngine, name: str) -> AsyncIterator[dict[str, Any]]:
    """Yield the order's past events, then each new one, until its state is final. Raises as `find` does."""
    account_id, _, order_id = await find(engine, name)
    told: list[dict[str, Any]] = []
    while True:
        order = await get(engine, account_id, order_id)
        for event in await timeline(engine, account_id, order_id):
            if event not in told:
                told.append(event)
                yield event
        if order.status in ORDER_FINAL:
            return
        await asyncio.sleep(_LOOK_AGAIN_S)


async def follow_all(engine: AsyncEngine, *, limit: int) -> AsyncIterator[dict[str, Any]]:
    """Yield the newest `limit` orders, oldest first, and then each of them again when its state has changed."""
    told: dict[UUID, str] = {}
    while True:
        rows = await newest(engine, status=None, limit=limit)
        for row in reversed(rows):
            if told.get(row["id"]) != row["status"]:
                yield row
        told = {row["id"]: row["status"] for row in rows}
        await asyncio.sleep(_LOOK_AGAIN_S)


def _as_id(name: str) -> UUID | None:
    try:
        return UUID(name)
    except ValueError:
        return None
