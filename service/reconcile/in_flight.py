"""What Stripe's balance has and the books do not have yet, or the other way round, though both are right.

A charge and a refund are on the books once Stripe's answer says so, and their movements when the sweep has seen them. A
movement that is seen may wait for what it is of. What stands in suspense has only the rest of it on the books there.
"""

from collections.abc import Sequence

import asyncpg

from service.foundation.postgres.sql import Connection, Record, Statement
from service.ledger import charge_reference, duplicate_reference, suspense_reference
from service.ledger.entry import STRIPE_BALANCE
from service.ledger.journal import REFUND_DUPLICATE_FAILED, REFUND_FAILED
from service.states import CHARGE_MONEY_MOVED, in_sql
from service.stripe_gateway.objects import BalanceTransaction


class _Flight(Record):
    """What the ledger lacks of Stripe's balance in one currency; negative: what it has too early."""

    currency: str
    minor: int


_ON_THE_BALANCE = f"""JOIN postings p ON p.entry_id = e.id
  JOIN ledger_accounts l ON l.id = p.ledger_account_id AND l.code = '{STRIPE_BALANCE}'"""

_CHARGES = f"""
SELECT p.currency, -p.amount_minor AS minor
  FROM charges c
  JOIN journal_entries e ON e.account_id = c.account_id
   AND e.reference IN ('{charge_reference("")}' || c.stripe_charge_id,
                       '{duplicate_reference("")}' || c.stripe_charge_id)
  {_ON_THE_BALANCE}
 WHERE c.status IN {in_sql(CHARGE_MONEY_MOVED)} AND c.balance_transaction_id IS NULL"""


def _refunds(movement: str, came_back: str) -> str:
    return f"""
SELECT r.account_id, r.order_id, r.stripe_refund_id, {came_back} AS came_back
  FROM refunds r
 WHERE r.{movement} IS NOT NULL
   AND NOT EXISTS (SELECT FROM balance_transactions b WHERE b.id = r.{movement} AND b.status = 'booked')"""


# The last two parts of a natural key are the kind and Stripe's id, whatever corrected the entry.
_REFUNDS = f"""
SELECT p.currency, -p.amount_minor AS minor
  FROM early r
  JOIN journal_entries e ON e.order_id = r.order_id AND e.account_id = r.account_id
   AND split_part(e.reference, ':', -1) = r.stripe_refund_id
   AND (split_part(e.reference, ':', -2) IN ('{REFUND_FAILED}', '{REFUND_DUPLICATE_FAILED}')) = r.came_back
  {_ON_THE_BALANCE}"""

_SUSPENSE = f"""
SELECT p.currency, -p.amount_minor AS minor
  FROM balance_transactions b
 CROSS JOIN accounts a
  JOIN journal_entries e ON e.account_id = a.id AND e.reference = '{suspense_reference("")}' || b.id
  {_ON_THE_BALANCE}
 WHERE b.status = 'suspense' AND a.is_default"""

# `later`: movements that are stored, and that Stripe's balance did not have when it was read.
_FLIGHT = Statement(f"""
WITH early AS MATERIALIZED ({_refunds("balance_transaction_id", "false")}
 UNION ALL {_refunds("failure_transaction_id", "true")})
SELECT currency, CAST(sum(minor) AS bigint) AS minor FROM ({_CHARGES}
 UNION ALL {_REFUNDS}
 UNION ALL {_SUSPENSE}
 UNION ALL
SELECT currency, net_minor FROM balance_transactions
 WHERE status IN ('waiting', 'suspense') AND balance_type = 'payments' AND id <> ALL (CAST(:later AS text[]))
 UNION ALL
SELECT currency, -net_minor FROM balance_transactions
 WHERE status = 'booked' AND balance_type = 'payments' AND id = ANY (CAST(:later AS text[]))
) AS moved GROUP BY currency
""").returning(_Flight)


class _Id(Record):
    id: str


_YOUNG = Statement("SELECT id FROM balance_transactions WHERE stripe_created >= to_timestamp(:since)").returning(_Id)


async def in_flight(driver: asyncpg.Connection, newest: Sequence[BalanceTransaction], since: int) -> dict[str, int]:
    """What Stripe's balance had when it was read, beyond the ledger of now, in minor units by currency.

    `newest`: the movements since `since` (Unix s) that Stripe listed by then.
    """
    connection = Connection(driver)
    shown = {bt.id: bt for bt in newest}
    stored = {row.id for row in await connection.rows(_YOUNG, {"since": since})}
    rows = await connection.rows(_FLIGHT, {"later": sorted(stored - shown.keys())})
    sums = {row.currency: row.minor for row in rows}
    for bt in newest:
        if bt.id not in stored and bt.balance_type == "payments":
            sums[bt.currency] = sums.get(bt.currency, 0) + bt.net
    return sums
