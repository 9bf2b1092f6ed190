"""Disputes of all accounts, for the operator: the newest ones, those in one state, and one with its history."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.errors import NotFound
from service.foundation.postgres.sql import Record, Statement, connect


class _Listed(Record):
    """A dispute as it is listed; `history` is JSON."""

    id: str
    order_id: UUID
    account: str | None
    status: str
    reason: str | None
    amount: int
    currency: str
    payment_intent: str | None
    evidence_due_by: datetime | None
    is_charge_refundable: bool
    history: str
    created_at: datetime
    updated_at: datetime


_FOUND = """
SELECT d.id, d.order_id, a.name AS account, d.status, d.reason, d.amount_minor AS amount, d.currency,
       c.payment_intent_id AS payment_intent, d.evidence_due_by, d.is_charge_refundable, d.history::text AS history,
       d.stripe_created AS created_at, d.updated_at
  FROM disputes d JOIN charges c ON c.id = d.charge_id LEFT JOIN accounts a ON a.id = d.account_id
"""

_NEWEST = Statement(f"""{_FOUND}
 WHERE CAST(:status AS text) IS NULL OR d.status = :status ORDER BY d.stripe_created DESC, d.id DESC LIMIT :limit
""").returning(_Listed)


async def newest(engine: AsyncEngine, *, status: str | None, limit: int) -> list[dict[str, Any]]:
    """Up to `limit` disputes of all accounts, newest first, of one state or of all."""
    async with connect(engine) as connection:
        return [_plain(row) for row in await connection.rows(_NEWEST, {"status": status, "limit": limit})]


_FIND = Statement(f"{_FOUND} WHERE d.id = :id").returning(_Listed)


async def find(engine: AsyncEngine, dispute_id: str) -> dict[str, Any]:
    """The dispute with this id of Stripe's. Raises NotFound."""
    async with connect(engine) as connection:
        row = await connection.row(_FIND, {"id": dispute_id})
    if row is None:
        raise NotFound("There is no such dispute. `eo disputes list` shows the newest.")
    return _plain(row)


def _plain(row: _Listed) -> dict[str, Any]:
    return {**dict(row.items()), "history": json.loads(row.history)}
