"""The order and its outbox row, in one statement; the reads of the API.

Every query names the account: another account's order does not exist.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec
import uuid_utils
from msgspec import UNSET, UnsetType
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.errors import BadRequest, NotConfirmed, NotFound, UnprocessableKey
from service.foundation.postgres.sql import Connection, Row, Statement, connect
from service.orders.keys import fingerprint, same_request
from service.orders.model import METADATA_MAX, Failure, Order, OrderRequest
from service.outbox.rows import promise
from service.states import ORDER_MOVES_BY_ITSELF, in_sql

_LAST_ID = UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A validated request with the id its order will have, if it turns out to be the first with its key."""

    id: str
    account_id: UUID
    key: str
    request: OrderRequest
    fingerprint: bytes

    @classmethod
    def of(cls, account_id: UUID, key: str, request: OrderRequest) -> "Candidate":
        """A candidate with a fresh UUIDv7, so that ids sort by time."""
        return cls(str(uuid_utils.uuid7()), account_id, key, request, fingerprint(request))


@dataclass(frozen=True, slots=True)
class Placed:
    """An accepted order, as it is now; `replayed` when an earlier request created it."""

    order: Order
    replayed: bool


async def place(engine: AsyncEngine, candidates: Sequence[Candidate]) -> list[Placed | UnprocessableKey | BadRequest]:
    """Store what is new, find what is not: one result per candidate, in their order. Durable when it returns.

    Two requests with one key and two bodies may meet in here: one is created, the other is UnprocessableKey.
    More metadata than a new order may have is BadRequest, unless the key is known: then it is a repeat (R31).
    Errors of the database pass through; then nothing, or everything, may have been stored.
    """
    async with connect(engine) as connection:
        allowed = [c for c in candidates if len(c.request.metadata) <= METADATA_MAX]
        created = await _insert(connection, allowed) if allowed else {}
        others = [c for c in candidates if c.id not in created]
        stored = await _stored(connection, others) if others else {}
    return [
        _as_created(c, created[c.id]) if c.id in created else _compare(c, stored.get((c.account_id, c.key)))
        for c in candidates
    ]


async def exists(engine: AsyncEngine, account_id: UUID, key: str) -> bool:
    """Whether the key was used before; asked before a rate limit refuses what would only be a replay (R7)."""
    async with connect(engine) as connection:
        return await connection.row(_EXISTS, {"account": account_id, "key": key}) is not None


async def known_keys(engine: AsyncEngine, account_id: UUID, keys: Sequence[str]) -> int:
    """How many of these keys were used before: what only repeats them costs no limit (R7)."""
    async with connect(engine) as connection:
        return len(await connection.column(_KNOWN_KEYS, {"account": account_id, "keys": list(keys)}))


async def get(engine: AsyncEngine, account_id: UUID, order_id: UUID) -> Order:
    """The order, also by the id it had before it was forgotten. Raises NotFound, also when it is another account's."""
    who = {"account": account_id, "id": order_id}
    async with connect(engine) as connection:
        row = await connection.row(_GET, who) or await connection.row(_GET_BY_ALIAS, who)
    if row is None:
        raise NotFound("There is no such order.")
    return _order(row)


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
    values = {"account": account_id, "limit": limit + 1, "before": before or _LAST_ID, "status": status, "key": key}
    statement = _PAGE_OF_KEY if key is not None else _PAGE if status is None else _PAGE_OF_STATUS
    async with connect(engine) as connection:
        rows = await connection.rows(statement, values)
    return [_order(row) for row in rows[:limit]], len(rows) > limit


async def settled(engine: AsyncEngine, ids: Sequence[str]) -> list[Order]:
    """Those of the orders with which nothing more happens by itself. For the one poller of `Prefer: wait`."""
    async with connect(engine) as connection:
        return [_order(row) for row in await connection.rows(_SETTLED, {"ids": list(ids)})]


async def lock(tx: Connection, ids: Sequence[UUID]) -> None:
    """Hold these orders until `tx` ends. An order's row is the lock of its charges and outbox rows.

    Always in the order of the ids, whoever takes them: that keeps two workers from deadlocking (R5).
    """
    await tx.rows(_LOCK, {"ids": list(ids)})


async def _insert(connection: Connection, candidates: Sequence[Candidate]) -> dict[str, datetime]:
    requests = [c.request for c in candidates]
    columns = {
        "ids": [c.id for c in candidates],
        "accounts": [c.account_id for c in candidates],
        "keys": [c.key for c in candidates],
        "fingerprints": [c.fingerprint for c in candidates],
        "amounts": [r.amount for r in requests],
        "currencies": [r.currency for r in requests],
        "methods": [r.payment_method for r in requests],
        "customers": [_or_none(r.customer) for r in requests],
        "descriptions": [_or_none(r.description) for r in requests],
        "metadatas": [msgspec.json.encode(r.metadata).decode() if r.metadata else "{}" for r in requests],
        "promises": [str(uuid_utils.uuid7()) for _ in candidates],
    }
    rows = await connection.rows(_INSERT, columns)
    return {str(row.id): row.created_at for row in rows}


async def _stored(connection: Connection, candidates: Sequence[Candidate]) -> dict[tuple[UUID, str], Row]:
    """A second statement, because the one that inserted sees no row of a commit that raced it (R4)."""
    keys = {"accounts": [c.account_id for c in candidates], "keys": [c.key for c in candidates]}
    rows = await connection.rows(_STORED, keys)
    return {(row.account_id, row.idempotency_key): row for row in rows}


def _compare(candidate: Candidate, row: Row | None) -> Placed | UnprocessableKey | BadRequest:
    if row is None and len(candidate.request.metadata) > METADATA_MAX:
        return BadRequest(f"metadata may have at most {METADATA_MAX} names.", code="body-invalid")
    if row is None:
        raise NotConfirmed("The order is not confirmed. Repeat the request with the same key.", retry_after_s=1)
    if not same_request(row.fingerprint, candidate.request):
        return UnprocessableKey("This idempotency key was used with another body. Use a new key for a new order.")
    # The stored id says who created it, whatever happened to the answer of the statement that did.
    return Placed(_order(row), replayed=str(row.id) != candidate.id)


def _as_created(candidate: Candidate, created_at: datetime) -> Placed:
    """The order as the statement stored it, without reading it back."""
    request = candidate.request
    order = Order(
        id=candidate.id, status="pending", amount=request.amount, currency=request.currency,
        payment_method=request.payment_method, customer=_or_none(request.customer),
        description=_or_none(request.description), metadata=request.metadata, idempotency_key=candidate.key,
        amount_refunded=0, payment_intent=None, failure=None, created_at=created_at, updated_at=created_at,
    )  # fmt: skip
    return Placed(order, replayed=False)


def _order(row: Row) -> Order:
    return Order(
        id=str(row.id), status=row.status, amount=row.amount_minor, currency=row.currency,
        payment_method=row.payment_method, customer=row.customer, description=row.description,
        metadata=msgspec.json.decode(row.metadata_text), idempotency_key=row.idempotency_key,
        amount_refunded=row.amount_refunded_minor, payment_intent=row.payment_intent_id,
        failure=msgspec.json.decode(row.failure_text, type=Failure) if row.failure_text else None,
        created_at=row.created_at, updated_at=row.updated_at,
    )  # fmt: skip


def _or_none(value: str | UnsetType) -> str | None:
    return None if value is UNSET else value


# Locks are taken in the order of the unique key: unordered batches that share keys deadlock (R5).
_INSERT = Statement(f"""
WITH incoming AS (
  SELECT * FROM unnest(
    CAST(:ids AS uuid[]), CAST(:accounts AS uuid[]), CAST(:keys AS text[]), CAST(:fingerprints AS bytea[]),
    CAST(:amounts AS bigint[]), CAST(:currencies AS text[]), CAST(:methods AS text[]), CAST(:customers AS text[]),
    CAST(:descriptions AS text[]), CAST(:metadatas AS text[]), CAST(:promises AS uuid[])
  ) AS i (id, account_id, idempotency_key, fingerprint, amount_minor, currency, payment_method, customer,
          description, metadata, promise_id)
), stored AS (
  INSERT INTO orders (id, account_id, idempotency_key, fingerprint, amount_minor, currency, payment_method, customer,
                      description, metadata)
  SELECT id, account_id, idempotency_key, fingerprint, amount_minor, currency, payment_method, customer,
         description, metadata::jsonb
    FROM incoming ORDER BY account_id, idempotency_key COLLATE "C"
  ON CONFLICT (account_id, idempotency_key) DO NOTHING
  RETURNING id, account_id, created_at
), promised AS (
  {promise("incoming.promise_id", "stored.account_id", "stored.id", source="stored JOIN incoming USING (id)")}
)
SELECT id, created_at FROM stored
""")

_COLUMNS = """
  id, account_id, idempotency_key, fingerprint, amount_minor, currency, payment_method, customer, description,
  metadata::text AS metadata_text, status, amount_refunded_minor, payment_intent_id, failure::text AS failure_text,
  created_at, updated_at
"""

# LATERAL with a LIMIT is a look-up per key, whatever the planner believes about a table it knows no size of.
_STORED = Statement(f"""
SELECT o.* FROM unnest(CAST(:accounts AS uuid[]), CAST(:keys AS text[])) AS i (account_id, idempotency_key),
  LATERAL (SELECT {_COLUMNS} FROM orders
            WHERE account_id = i.account_id AND idempotency_key = i.idempotency_key LIMIT 1) AS o
""")

_LOCK = Statement("SELECT id FROM orders WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE")

_EXISTS = Statement("SELECT 1 FROM orders WHERE account_id = :account AND idempotency_key = :key")

_KNOWN_KEYS = Statement("""
SELECT idempotency_key FROM orders WHERE account_id = :account AND idempotency_key = ANY(CAST(:keys AS text[]))
""")

_GET = Statement(f"SELECT {_COLUMNS} FROM orders WHERE account_id = :account AND id = :id")

_GET_BY_ALIAS = Statement(f"""
SELECT {_COLUMNS} FROM orders
 WHERE account_id = :account AND id = (SELECT order_id FROM order_aliases WHERE id = :id)
""")

_SETTLED = Statement(f"""
SELECT {_COLUMNS} FROM orders WHERE id = ANY(CAST(:ids AS uuid[])) AND status NOT IN {in_sql(ORDER_MOVES_BY_ITSELF)}
""")

# The bounds of a page are one span of one index, and the order names each of its columns: no other index has it. With
# `account_id = …` PostgreSQL may walk all accounts' orders by their id and filter, when it takes a rare state of an
# account for a frequent one; it does not know that states differ from account to account.
_PAGE = Statement(f"""
SELECT {_COLUMNS} FROM orders
 WHERE (account_id, id) >= (CAST(:account AS uuid), CAST('{UUID(int=0)}' AS uuid))
   AND (account_id, id) < (CAST(:account AS uuid), CAST(:before AS uuid))
 ORDER BY account_id DESC, id DESC LIMIT :limit
""")

_PAGE_OF_STATUS = Statement(f"""
SELECT {_COLUMNS} FROM orders
 WHERE (account_id, status, id) >= (CAST(:account AS uuid), CAST(:status AS text), CAST('{UUID(int=0)}' AS uuid))
   AND (account_id, status, id) < (CAST(:account AS uuid), CAST(:status AS text), CAST(:before AS uuid))
 ORDER BY account_id DESC, status DESC, id DESC LIMIT :limit
""")

_PAGE_OF_KEY = Statement(f"""
SELECT {_COLUMNS} FROM orders
 WHERE account_id = :account AND idempotency_key = :key AND id < :before
   AND (CAST(:status AS text) IS NULL OR status = CAST(:status AS text))
 LIMIT :limit
""")
