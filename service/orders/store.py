"""The order and its outbox row, stored by one statement; a repeat is compared with what the key stands for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec
import uuid_utils
from sqlalchemy.ext.asyncio import AsyncEngine

from service.duplicates import Guard, absorbed
from service.foundation import tracing
from service.foundation.broker_keys import CHARGE_QUEUE
from service.foundation.errors import BadRequest, NotConfirmed, UnprocessableKey
from service.foundation.postgres.sql import Batch, Connection, Record, Statement, UuidText, connect
from service.orders.identity import fingerprint, same_request
from service.orders.model import METADATA_MAX, Order, OrderRequest
from service.orders.reading import COLUMNS, OrderRow, as_created, or_none, order_of
from service.outbox.rows import promise


@dataclass(frozen=True, slots=True)
class Candidate:
    """A validated request with the id its order will have, if it turns out to be the first with its key."""

    id: str
    account_id: UUID
    key: str
    request: OrderRequest
    fingerprint: bytes
    traceparent: str = ""

    @classmethod
    def of(cls, account_id: UUID, key: str, request: OrderRequest) -> "Candidate":
        """A candidate with a fresh UUIDv7, so that ids sort by time."""
        traceparent = "" if tracing.spans is None else tracing.spans.created(CHARGE_QUEUE)
        return cls(str(uuid_utils.uuid7()), account_id, key, request, fingerprint(request), traceparent)


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
    known = {c.id: _compare(c, stored.get((c.account_id, c.key))) for c in others}
    for one in known.values():
        if isinstance(one, Placed) and one.replayed:
            absorbed(Guard.IDEMPOTENCY_KEY, UUID(one.order.id))
    return [_created(c, created[c.id]) if c.id in created else known[c.id] for c in candidates]


class _Incoming(Batch, frozen=True):
    """Orders that may be new, and the outbox row of each; `metadata` is JSON."""

    alias = "i"
    id: Sequence[UuidText]
    account_id: Sequence[UUID]
    idempotency_key: Sequence[str]
    fingerprint: Sequence[bytes]
    amount_minor: Sequence[int]
    currency: Sequence[str]
    payment_method: Sequence[str]
    customer: Sequence[str | None]
    description: Sequence[str | None]
    metadata: Sequence[str]
    capture: Sequence[str]
    promise_id: Sequence[UuidText]


class _Created(Record):
    id: UUID
    created_at: datetime


class _Traced(_Incoming, frozen=True):
    """The same with the trace of each."""

    traceparent: Sequence[str]


def _insert_sql(incoming: type[_Incoming], headers: str = "") -> str:
    # Locks are taken in the order of the unique key: unordered batches that share keys deadlock (R5).
    promised = promise(
        "incoming.promise_id",
        "stored.account_id",
        "stored.id",
        source="stored JOIN incoming USING (id)",
        headers=headers,
    )
    return f"""
WITH incoming AS (
  SELECT * FROM {incoming.unnest()}
), stored AS (
  INSERT INTO orders (id, account_id, idempotency_key, fingerprint, amount_minor, currency, payment_method, customer,
                      description, metadata, capture)
  SELECT id, account_id, idempotency_key, fingerprint, amount_minor, currency, payment_method, customer,
         description, metadata::jsonb, capture
    FROM incoming ORDER BY account_id, idempotency_key COLLATE "C"
  ON CONFLICT (account_id, idempotency_key) DO NOTHING
  RETURNING id, account_id, created_at
), promised AS (
  {promised}
)
SELECT id, created_at FROM stored
"""


_INSERT = Statement(_insert_sql(_Incoming)).returning(_Created)
_INSERT_TRACED = Statement(_insert_sql(_Traced, "jsonb_build_object('traceparent', incoming.traceparent)")).returning(
    _Created
)


async def _insert(connection: Connection, candidates: Sequence[Candidate]) -> dict[str, datetime]:
    requests = [c.request for c in candidates]
    incoming = _Incoming(
        id=[c.id for c in candidates],
        account_id=[c.account_id for c in candidates],
        idempotency_key=[c.key for c in candidates],
        fingerprint=[c.fingerprint for c in candidates],
        amount_minor=[r.amount for r in requests],
        currency=[r.currency for r in requests],
        payment_method=[r.payment_method for r in requests],
        customer=[or_none(r.customer) for r in requests],
        description=[or_none(r.description) for r in requests],
        metadata=[msgspec.json.encode(r.metadata).decode() if r.metadata else "{}" for r in requests],
        capture=[r.capture for r in requests],
        promise_id=[str(uuid_utils.uuid7()) for _ in candidates],
    )
    if tracing.spans is None:
        rows = await connection.rows(_INSERT, incoming.bound())
    else:
        traced = _Traced(**msgspec.structs.asdict(incoming), traceparent=[c.traceparent for c in candidates])
        rows = await connection.rows(_INSERT_TRACED, traced.bound())
    return {str(row.id): row.created_at for row in rows}


class _Keys(Batch, frozen=True):
    """Keys, each of an account."""

    alias = "i"
    account_id: Sequence[UUID]
    idempotency_key: Sequence[str]


# LATERAL with a LIMIT is a look-up per key, whatever the planner believes about a table it knows no size of.
_STORED = Statement(f"""
SELECT o.* FROM {_Keys.unnest()},
  LATERAL (SELECT {COLUMNS} FROM orders
            WHERE account_id = i.account_id AND idempotency_key = i.idempotency_key LIMIT 1) AS o
""").returning(OrderRow)


async def _stored(connection: Connection, candidates: Sequence[Candidate]) -> dict[tuple[UUID, str], OrderRow]:
    """A second statement, because the one that inserted sees no row of a commit that raced it (R4)."""
    keys = _Keys(account_id=[c.account_id for c in candidates], idempotency_key=[c.key for c in candidates])
    rows = await connection.rows(_STORED, keys.bound())
    return {(row.account_id, row.idempotency_key): row for row in rows}


def _compare(candidate: Candidate, row: OrderRow | None) -> Placed | UnprocessableKey | BadRequest:
    if row is None and len(candidate.request.metadata) > METADATA_MAX:
        return BadRequest(f"metadata may have at most {METADATA_MAX} names.", code="body-invalid")
    if row is None:
        raise NotConfirmed("The order is not confirmed. Repeat the request with the same key.", retry_after_s=1)
    if not same_request(row.fingerprint, candidate.request):
        return UnprocessableKey("This idempotency key was used with another body. Use a new key for a new order.")
    # The stored id says who created it, whatever happened to the answer of the statement that did.
    return Placed(order_of(row), replayed=str(row.id) != candidate.id)


def _created(candidate: Candidate, at: datetime) -> Placed:
    return Placed(as_created(candidate.id, candidate.key, candidate.request, at), replayed=False)


_LOCK = Statement("SELECT FROM orders WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE")


async def lock(tx: Connection, ids: Sequence[UUID]) -> None:
    """Hold these orders until `tx` ends. An order's row is the lock of its charges and outbox rows.

    Always in the order of the ids, whoever takes them: that keeps two workers from deadlocking (R5).
    """
    await tx.run(_LOCK, {"ids": ids})
