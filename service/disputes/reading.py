"""The reads of disputes. Every query names the account: another account's dispute does not exist."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.disputes.model import Dispute
from service.foundation.errors import NotFound
from service.foundation.postgres.sql import Record, Statement, connect


class DisputeRow(Record):
    """A dispute as it is stored."""

    id: str
    order_id: UUID
    status: str
    reason: str | None
    amount_minor: int
    currency: str
    payment_intent_id: str | None
    evidence_due_by: datetime | None
    is_charge_refundable: bool
    stripe_created: datetime
    updated_at: datetime


COLUMNS = """
  d.id, d.order_id, d.status, d.reason, d.amount_minor, d.currency, c.payment_intent_id, d.evidence_due_by,
  d.is_charge_refundable, d.stripe_created, d.updated_at
"""


_GET = Statement(f"""
SELECT {COLUMNS} FROM disputes d JOIN charges c ON c.id = d.charge_id WHERE d.account_id = :account AND d.id = :id
""").returning(DisputeRow)


async def get(engine: AsyncEngine, account_id: UUID, dispute_id: str) -> Dispute:
    """The dispute. Raises NotFound, also when it is another account's."""
    async with connect(engine) as connection:
        row = await connection.row(_GET, {"account": account_id, "id": dispute_id})
    if row is None:
        raise NotFound("There is no such dispute.")
    return dispute_of(row)


# Behind the dispute `:before`, whose moment is looked up; one that is not there has nothing behind it.
_BEFORE = """(d.stripe_created, d.id) < (
     CASE WHEN CAST(:before AS text) IS NULL THEN 'infinity' ELSE (
       SELECT stripe_created FROM disputes WHERE account_id = CAST(:account AS uuid) AND id = :before) END,
     coalesce(CAST(:before AS text), ''))"""

# Of an account the span of one index, newest first; of an order its few disputes.
_PAGE = Statement(f"""
SELECT {COLUMNS} FROM disputes d JOIN charges c ON c.id = d.charge_id
 WHERE d.account_id = CAST(:account AS uuid)
   AND {_BEFORE}
   AND (CAST(:status AS text) IS NULL OR d.status = CAST(:status AS text))
 ORDER BY d.account_id DESC, d.stripe_created DESC, d.id DESC LIMIT :limit
""").returning(DisputeRow)
_PAGE_OF_ORDER = Statement(f"""
SELECT {COLUMNS} FROM disputes d JOIN charges c ON c.id = d.charge_id
 WHERE d.order_id = CAST(:order AS uuid) AND d.account_id = CAST(:account AS uuid)
   AND {_BEFORE}
   AND (CAST(:status AS text) IS NULL OR d.status = CAST(:status AS text))
 ORDER BY d.stripe_created DESC, d.id DESC LIMIT :limit
""").returning(DisputeRow)


async def page(
    engine: AsyncEngine,
    account_id: UUID,
    *,
    limit: int,
    before: str | None = None,
    status: str | None = None,
    order_id: UUID | None = None,
) -> tuple[list[Dispute], bool]:
    """Up to `limit` disputes older than the dispute `before`, newest first, and whether there are more."""
    values: dict[str, object] = {
        "account": account_id,
        "before": before,
        "status": status,
        "limit": limit + 1,
    }
    statement = _PAGE
    if order_id is not None:
        statement, values = _PAGE_OF_ORDER, values | {"order": order_id}
    async with connect(engine) as connection:
        rows = await connection.rows(statement, values)
    return [dispute_of(row) for row in rows[:limit]], len(rows) > limit


def dispute_of(row: DisputeRow) -> Dispute:
    """The dispute of a row."""
    return Dispute(
        id=row.id,
        order_id=str(row.order_id),
        status=row.status,
        reason=row.reason,
        amount=row.amount_minor,
        currency=row.currency,
        payment_intent=row.payment_intent_id,
        evidence_due_by=row.evidence_due_by,
        is_charge_refundable=row.is_charge_refundable,
        created_at=row.stripe_created,
        updated_at=row.updated_at,
    )
