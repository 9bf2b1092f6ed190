"""What must hold between the books and the payouts: a pass of `checks`.

It begins at the payouts: by the unique key of the entries, so that it costs what the payouts cost.
"""

from service.ledger.entry import PAYOUTS_IN_TRANSIT
from service.ledger.journal import PAYOUT, PAYOUT_ARRIVED, PAYOUT_FAILED, PAYOUT_RETURNED, REVERSAL
from service.states import PAYOUT_CAME_BACK, PAYOUT_FINAL, in_sql

_KINDS = (PAYOUT, PAYOUT_ARRIVED, PAYOUT_FAILED, PAYOUT_RETURNED)
_PREFIXES = ", ".join(f"'{prefix}{kind}:'" for kind in _KINDS for prefix in ("", f"{REVERSAL}:"))

# One that has ended, whose every movement is booked and named by its row. What is not, its sweeps bring.
PAYOUT_NOT_EVEN = f"""
WITH ended AS (
  SELECT p.account_id, p.id, p.currency FROM payouts p
   WHERE p.status IN {in_sql(PAYOUT_FINAL)}
     AND (p.failure_transaction_id IS NOT NULL OR p.status NOT IN {in_sql(PAYOUT_CAME_BACK)})
     AND EXISTS (SELECT FROM balance_transactions b WHERE b.id = p.balance_transaction_id)
     AND (p.failure_transaction_id IS NULL
          OR EXISTS (SELECT FROM balance_transactions b WHERE b.id = p.failure_transaction_id))
     AND NOT EXISTS (SELECT FROM balance_transactions b WHERE b.source = p.id AND (b.status <> 'booked'
          OR b.id IS DISTINCT FROM p.balance_transaction_id AND b.id IS DISTINCT FROM p.failure_transaction_id))
)
SELECT ARRAY[d.id] AS ids, sum(p.amount_minor) || ' ' || p.currency || ' left in transit' AS detail
  FROM ended d CROSS JOIN unnest(ARRAY[{_PREFIXES}]) AS prefix
  JOIN journal_entries e ON e.account_id = d.account_id AND e.reference = prefix || d.id
  JOIN postings p ON p.entry_id = e.id
  JOIN ledger_accounts l ON l.id = p.ledger_account_id AND l.code = '{PAYOUTS_IN_TRANSIT}'
 GROUP BY d.id, p.currency HAVING sum(p.amount_minor) <> 0"""
