"""Searching an order by whatever names it: its id or key, an id of ours or of Stripe's. Each look-up is by an index.

A request id of Stripe's stands nowhere but in histories, which have no index: only the newest of them are read, and the
answer says how far back that goes.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.schema.accepting import OPERATIONS
from service.foundation.postgres.sql import Connection, Record, Statement, connect
from service.ledger.journal import charge_reference, duplicate_reference
from service.orders.all_accounts import Listed, these

HISTORIES_MAX = 5_000  # of charges, of refunds and of changes, that are searched for a request id
_FOUND_MAX = 50
_TEXT_MAX = 500


@dataclass(frozen=True, slots=True)
class Found:
    """The orders that a text names. `back_to`: where histories were searched, the age of the oldest of them."""

    orders: list[Listed]
    histories: int = 0
    back_to: datetime | None = None


class _Order(Record):
    order_id: UUID


_BY_TEXT = Statement("""
SELECT o.id AS order_id FROM accounts a JOIN orders o ON o.account_id = a.id AND o.idempotency_key = :text
UNION
SELECT p.order_id FROM accounts a JOIN operations p
    ON p.account_id = a.id AND p.operation = ANY(CAST(:operations AS text[])) AND p.idempotency_key = :text
UNION
SELECT r.order_id FROM accounts a JOIN refunds r ON r.account_id = a.id AND r.producer_key = :text
UNION
SELECT c.order_id FROM accounts a JOIN charges c ON c.account_id = a.id AND c.idempotency_key = :text
UNION
SELECT c.order_id FROM accounts a JOIN charges c ON c.account_id = a.id AND c.payment_intent_id = :text
UNION
SELECT r.order_id FROM accounts a JOIN refunds r ON r.account_id = a.id AND r.stripe_refund_id = :text
UNION
SELECT j.order_id FROM accounts a JOIN journal_entries j
    ON j.account_id = a.id AND j.reference = ANY(CAST(:references AS text[])) WHERE j.order_id IS NOT NULL
UNION
SELECT order_id FROM disputes WHERE id = :text AND order_id IS NOT NULL
UNION
SELECT order_id FROM fraud_warnings WHERE id = :text AND order_id IS NOT NULL
UNION
SELECT order_id FROM balance_transactions WHERE id = :text AND order_id IS NOT NULL
LIMIT :limit
""").returning(_Order)

_BY_ID = Statement("""
SELECT id AS order_id FROM orders WHERE id = :id
UNION
SELECT order_id FROM order_aliases WHERE id = :id
UNION
SELECT order_id FROM charges WHERE id = :id
UNION
SELECT order_id FROM refunds WHERE id = :id
UNION
SELECT order_id FROM changes WHERE id = :id
UNION
SELECT order_id FROM notices WHERE id = :id AND order_id IS NOT NULL
""").returning(_Order)


class _Told(Record):
    object_id: str


_OBJECT_OF = Statement("SELECT object_id FROM stripe_events WHERE id = :text AND object_id IS NOT NULL").returning(
    _Told
)


class _Searched(Record):
    """How many histories were read, the oldest of them, and the orders whose history has the request."""

    histories: int
    back_to: datetime | None
    order_ids: list[UUID]


def _newest(table: str) -> str:
    return f"(SELECT order_id, history, created_at FROM {table} ORDER BY id DESC LIMIT :most)"


_BY_REQUEST = Statement(f"""
SELECT count(*) AS histories, min(created_at) AS back_to,
       coalesce(array_agg(DISTINCT order_id) FILTER (WHERE history @> CAST(:entry AS jsonb)), '{{}}') AS order_ids
  FROM ({_newest("charges")} UNION ALL {_newest("refunds")} UNION ALL {_newest("changes")}) AS h
""").returning(_Searched)


async def find(engine: AsyncEngine, text: str) -> Found:
    """The orders that `text` names."""
    async with connect(engine) as connection:
        if text.startswith("req_"):
            searched = await connection.one(
                _BY_REQUEST, {"most": HISTORIES_MAX, "entry": msgspec.json.encode([{"request_id": text}]).decode()}
            )
            ids, histories, back_to = searched.order_ids, searched.histories, searched.back_to
        else:
            ids, histories, back_to = await _named(connection, text), 0, None
    return Found(await these(engine, ids) if ids else [], histories, back_to)


async def _named(connection: Connection, text: str) -> list[UUID]:
    if (own := _as_id(text)) is not None:
        found = await connection.rows(_BY_ID, {"id": own})
        if found:
            return [row.order_id for row in found]
    if text.startswith("evt_") and (told := await connection.row(_OBJECT_OF, {"text": text})) is not None:
        text = told.object_id
    values = {
        "text": text,
        "operations": list(OPERATIONS),
        "references": [charge_reference(text), duplicate_reference(text)],
        "limit": _FOUND_MAX,
    }
    return [row.order_id for row in await connection.rows(_BY_TEXT, values)]


def _as_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
