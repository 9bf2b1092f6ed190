"""What must hold between the books and the movements of Stripe's balance: a pass of `checks`.

What is on the books of a movement is found by the natural keys that it can have, so the pass costs what the movements
cost. One that still waits is not looked at: its charge may be booked already, and its fee is not.
"""

from service.ledger.entry import STRIPE_BALANCE, STRIPE_ELSEWHERE
from service.ledger.journal import (
    CHARGE,
    CHARGE_FAILURE,
    DISPUTE,
    DUPLICATE,
    FEE,
    PARTIAL_CAPTURE,
    PAYOUT,
    PAYOUT_FAILED,
    REDATED,
    REFUND,
    REFUND_DUPLICATE,
    REFUND_DUPLICATE_FAILED,
    REFUND_FAILED,
    RESERVE,
    REVERSAL,
    SETTLED,
    STRIPE_FEE,
    SUSPENDED,
)

# Keys that end with the movement's own id.
_OWN = (FEE, SUSPENDED, STRIPE_FEE, RESERVE, CHARGE_FAILURE, PARTIAL_CAPTURE)
# Keys that end with the id of what moved the money, by the sign of the amount: Stripe's ids tell the kinds apart.
_OF_SOURCE = {
    ">=": (CHARGE, DUPLICATE, REFUND_FAILED, REFUND_DUPLICATE_FAILED),
    "<": (REFUND, REFUND_DUPLICATE),
}
# What corrects an entry, and takes it back.
_CORRECTED = ("", f"{REDATED}:", f"{SETTLED}:", f"{REDATED}:{SETTLED}:")
_PREFIXES = ", ".join(f"('{back}{prefix}')" for back in ("", f"{REVERSAL}:") for prefix in _CORRECTED)


def _keys() -> str:
    own = [f"('{kind}:' || b.id)" for kind in _OWN]
    of_source = [
        f"(CASE WHEN b.amount_minor {sign} 0 THEN '{kind}:' || b.source END)"
        for sign, kinds in _OF_SOURCE.items()
        for kind in kinds
    ]
    disputes = [f"('{DISPUTE}:' || b.source || ':{word}:' || b.id)" for word in ("withdrawn", "reinstated")]
    payouts = [
        f"(CASE WHEN b.type = 'payout' THEN '{PAYOUT}:' || b.source END)",
        f"(CASE WHEN b.type <> 'payout' THEN '{PAYOUT_FAILED}:' || b.source END)",
    ]
    return ", ".join(own + of_source + disputes + payouts)


# What Stripe shows on the balance of a reserve is the other half of what it shows on that of payments: one entry has
# both (`movements.reserve_entry`).
MOVEMENT_BOOKED_OTHERWISE = f"""
WITH keyed AS (
  SELECT b.id, b.net_minor, b.currency, CASE b.balance_type WHEN 'payments' THEN '{STRIPE_BALANCE}'
         ELSE '{STRIPE_ELSEWHERE}' END AS mirror, prefix || key AS reference
    FROM balance_transactions b
   CROSS JOIN LATERAL (VALUES {_keys()}) AS keys (key)
   CROSS JOIN (VALUES {_PREFIXES}) AS prefixes (prefix)
   WHERE b.status <> 'waiting' AND b.balance_type <> 'risk_reserved'
), moved AS (
  SELECT e.reference, l.code, p.currency, sum(p.amount_minor) AS minor
    FROM ledger_accounts l JOIN postings p ON p.ledger_account_id = l.id JOIN journal_entries e ON e.id = p.entry_id
   WHERE l.code IN ('{STRIPE_BALANCE}', '{STRIPE_ELSEWHERE}')
   GROUP BY 1, 2, 3
)
SELECT ARRAY[k.id] AS ids,
       format('%s %s booked, Stripe moved %s', coalesce(sum(m.minor), 0), k.currency, k.net_minor) AS detail
  FROM keyed k LEFT JOIN moved m ON m.reference = k.reference AND m.code = k.mirror
 GROUP BY k.id, k.net_minor, k.currency
HAVING coalesce(sum(m.minor) FILTER (WHERE m.currency = k.currency), 0) <> k.net_minor
    OR coalesce(sum(m.minor) FILTER (WHERE m.currency <> k.currency), 0) <> 0"""
