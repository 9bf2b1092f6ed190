"""The reads of refunds. Every query names the account: another account's refund does not exist."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.errors import NotFound
from service.foundation.postgres.sql import Record, Statement, connect
from service.refunds.model import Refund, RefundFailure
from service.states import REFUND_OPEN, in_sql

_LAST_ID = UUID(int=2**128 - 1)


class RefundRow(Record):
    """A refund as it is stored; metadata and failure are JSON."""

    id: UUID
    order_id: UUID
    status: str
    amount_minor: int
    currency: str
    reason: str | None
    metadata_text: str
    producer_key: str | None
    stripe_refund_id: str | None
    failure_text: str | None
    created_at: datetime
    updated_at: datetime


COLUMNS = """
  id, order_id, status, amount_minor, currency, reason, metadata::text AS metadata_text, producer_key,
  stripe_refund_id, failure::text AS failure_text, created_at, updated_at
"""


def refund_of(row: RefundRow) -> Refund:
    """The refund of a row."""
    return Refund(
        id=str(row.id),
        order_id=str(row.order_id),
        status=row.status,
        amount=row.amount_minor,
        currency=row.currency,
        reason=row.reason,
        metadata=msgspec.json.decode(row.metadata_text),
        idempotency_key=row.producer_key,
        stripe_refund=row.stripe_refund_id,
        failure=msgspec.json.decode(row.failure_text, type=RefundFailure) if row.failure_text else None,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


_GET = Statement(f"SELECT {COLUMNS} FROM refunds WHERE account_id = :account AND id = :id").returning(RefundRow)


async def get(engine: AsyncEngine, account_id: UUID, refund_id: UUID) -> Refund:
    """The refund. Raises NotFound, also when it is another account's."""
    async with connect(engine) as connection:
        row = await connection.row(_GET, {"account": account_id, "id": refund_id})
    if row is None:
        raise NotFound("There is no such refund.")
    return refund_of(row)


# As the pages of orders: the bounds are one span of one index, and the order names each of its columns.
_PAGE = Statement(f"""
SELECT {COLUMNS} FROM refunds
 WHERE (account_id, id) >= (CAST(:account AS uuid), CAST('{UUID(int=0)}' AS uuid))
   AND (account_id, id) < (CAST(:account AS uuid), CAST(:before AS uuid))
 ORDER BY account_id DESC, id DESC LIMIT :limit
""").returning(RefundRow)

_PAGE_OF_STATUS = Statement(f"""
SELECT {COLUMNS} FROM refunds
 WHERE (account_id, status, id) >= (CAST(:account AS uuid), CAST(:status AS text), CAST('{UUID(int=0)}' AS uuid))
   AND (account_id, status, id) < (CAST(:account AS uuid), CAST(:status AS text), CAST(:before AS uuid))
 ORDER BY account_id DESC, status DESC, id DESC LIMIT :limit
""").returning(RefundRow)


async def page(
    engine: AsyncEngine, account_id: UUID, *, limit: int, before: UUID | None, status: str | None
) -> tuple[list[Refund], bool]:
    """Up to `limit` refunds older than the refund `before`, newest first, and whether there are more."""
    values: dict[str, object] = {"account": account_id, "limit": limit + 1, "before": before or _LAST_ID}
    statement = _PAGE
    if status is not None:
        statement, values = _PAGE_OF_STATUS, values | {"status": status}
    return await _read(engine, statement, values, limit)


_PAGE_OF_ORDER = Statement(f"""
SELECT {COLUMNS} FROM refunds
 WHERE (order_id, id) >= (CAST(:order AS uuid), CAST('{UUID(int=0)}' AS uuid))
   AND (order_id, id) < (CAST(:order AS uuid), CAST(:before AS uuid))
   AND account_id = :account
 ORDER BY order_id DESC, id DESC LIMIT :limit
""").returning(RefundRow)


async def page_of_order(
    engine: AsyncEngine, account_id: UUID, order_id: str, *, limit: int, before: UUID | None
) -> tuple[list[Refund], bool]:
    """As `page`, of one order."""
    values: dict[str, object] = {
        "account": account_id,
        "order": UUID(order_id),
        "limit": limit + 1,
        "before": before or _LAST_ID,
    }
    return await _read(engine, _PAGE_OF_ORDER, values, limit)


async def _read(
    engine: AsyncEngine, statement: Statement[RefundRow], values: dict[str, object], limit: int
) -> tuple[list[Refund], bool]:
    async with connect(engine) as connection:
        rows = await connection.rows(statement, values)
    return [refund_of(row) for row in rows[:limit]], len(rows) > limit


_ENDED = Statement(f"""
SELECT {COLUMNS} FROM refunds WHERE id = ANY(CAST(:ids AS uuid[])) AND status NOT IN {in_sql(REFUND_OPEN)}
""").returning(RefundRow)


async def ended(engine: AsyncEngine, ids: Sequence[str]) -> list[Refund]:
    """Those of the refunds for which nothing is left to do. For the one poller of `Prefer: wait`."""
    async with connect(engine) as connection:
        return [refund_of(row) for row in await connection.rows(_ENDED, {"ids": ids})]
