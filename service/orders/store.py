"""The order and its outbox row, stored by one statement; a repeat is compared with what the key stands for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec
import uuid_utils
from msgspec import UNSET, UnsetType
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.errors import BadRequest, NotConfirmed, UnprocessableKey
from service.foundation.postgres.sql import Connection, Row, Statement, connect
from service.orders.identity import fingerprint, same_request
from service.orders.model import METADATA_MAX, Order, OrderRequest
from service.orders.reading import COLUMNS, order_of
from service.outbox.rows import promise


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


# LATERAL with a LIMIT is a look-up per key, whatever the planner believes about a table it knows no size of.
_STORED = Statement(f"""
SELECT o.* FROM unnest(CAST(:accounts AS uuid[]), CAST(:keys AS text[])) AS i (account_id, idempotency_key),
  LATERAL (SELECT {COLUMNS} FROM orders
            WHERE account_id = i.account_id AND idempotency_key = i.idempotency_key LIMIT 1) AS o
""")


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
    return Placed(order_of(row), replayed=str(row.id) != candidate.id)


def _as_created(candidate: Candidate, created_at: datetime) -> Placed:
    """The order as the statement stored it, without reading it back."""
    request = candidate.request
    order = Order(
        id=candidate.id,
        status="pending",
        amount=request.amount,
        currency=request.currency,
        payment_method=request.payment_method,
        customer=_or_none(request.customer),
        description=_or_none(request.description),
        metadata=request.metadata,
        idempotency_key=candidate.key,
        amount_refunded=0,
        payment_intent=None,
        failure=None,
        created_at=created_at,
        updated_at=created_at,
    )
    return Placed(order, replayed=False)


def _or_none(value: str | UnsetType) -> str | None:
    return None if value is UNSET else value


_LOCK = Statement("SELECT id FROM orders WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE")


async def lock(tx: Connection, ids: Sequence[UUID]) -> None:
    """Hold these orders until `tx` ends. An order's row is the lock of its charges and outbox rows.

    Always in the order of the ids, whoever takes them: that keeps two workers from deadlocking (R5).
    """
    await tx.rows(_LOCK, {"ids": list(ids)})
