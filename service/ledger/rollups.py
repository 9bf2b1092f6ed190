"""Reading the books: balances, an order's entries, and the rollups that keep a balance cheap.

A balance is the rollups (postings of transactions below the horizon) plus every posting from the horizon on.
The horizon is a transaction id, the oldest one still running when the rollup looked: what commits later is at
or above it. By max(id) or by a clock, a transaction that commits late would be missed for ever.
"""

from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import TypedDict
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.fields import Instant, MinorUnits
from service.foundation.postgres.sql import NO_TIMEOUT, Record, Statement, begin, connect
from service.ledger.entry import DEBIT_NORMAL


class Balance(TypedDict):
    """One chart account of one owner, in minor units; `balance` is in the normal sign of its `type`."""

    account_id: UUID
    account_name: str
    account: str
    currency: str
    type: str
    debit: MinorUnits
    credit: MinorUnits
    balance: MinorUnits


class Leg(TypedDict):
    """A posting as it is shown: debit > 0, credit < 0, minor units."""

    account: str
    currency: str
    amount: MinorUnits


class Entry(TypedDict):
    """A journal entry as it is shown. `occurred_at` is Stripe's time, `created_at` when we booked it."""

    id: UUID
    reference: str
    kind: str
    order_id: UUID | None
    payment_intent: str | None
    occurred_at: Instant
    created_at: Instant
    postings: list[Leg]


# Transaction ids belong to a cluster. A horizon of the future came with a dump from another one: then the
# rollups are left out, and every posting counts as new, until the next rollup has rebuilt them.
HORIZON = """
SELECT CASE WHEN xid <= pg_snapshot_xmax(pg_current_snapshot()) THEN xid ELSE '0' END AS xid
  FROM ledger_horizon
"""


class _Imbalance(Record):
    """By how much debits and credits of a currency differ."""

    currency: str
    minor: int


_IMBALANCE = Statement(f"""
WITH horizon AS MATERIALIZED ({HORIZON}),
moved AS (
  SELECT ledger_account_id, debit_minor - credit_minor AS minor
    FROM ledger_rollups WHERE (SELECT xid FROM horizon) > '0'
  UNION ALL
  SELECT ledger_account_id, amount_minor FROM postings WHERE xid >= (SELECT xid FROM horizon)
)
SELECT l.currency, CAST(sum(m.minor) AS bigint) AS minor
  FROM moved m JOIN ledger_accounts l ON l.id = m.ledger_account_id GROUP BY l.currency ORDER BY l.currency
""").returning(_Imbalance)


async def imbalance(engine: AsyncEngine) -> dict[str, int]:
    """Debits less credits per currency, in minor units, over all accounts: zero, or the books are broken."""
    async with connect(engine) as connection:
        return {row.currency: row.minor for row in await connection.rows(_IMBALANCE)}


class _Turnover(Record):
    """What a chart account has moved."""

    account_id: UUID
    account_name: str
    code: str
    currency: str
    type: str
    debit: Decimal
    credit: Decimal


# One statement is one snapshot: a rollup commits before or after it, never between the horizon and the sum.
_BALANCES = Statement(f"""
WITH horizon AS MATERIALIZED ({HORIZON}),
moved AS (
  SELECT ledger_account_id, debit_minor AS debit, credit_minor AS credit
    FROM ledger_rollups
   WHERE (SELECT xid FROM horizon) > '0'
     AND (CAST(:as_of AS timestamptz) IS NULL
          OR day < CAST(CAST(:as_of AS timestamptz) AT TIME ZONE 'UTC' AS date))
  UNION ALL  -- what came since
  SELECT ledger_account_id, greatest(amount_minor, 0), greatest(-amount_minor, 0)
    FROM postings
   WHERE xid >= (SELECT xid FROM horizon)
     AND (CAST(:as_of AS timestamptz) IS NULL OR occurred_at < CAST(:as_of AS timestamptz))
  UNION ALL  -- the part of the last day that its rollup cannot tell apart
  SELECT ledger_account_id, greatest(amount_minor, 0), greatest(-amount_minor, 0)
    FROM postings
   WHERE xid < (SELECT xid FROM horizon)
     AND occurred_at >= date_trunc('day', CAST(:as_of AS timestamptz), 'UTC')
     AND occurred_at < CAST(:as_of AS timestamptz)
), total AS (
  SELECT ledger_account_id, sum(debit) AS debit, sum(credit) AS credit FROM moved GROUP BY ledger_account_id
)
SELECT l.account_id, coalesce(o.name, CAST(l.account_id AS text)) AS account_name, l.code, l.currency, l.type,
       coalesce(t.debit, 0) AS debit, coalesce(t.credit, 0) AS credit
  FROM ledger_accounts l
  LEFT JOIN accounts o ON o.id = l.account_id
  LEFT JOIN total t ON t.ledger_account_id = l.id
 WHERE CAST(:account_id AS uuid) IS NULL OR l.account_id = CAST(:account_id AS uuid)
 ORDER BY account_name, l.code, l.currency
""").returning(_Turnover)


async def balances(engine: AsyncEngine, account_id: UUID | None = None, as_of: datetime | None = None) -> list[Balance]:
    """Every chart account's balance, of one account or of all, ordered by account name, code, currency.

    With `as_of` (aware), what occurred strictly before that instant; without, all that committed. Debit and
    credit are gross turnover, both positive. `balance` is debit - credit for assets and expenses, and for the
    rest credit - debit: healthy books show positive numbers; suspense is owed to somebody not yet known.
    """
    async with connect(engine) as connection:
        rows = await connection.rows(_BALANCES, {"account_id": account_id, "as_of": as_of})
    return [_balance(row) for row in rows]


def _balance(row: _Turnover) -> Balance:
    debit, credit = int(row.debit), int(row.credit)
    return Balance(
        account_id=row.account_id,
        account_name=row.account_name,
        account=row.code,
        currency=row.currency,
        type=row.type,
        debit=debit,
        credit=credit,
        balance=debit - credit if row.type in DEBIT_NORMAL else credit - debit,
    )


class _Leg(Record):
    """A posting, with what its whole entry says."""

    id: UUID
    reference: str
    kind: str
    order_id: UUID | None
    payment_intent_id: str | None
    occurred_at: datetime
    created_at: datetime
    code: str
    currency: str
    amount_minor: int


_ENTRIES = Statement("""
SELECT e.id, e.reference, e.kind, e.order_id, e.payment_intent_id, e.occurred_at, e.created_at,
       l.code, p.currency, p.amount_minor
  FROM journal_entries e
  JOIN postings p ON p.entry_id = e.id
  JOIN ledger_accounts l ON l.id = p.ledger_account_id
 WHERE e.account_id = :account_id AND e.order_id = :order_id
 ORDER BY e.occurred_at, e.id, p.line
""").returning(_Leg)


async def entries(engine: AsyncEngine, account_id: UUID, order_id: UUID) -> list[Entry]:
    """One order's journal entries, oldest first, each with its postings; none for another account's order."""
    async with connect(engine) as connection:
        rows = await connection.rows(_ENTRIES, {"account_id": account_id, "order_id": order_id})
    return [_entry(list(legs)) for _, legs in groupby(rows, key=lambda row: row.id)]


def _entry(legs: list[_Leg]) -> Entry:
    first = legs[0]
    return Entry(
        id=first.id,
        reference=first.reference,
        kind=first.kind,
        order_id=first.order_id,
        payment_intent=first.payment_intent_id,
        occurred_at=first.occurred_at,
        created_at=first.created_at,
        postings=[Leg(account=leg.code, currency=leg.currency, amount=leg.amount_minor) for leg in legs],
    )


# The horizon's row is the lock of the rollup; whoever finds it taken has nothing to do. The statements
# after it read the row: a statement's own snapshot is older than the locks it takes.
_LOCK = Statement("SELECT FROM ledger_horizon FOR UPDATE SKIP LOCKED")

_FORGET = Statement(f"""
UPDATE ledger_rollups SET debit_minor = 0, credit_minor = 0 WHERE (SELECT xid FROM ({HORIZON}) AS h) = '0'
""")


class _Rolled(Record):
    postings: int


_ROLL = Statement(f"""
WITH horizon AS MATERIALIZED ({HORIZON}),
target AS MATERIALIZED (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS xid),
fresh AS MATERIALIZED (
  SELECT ledger_account_id, CAST(occurred_at AT TIME ZONE 'UTC' AS date) AS day, count(*) AS postings,
         sum(greatest(amount_minor, 0)) AS debit_minor, sum(greatest(-amount_minor, 0)) AS credit_minor
    FROM postings
   WHERE xid >= (SELECT xid FROM horizon) AND xid < (SELECT xid FROM target)
   GROUP BY 1, 2
), rolled AS (
  INSERT INTO ledger_rollups AS r (ledger_account_id, day, debit_minor, credit_minor)
  SELECT ledger_account_id, day, debit_minor, credit_minor FROM fresh ORDER BY 1, 2
  ON CONFLICT (ledger_account_id, day) DO UPDATE
    SET debit_minor = r.debit_minor + excluded.debit_minor,
        credit_minor = r.credit_minor + excluded.credit_minor
), advanced AS (
  UPDATE ledger_horizon SET xid = (SELECT xid FROM target)
)
SELECT coalesce(sum(postings), 0)::bigint AS postings FROM fresh
""").returning(_Rolled)


async def rollup(engine: AsyncEngine) -> int:
    """Move the horizon to the oldest transaction still running; the number of postings rolled up.

    Safe at any time, any number at once: one works, the others return 0. A transaction left open holds the
    horizon back, which makes balances slower to read, never wrong.
    """
    async with begin(engine) as connection:
        await connection.run(NO_TIMEOUT)  # the first may sum up years
        if await connection.row(_LOCK) is None:
            return 0
        await connection.run(_FORGET)
        return (await connection.one(_ROLL)).postings
