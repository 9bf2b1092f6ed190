"""The reads of orders. Every query names the account: another account's order does not exist."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.errors import NotFound
from service.foundation.postgres.sql import Connection, Record, Statement, connect
from service.orders.model import Capture, Failure, Order, OrderRequest
from service.states import CHANGE_OPEN, ORDER_MOVES_BY_ITSELF, in_sql

_LAST_ID = UUID(int=2**128 - 1)


class OrderRow(Record):
    """An order as it is stored; metadata and failure are JSON."""

    id: UUID
    account_id: UUID
    idempotency_key: str
    fingerprint: bytes
    amount_minor: int
    currency: str
    payment_method: str | None
    customer: str | None
    description: str | None
    metadata_text: str
    status: str
    capture: Capture
    attempt: int
    amount_captured_minor: int | None
    amount_refunded_minor: int
    amount_refunding_minor: int
    amount_disputed_minor: int
    payment_intent_id: str | None
    failure_text: str | None
    created_at: datetime
    updated_at: datetime


COLUMNS = """
  id, account_id, idempotency_key, fingerprint, amount_minor, currency, payment_method, customer, description,
  metadata::text AS metadata_text, status, capture, attempt, amount_captured_minor, amount_refunded_minor,
  amount_refunding_minor, amount_disputed_minor, payment_intent_id, failure::text AS failure_text,
  created_at, updated_at
"""


def captured(row: OrderRow) -> int:
    """What was taken of an order: minor units, 0 until it is paid."""
    if row.status != "paid":
        return 0
    return row.amount_minor if row.amount_captured_minor is None else row.amount_captured_minor


def order_of(row: OrderRow) -> Order:
    """The order of a row."""
    taken = captured(row)
    return Order(
        id=str(row.id),
        status=row.status,
        amount=row.amount_minor,
        currency=row.currency,
        payment_method=row.payment_method,
        customer=row.customer,
        description=row.description,
        metadata=msgspec.json.decode(row.metadata_text),
        idempotency_key=row.idempotency_key,
        capture=row.capture,
        amount_captured=taken,
        amount_refunded=min(taken, row.amount_refunded_minor + row.amount_refunding_minor),
        amount_disputed=row.amount_disputed_minor,
        payment_intent=row.payment_intent_id,
        failure=msgspec.json.decode(row.failure_text, type=Failure) if row.failure_text else None,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


_EXISTS = Statement("SELECT FROM orders WHERE account_id = :account AND idempotency_key = :key")


async def exists(engine: AsyncEngine, account_id: UUID, key: str) -> bool:
    """Whether the key was used before; asked before a rate limit refuses what would only be a replay (R7)."""
    async with connect(engine) as connection:
        return await connection.row(_EXISTS, {"account": account_id, "key": key}) is not None


_KNOWN_KEYS = Statement("""
SELECT FROM orders WHERE account_id = :account AND idempotency_key = ANY(CAST(:keys AS text[]))
""")


async def known_keys(engine: AsyncEngine, account_id: UUID, keys: Sequence[str]) -> int:
    """How many of these keys were used before: what only repeats them costs no limit (R7)."""
    async with connect(engine) as connection:
        return len(await connection.rows(_KNOWN_KEYS, {"account": account_id, "keys": keys}))


_GET = Statement(f"""
SELECT {COLUMNS} FROM orders WHERE account_id = :account AND id = :id
""").returning(OrderRow)

_GET_BY_ALIAS = Statement(f"""
SELECT {COLUMNS} FROM orders
 WHERE account_id = :account AND id = (SELECT order_id FROM order_aliases WHERE id = :id)
""").returning(OrderRow)


async def get(engine: AsyncEngine, account_id: UUID, order_id: UUID) -> Order:
    """The order, also by the id it had before it was forgotten. Raises NotFound, also when it is another account's."""
    async with connect(engine) as connection:
        return order_of(await row_of(connection, account_id, order_id))


async def row_of(connection: Connection, account_id: UUID, order_id: UUID) -> OrderRow:
    """The same as it is stored, by a connection that is open already. Raises NotFound."""
    who = {"account": account_id, "id": order_id}
    row = await connection.row(_GET, who) or await connection.row(_GET_BY_ALIAS, who)
    if row is None:
        raise NotFound("There is no such order.")
    return row


# The bounds of a page are one span of one index, and the order names each of its columns: no other index has it. With
# `account_id = …` PostgreSQL may walk all accounts' orders by their id and filter, when it takes a rare state of an
# account for a frequent one; it does not know that states differ from account to account.
_PAGE = Statement(f"""
SELECT {COLUMNS} FROM orders
 WHERE (account_id, id) >= (CAST(:account AS uuid), CAST('{UUID(int=0)}' AS uuid))
   AND (account_id, id) < (CAST(:account AS uuid), CAST(:before AS uuid))
 ORDER BY account_id DESC, id DESC LIMIT :limit
""").returning(OrderRow)

_PAGE_OF_STATUS = Statement(f"""
SELECT {COLUMNS} FROM orders
 WHERE (account_id, status, id) >= (CAST(:account AS uuid), CAST(:status AS text), CAST('{UUID(int=0)}' AS uuid))
   AND (account_id, status, id) < (CAST(:account AS uuid), CAST(:status AS text), CAST(:before AS uuid))
 ORDER BY account_id DESC, status DESC, id DESC LIMIT :limit
""").returning(OrderRow)

_PAGE_OF_KEY = Statement(f"""
SELECT {COLUMNS} FROM orders
 WHERE account_id = :account AND idempotency_key = :key AND id < :before
   AND (CAST(:status AS text) IS NULL OR status = CAST(:status AS text))
 LIMIT :limit
""").returning(OrderRow)


async def page(
    engine: AsyncEngine,
    account_id: UUID,
    *,
    limit: int,
    before: UUID | None,
    status: str | None,
    key: str | None,
) -> tuple[list[Order], bool]:
    """Up to `limit` orders older than the order `before`, newest first, and whether there are more."""
    values: dict[str, object] = {"account": account_id, "limit": limit + 1, "before": before or _LAST_ID}
    statement = _PAGE
    if key is not None:
        statement, values = _PAGE_OF_KEY, values | {"key": key, "status": status}
    elif status is not None:
        statement, values = _PAGE_OF_STATUS, values | {"status": status}
    async with connect(engine) as connection:
        rows = await connection.rows(statement, values)
    return [order_of(row) for row in rows[:limit]], len(rows) > limit


_SETTLED = Statement(f"""
SELECT {COLUMNS} FROM orders o
 WHERE id = ANY(CAST(:ids AS uuid[])) AND status NOT IN {in_sql(ORDER_MOVES_BY_ITSELF)}
   AND NOT EXISTS (SELECT FROM changes WHERE order_id = o.id AND status IN {in_sql(CHANGE_OPEN)})
""").returning(OrderRow)


async def settled(engine: AsyncEngine, ids: Sequence[str]) -> list[Order]:
    """Those of the orders with which nothing more happens by itself. For the one poller of `Prefer: wait`."""
    async with connect(engine) as connection:
        return [order_of(row) for row in await connection.rows(_SETTLED, {"ids": ids})]


def as_created(order_id: str, key: str, request: OrderRequest, created_at: datetime) -> Order:
    """A new order as the statement stored it, without reading it back."""
    return Order(
        id=order_id,
        status="pending",
        amount=request.amount,
        currency=request.currency,
        payment_method=request.payment_method,
        customer=or_none(request.customer),
        description=or_none(request.description),
        metadata=request.metadata,
        idempotency_key=key,
        capture=request.capture,
        amount_captured=0,
        amount_refunded=0,
        amount_disputed=0,
        payment_intent=None,
        failure=None,
        created_at=created_at,
        updated_at=created_at,
    )


def or_none(value: str | UnsetType) -> str | None:
    """What a request says of an optional field, as it is stored."""
    return None if value is UNSET else value
