"""What must hold between the books and the movements of Stripe's balance: a pass of `checks`.

What is on the books of a movement is found by the last two parts of the natural keys that it can have, whatever took
an entry back or corrected it. One that still waits is not looked at: its charge may be booked, and its fee is not.
"""

from service.ledger.entry import STRIPE_BALANCE, STRIPE_ELSEWHERE
from service.ledger.journal import (
    CHARGE,
    CHARGE_FAILURE,
    DUPLICATE,
    FEE,
    PARTIAL_CAPTURE,
    PAYOUT,
    PAYOUT_FAILED,
    REFUND,
    REFUND_DUPLICATE,
    REFUND_DUPLICATE_FAILED,
    REFUND_FAILED,
    RESERVE,
    STRIPE_FEE,
    SUSPENDED,
)

# The word before the last part of a natural key, where the last part is the movement's own id.
_OWN = (FEE, SUSPENDED, STRIPE_FEE, RESERVE, CHARGE_FAILURE, PARTIAL_CAPTURE, "withdrawn", "reinstated")
# The same where it is the id of what moved the money, by the sign of the amount: Stripe's ids tell the kinds apart.
_OF_SOURCE = {
    ">=": (CHARGE, DUPLICATE, REFUND_FAILED, REFUND_DUPLICATE_FAILED),
    "<": (REFUND, REFUND_DUPLICATE),
}


def _keys() -> str:
    own = [f"('{word}', b.id)" for word in _OWN]
    of_source = [
        f"(CASE WHEN b.amount_minor {sign} 0 THEN '{kind}' END, b.source)"
        for sign, kinds in _OF_SOURCE.items()
        for kind in kinds
    ]
    payouts = f"(CASE WHEN b.type = 'payout' THEN '{PAYOUT}' ELSE '{PAYOUT_FAILED}' END, b.source)"
    return ", ".join([*own, *of_source, payouts])


# What Stripe shows on the balance of a reserve is the other half of what it shows on that of payments: one entry has
# both (`movements.reserve_entry`).
MOVEMENT_BOOKED_OTHERWISE = f"""
WITH keyed AS MATERIALIZED (
  SELECT b.id, b.net_minor, b.currency, CASE b.balance_type WHEN 'payments' THEN '{STRIPE_BALANCE}'
         ELSE '{STRIPE_ELSEWHERE}' END AS mirror, word, tail
    FROM balance_transactions b
   CROSS JOIN LATERAL (VALUES {_keys()}) AS keys (word, tail)
   WHERE b.status <> 'waiting' AND b.balance_type <> 'risk_reserved' AND word IS NOT NULL AND tail IS NOT NULL
), moved AS MATERIALIZED (
  SELECT split_part(e.reference, ':', -2) AS word, split_part(e.reference, ':', -1) AS tail, l.code, p.currency,
         sum(p.amount_minor) AS minor
    FROM ledger_accounts l JOIN postings p ON p.ledger_account_id = l.id JOIN journal_entries e ON e.id = p.entry_id
   WHERE l.code IN ('{STRIPE_BALANCE}', '{STRIPE_ELSEWHERE}')
   GROUP BY 1, 2, 3, 4
)
SELECT ARRAY[k.id] AS ids,
       format('%s %s booked, Stripe moved %s', coalesce(sum(m.minor), 0), k.currency, k.net_minor) AS detail
  FROM keyed k LEFT JOIN moved m ON m.tail = k.tail AND m.word = k.word AND m.code = k.mirror
 GROUP BY k.id, k.net_minor, k.currency
HAVING coalesce(sum(m.minor) FILTER (WHERE m.currency = k.currency), 0) <> k.net_minor
    OR coalesce(sum(m.minor) FILTER (WHERE m.currency <> k.currency), 0) <> 0"""
