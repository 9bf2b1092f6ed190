"""What must hold of the entries from which the books begin: a pass of `checks`.

What they say cannot be recomputed here: it is Stripe's balance of that moment less all movements, and `eo reconcile`
holds the whole balance against Stripe's.
"""

from service.ledger.entry import OPENING_EQUITY
from service.ledger.journal import REVERSAL
from service.ledger.opening import OPENING

OPENING_MISPLACED = f"""
SELECT ARRAY[CAST(e.id AS text), e.reference] AS ids,
       CASE WHEN e.kind NOT IN ('{OPENING}', '{REVERSAL}') THEN format('an entry of kind %s moves the opening', e.kind)
            WHEN i.balance_opened_at IS NULL THEN 'the books of this database are not opened yet'
            ELSE 'the books begin in another account than the default one' END AS detail
  FROM ledger_accounts l LEFT JOIN accounts a ON a.id = l.account_id AND a.is_default JOIN instance i ON i.id = 1
  JOIN postings p ON p.ledger_account_id = l.id JOIN journal_entries e ON e.id = p.entry_id
 WHERE l.code = '{OPENING_EQUITY}'
   AND (e.kind NOT IN ('{OPENING}', '{REVERSAL}') OR i.balance_opened_at IS NULL OR a.id IS NULL)"""
