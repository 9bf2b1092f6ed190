"""The statement of a ledger account: its days, and what was booked on one of them.

Days come from the rollups and from what was booked since, so they stay cheap however long the books are.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.console import cursors
from service.foundation.errors import BadRequest, NotFound
from service.foundation.postgres.db import sqlstate
from service.foundation.postgres.sql import Connection, Record, Statement, connect
from service.ledger.entry import DEBIT_NORMAL
from service.ledger.rollups import HORIZON

PAGE = 100
_CANCELED = "57014"  # a statement took longer than it may


class _Account(Record):
    id: int
    type: str


_ACCOUNTS = Statement("""
SELECT id::bigint AS id, type FROM ledger_accounts WHERE code = :code AND currency = :currency ORDER BY id
""").returning(_Account)


class _Day(Record):
    """What an account moved on a day, and its balance behind it: debit less credit."""

    day: date
    debit: Decimal
    credit: Decimal
    closing: Decimal


_DAYS = Statement(f"""
WITH horizon AS MATERIALIZED ({HORIZON}),
moved AS (
  SELECT day, debit_minor AS debit, credit_minor AS credit
    FROM ledger_rollups WHERE ledger_account_id = ANY (CAST(:accounts AS integer[])) AND (SELECT xid FROM horizon) > '0'
  UNION ALL  -- what came since
  SELECT CAST(occurred_at AT TIME ZONE 'UTC' AS date), greatest(amount_minor, 0), greatest(-amount_minor, 0)
    FROM postings
   WHERE xid >= (SELECT xid FROM horizon) AND ledger_account_id = ANY (CAST(:accounts AS integer[]))
), summed AS (
  SELECT day, sum(debit)::numeric AS debit, sum(credit)::numeric AS credit FROM moved GROUP BY day
)
SELECT day, debit, credit, closing
  FROM (SELECT day, debit, credit, sum(debit - credit) OVER (ORDER BY day) AS closing FROM summed) AS d
 WHERE day < :before ORDER BY day DESC LIMIT :limit
""").returning(_Day)


@dataclass(frozen=True, slots=True)
class Day:
    """A UTC day of an account, in minor units. `opening` and `closing` are in the normal sign of its type."""

    day: date
    opening: int
    debit: int
    credit: int
    closing: int


@dataclass(frozen=True, slots=True)
class AccountDays:
    """A page of the days on which an account moved, newest first. before: the cursor of the next page."""

    code: str
    currency: str
    type: str
    days: list[Day]
    before: date | None


async def account_days(engine: AsyncEngine, code: str, currency: str, before: date | None) -> AccountDays:
    """The days before that one on which the account moved, of all owners together. Raises NotFound."""
    async with connect(engine) as connection:
        accounts, kind = await _accounts(connection, code, currency)
        values = {"accounts": accounts, "before": before or date.max, "limit": PAGE + 1}
        rows = await connection.rows(_DAYS, values)
    days = [_day(row, kind) for row in rows[:PAGE]]
    return AccountDays(code, currency, kind, days, days[-1].day if len(rows) > PAGE else None)


def _day(row: _Day, kind: str) -> Day:
    sign = 1 if kind in DEBIT_NORMAL else -1
    opening = row.closing - row.debit + row.credit
    return Day(row.day, sign * int(opening), int(row.debit), int(row.credit), sign * int(row.closing))


async def _accounts(connection: Connection, code: str, currency: str) -> tuple[list[int], str]:
    rows = await connection.rows(_ACCOUNTS, {"code": code, "currency": currency})
    if not rows:
        raise NotFound("There is no such ledger account: nothing was ever booked on it.")
    return [row.id for row in rows], rows[0].type


class Booked(Record):
    """What an entry moved on one account: debit > 0, credit < 0, minor units."""

    id: UUID
    reference: str
    kind: str
    order_id: UUID | None
    occurred_at: datetime
    amount: int


_BOOKED = Statement("""
SELECT e.id, e.reference, e.kind, e.order_id, p.occurred_at, p.amount
  FROM (SELECT entry_id, occurred_at, sum(amount_minor)::bigint AS amount FROM postings
         WHERE occurred_at >= :place AND occurred_at < :until
           AND ledger_account_id = ANY (CAST(:accounts AS integer[]))
           AND (occurred_at, entry_id) > (CAST(:place AS timestamptz), CAST(:id AS uuid))
         GROUP BY occurred_at, entry_id ORDER BY occurred_at, entry_id LIMIT :limit) AS p
  JOIN journal_entries e ON e.id = p.entry_id
 ORDER BY p.occurred_at, e.id
""").returning(Booked)


@dataclass(frozen=True, slots=True)
class AccountDay:
    """A page of what was booked on an account on a day, by Stripe's time."""

    code: str
    currency: str
    day: date
    entries: list[Booked]
    after: str | None


async def account_day(engine: AsyncEngine, code: str, currency: str, day: date, after: str) -> AccountDay:
    """The entries of a day behind that cursor. Raises NotFound, and BadRequest where the day is too long to read."""
    begins = datetime.combine(day, time(), UTC)
    place, row_id = cursors.read(after) if after else (begins, UUID(int=0))
    until = begins + timedelta(days=1) if day < date.max else datetime.max.replace(tzinfo=UTC)
    values = {"place": max(place, begins), "until": until, "id": row_id, "limit": PAGE + 1}
    async with connect(engine) as connection:
        accounts, _ = await _accounts(connection, code, currency)
        try:
            rows = await connection.rows(_BOOKED, values | {"accounts": accounts})
        except Exception as error:
            if sqlstate(error) == _CANCELED:
                raise BadRequest("This day has more postings than a page may read through. Its sums hold.") from error
            raise
    more = cursors.write(rows[PAGE - 1].occurred_at, rows[PAGE - 1].id) if len(rows) > PAGE else None
    return AccountDay(code, currency, day, rows[:PAGE], more)
