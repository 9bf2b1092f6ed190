"""The reads of payouts. Every query names the account: they are the default account's, and no other one sees them."""

from datetime import date, datetime
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.errors import NotFound
from service.foundation.postgres.sql import Record, Statement, connect
from service.payouts.model import Payout, PayoutEntry, PayoutFailure


class PayoutRow(Record):
    """A payout as it is stored; failure is JSON."""

    id: str
    status: str
    amount_minor: int
    currency: str
    arrival_date: date
    trace_id: str | None
    failure_text: str | None
    stripe_created: datetime


COLUMNS = """
  id, status, amount_minor, currency, arrival_date, trace_id, failure::text AS failure_text, stripe_created
"""


def payout_of(row: PayoutRow) -> Payout:
    """The payout of a row."""
    return Payout(
        id=row.id,
        status=row.status,
        amount=row.amount_minor,
        currency=row.currency,
        arrival_date=row.arrival_date,
        trace_id=row.trace_id,
        failure=msgspec.json.decode(row.failure_text, type=PayoutFailure) if row.failure_text else None,
        created_at=row.stripe_created,
    )


_GET = Statement(f"SELECT {COLUMNS} FROM payouts WHERE account_id = :account AND id = :id").returning(PayoutRow)


async def get(engine: AsyncEngine, account_id: UUID, payout_id: str) -> Payout:
    """The payout. Raises NotFound, also for every account but the default one."""
    async with connect(engine) as connection:
        row = await connection.row(_GET, {"account": account_id, "id": payout_id})
    if row is None:
        raise NotFound("There is no such payout. Only keys of the default account see payouts.")
    return payout_of(row)


def _older_than(table: str) -> str:
    """Behind the object `:before`, whose moment is looked up; one that is not there has nothing behind it."""
    return f"""(stripe_created, id) < (
     CASE WHEN CAST(:before AS text) IS NULL THEN 'infinity'
          ELSE (SELECT stripe_created FROM {table} WHERE id = :before) END, coalesce(CAST(:before AS text), ''))"""


_PAGE = Statement(f"""
SELECT {COLUMNS} FROM payouts
 WHERE account_id = :account AND {_older_than("payouts")}
   AND (CAST(:status AS text) IS NULL OR status = :status)
 ORDER BY account_id DESC, stripe_created DESC, id DESC LIMIT :limit
""").returning(PayoutRow)


async def page(
    engine: AsyncEngine, account_id: UUID, *, limit: int, before: str | None, status: str | None
) -> tuple[list[Payout], bool]:
    """Up to `limit` payouts older than the payout `before`, newest first, and whether there are more."""
    values = {"account": account_id, "limit": limit + 1, "before": before, "status": status}
    async with connect(engine) as connection:
        rows = await connection.rows(_PAGE, values)
    return [payout_of(row) for row in rows[:limit]], len(rows) > limit


class _Entry(Record):
    id: str
    category: str
    amount_minor: int
    fee_minor: int
    net_minor: int
    currency: str
    order_id: UUID | None


_ENTRIES = Statement(f"""
SELECT id, category, amount_minor, fee_minor, net_minor, currency, order_id FROM balance_transactions
 WHERE payout_id = :payout AND {_older_than("balance_transactions")}
 ORDER BY payout_id DESC, stripe_created DESC, id DESC LIMIT :limit
""").returning(_Entry)


async def entries(
    engine: AsyncEngine, payout_id: str, *, limit: int, before: str | None
) -> tuple[list[PayoutEntry], bool]:
    """Up to `limit` of what is in the payout, older than the movement `before`, and whether there is more."""
    async with connect(engine) as connection:
        rows = await connection.rows(_ENTRIES, {"payout": payout_id, "limit": limit + 1, "before": before})
    shown = [
        PayoutEntry(
            order_id=str(row.order_id) if row.order_id else None,
            kind=row.category,
            amount=row.amount_minor,
            fee=row.fee_minor,
            net=row.net_minor,
            currency=row.currency,
            balance_transaction=row.id,
        )
        for row in rows[:limit]
    ]
    return shown, len(rows) > limit
