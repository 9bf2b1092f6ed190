"""Payouts for the operator: the newest ones, those in one state, and one with its history and what is in it by kind."""

import json
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.errors import NotFound
from service.foundation.postgres.sql import Record, Statement, connect


class PayoutListed(Record):
    """A payout as it is listed; failure and history are JSON."""

    id: str
    status: str
    amount: int
    currency: str
    arrival_date: date
    automatic: bool
    method: str
    trace_id: str | None
    reconciliation_status: str | None
    listed_at: datetime | None
    failure: str | None
    balance_transaction: str | None
    failure_balance_transaction: str | None
    history: str
    created_at: datetime


_COLUMNS = """
  id, status, amount_minor AS amount, currency, arrival_date, automatic, method, trace_id, reconciliation_status,
  listed_at, failure::text AS failure, balance_transaction_id AS balance_transaction,
  failure_transaction_id AS failure_balance_transaction, history::text AS history, stripe_created AS created_at
"""

_NEWEST = Statement(f"""
SELECT {_COLUMNS} FROM payouts WHERE CAST(:status AS text) IS NULL OR status = :status
 ORDER BY stripe_created DESC, id DESC LIMIT :limit
""").returning(PayoutListed)


async def newest(engine: AsyncEngine, *, status: str | None, limit: int) -> list[dict[str, Any]]:
    """Up to `limit` payouts, newest first, of one state or of all."""
    async with connect(engine) as connection:
        return [_plain(row) for row in await connection.rows(_NEWEST, {"status": status, "limit": limit})]


@dataclass(frozen=True, slots=True)
class Seen:
    """A payout, and what is in it: per kind the number and the sums in minor units of its currency.

    `unexplained`: its amount without the net of what is in it; null until Stripe has listed that.
    """

    payout: dict[str, Any]
    in_it: list[dict[str, Any]]
    unexplained: int | None


_GET = Statement(f"SELECT {_COLUMNS} FROM payouts WHERE id = :id").returning(PayoutListed)


class _Sum(Record):
    kind: str
    currency: str
    count: int
    amount: int
    fee: int
    net: int


_SUMS = Statement("""
SELECT category AS kind, currency, count(*) AS count, sum(amount_minor)::bigint AS amount,
       sum(fee_minor)::bigint AS fee, sum(net_minor)::bigint AS net
  FROM balance_transactions WHERE payout_id = :id GROUP BY category, currency ORDER BY category, currency
""").returning(_Sum)


async def find(engine: AsyncEngine, payout_id: str) -> Seen:
    """The payout with this id. Raises NotFound."""
    async with connect(engine) as connection:
        row = await connection.row(_GET, {"id": payout_id})
        if row is None:
            raise NotFound("There is no such payout. `eo payouts list` shows the newest.")
        sums = await connection.rows(_SUMS, {"id": payout_id})
    paid_out = sum(line.net for line in sums if line.currency == row.currency)
    unexplained = row.amount - paid_out if row.listed_at is not None else None
    return Seen(_plain(row), [dict(line.items()) for line in sums], unexplained)


def _plain(row: PayoutListed) -> dict[str, Any]:
    failure = json.loads(row.failure) if row.failure else None
    return {**dict(row.items()), "failure": failure, "history": json.loads(row.history)}
