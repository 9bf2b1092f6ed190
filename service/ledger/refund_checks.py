"""What must hold between the books, the refunds and their orders: passes of `checks`.

Both begin at the refunds: by the unique key of the entries, in which their references lie together, and at their table.
So they cost what the refunds cost, however many charges there are.
"""

from service.ledger.entry import CONTRA_REFUNDS, REFUNDS_PAYABLE, REVENUE, SUSPENSE
from service.ledger.journal import REDATED, REFUND, REFUND_DUPLICATE, REFUND_DUPLICATE_FAILED, REVERSAL, SETTLED
from service.states import REFUND_ENDED_UNPAID, REFUND_OPEN, in_sql

# Every entry of a refund, also of a duplicate's, and what corrects one: `refund:`, `refund_pending:`,
# `refund_duplicate:`, `reversal:refund:`, …
_ENTRIES = f"""
SELECT e.* FROM (SELECT DISTINCT account_id FROM ledger_accounts
        WHERE code IN ('{REFUNDS_PAYABLE}', '{SUSPENSE}')) refunding
  JOIN journal_entries e ON e.account_id = refunding.account_id
   AND (e.reference LIKE '{REFUND}%' OR e.reference LIKE '{REVERSAL}:{REFUND}%'
        OR e.reference LIKE '{REDATED}:{REFUND}%' OR e.reference LIKE '{SETTLED}:{REFUND}%')"""

# What a promise gave up, against what was taken for the same payment. A draw on what is owed gives up nothing anew. The
# refund of a duplicate takes what suspense had of it.
_GIVES_BACK = f"(l.code = '{CONTRA_REFUNDS}' OR e.kind IN ('{REFUND_DUPLICATE}', '{REFUND_DUPLICATE_FAILED}'))"
REFUNDED_TOO_MUCH = f"""
WITH refunded AS MATERIALIZED (SELECT DISTINCT account_id, order_id FROM ({_ENTRIES}) e)
SELECT ARRAY[CAST(e.order_id AS text), coalesce(e.payment_intent_id, '')] AS ids,
       format('%s given back of %s %s', coalesce(sum(p.amount_minor) FILTER (WHERE {_GIVES_BACK}), 0),
              coalesce(-sum(p.amount_minor) FILTER (WHERE NOT {_GIVES_BACK}), 0), p.currency) AS detail
  FROM refunded r
  JOIN journal_entries e ON e.order_id = r.order_id AND e.account_id = r.account_id
  JOIN postings p ON p.entry_id = e.id
  JOIN ledger_accounts l ON l.id = p.ledger_account_id AND l.code IN ('{REVENUE}', '{SUSPENSE}', '{CONTRA_REFUNDS}')
 GROUP BY e.account_id, e.order_id, e.payment_intent_id, p.currency
HAVING sum(p.amount_minor) > 0"""

# What each refund adds to what its order's failed ones left owed. One that was not made at Stripe yet has promised
# nothing; what it draws is promised since before. One that failed is owed, and where it had left the balance, its money
# is on its way back until the second balance transaction. That of a duplicate is in suspense until it has left.
_UNDER_WAY = f"""CASE
    WHEN r.status IN {in_sql(REFUND_OPEN)} AND r.stripe_refund_id IS NULL THEN r.drawn_minor
    WHEN r.status IN {in_sql(REFUND_OPEN)} AND r.balance_transaction_id IS NULL THEN r.amount_minor
    WHEN r.status = 'succeeded' AND r.balance_transaction_id IS NULL THEN r.amount_minor
    WHEN r.status NOT IN {in_sql(REFUND_OPEN)} AND r.status <> 'succeeded'
     AND r.balance_transaction_id IS NOT NULL AND r.failure_transaction_id IS NULL THEN -r.amount_minor
    ELSE 0 END"""

# The same of a charge that is settled in another currency, in that one: what was promised, less what has left the
# balance and did not come back. What the order counts in its customer's currency must be what its refunds say, too.
_WORTH = """CASE WHEN r.stripe_refund_id IS NULL THEN 0
    WHEN r.balance_transaction_id IS NULL OR r.failure_transaction_id IS NOT NULL THEN r.promised_settled_minor
    ELSE -r.drawn_settled_minor END"""
_OWED = f"""CASE WHEN r.stripe_refund_id IS NULL THEN 0
    WHEN r.status IN {in_sql(REFUND_ENDED_UNPAID)} THEN r.amount_minor - r.drawn_minor ELSE -r.drawn_minor END"""

# Until what took a charge's money is known, nothing of it is booked where its currency is known to settle in another.
_WAITS = """c.settled_minor IS NULL AND (c.settlement_currency IS NOT NULL OR c.balance_transaction_id IS NULL
     AND c.currency IN (SELECT currency FROM settlement_currencies WHERE settles_in <> currency))"""

PAYABLE_DIFFERS = f"""
WITH booked AS (
  SELECT e.account_id, e.order_id, p.currency, -sum(p.amount_minor) AS minor
    FROM ({_ENTRIES}) e
    JOIN postings p ON p.entry_id = e.id
    JOIN ledger_accounts l ON l.id = p.ledger_account_id AND l.code = '{REFUNDS_PAYABLE}'
   GROUP BY 1, 2, 3
), counted AS (
  SELECT o.account_id, o.id AS order_id, o.currency, o.amount_owed_minor + sum({_UNDER_WAY}) AS minor
    FROM refunds r JOIN orders o ON o.id = r.order_id
    JOIN charges c ON c.id = r.charge_id AND c.status <> 'duplicate' AND c.settled_minor IS NULL
   GROUP BY o.id
  UNION ALL
  SELECT o.account_id, o.id, c.settlement_currency, sum({_WORTH}) + o.amount_owed_minor - sum({_OWED})
    FROM refunds r JOIN orders o ON o.id = r.order_id
    JOIN charges c ON c.id = r.charge_id AND c.status <> 'duplicate' AND c.settled_minor IS NOT NULL
   GROUP BY o.id, c.settlement_currency
)
SELECT ARRAY[coalesce(CAST(order_id AS text), 'no order')] AS ids,
       format('%s %s booked as payable, %s owed or under way', coalesce(b.minor, 0), currency, coalesce(c.minor, 0))
         AS detail
  FROM booked b FULL JOIN counted c USING (account_id, order_id, currency)
 WHERE coalesce(b.minor, 0) <> coalesce(c.minor, 0)
   AND NOT EXISTS (SELECT FROM refunds r JOIN charges c ON c.id = r.charge_id
     WHERE r.order_id = coalesce(b.order_id, c.order_id) AND {_WAITS})"""
