"""The statements that name each difference of a refund, on the tables of refund_tables.py.

Parameters as in findings.py.

A refund is compared with Stripe's object of it, and with its journal entries: what is owed to the customer since it was
made, what left Stripe's balance, and what came back when it failed. That of a duplicate owes nothing: it is
booked to suspense.
"""

from service.foundation.postgres.sql import Statement
from service.ledger import (
    fee_reference,
    refund_duplicate_failed_reference,
    refund_duplicate_reference,
    refund_failed_reference,
    refund_pending_reference,
    refund_reference,
)
from service.ledger.journal import (
    REFUND,
    REFUND_DUPLICATE,
    REFUND_DUPLICATE_FAILED,
    REFUND_FAILED,
    REFUND_PENDING,
)
from service.states import REFUND_AGREED, REFUND_ENDED_UNPAID, REFUND_OPEN, in_sql, pairs_in_sql

_OPEN = in_sql(REFUND_OPEN)
_UNPAID = in_sql(REFUND_ENDED_UNPAID)


def _either(of_duplicate: str, of_success: str) -> str:
    return f"CASE WHEN p.of_duplicate THEN '{of_duplicate}' ELSE '{of_success}' END || p.re"


# The references of a refund's entries: the promise, what left Stripe's balance, what came back.
_MADE = f"'{refund_pending_reference('')}' || p.re"
_PAID = _either(refund_duplicate_reference(""), refund_reference(""))
_BACK = _either(refund_duplicate_failed_reference(""), refund_failed_reference(""))
_KINDS = f"'{REFUND_PENDING}', '{REFUND}', '{REFUND_FAILED}'"
_GONE = f"('{REFUND}', '{REFUND_DUPLICATE}')"
_KINDS_OF_DUPLICATES = f"'{REFUND_DUPLICATE}', '{REFUND_DUPLICATE_FAILED}'"

# `made`, `paid`, `back`: what is booked of each entry; `due`: what the first one owes beyond what was owed before.
# `wrong`: the entry that has another amount than the refund, its balance transaction, or none to stand for.
REFUNDS = Statement(f"""
INSERT INTO recon_findings
WITH seen AS (
  SELECT p.*, n.re IS NOT NULL AS absent, CASE WHEN of_duplicate THEN 0 ELSE r_amount - r_drawn END AS due,
         -- Stripe moved another sum than the refund's; in another currency its rate decides what that is.
         s_txn_currency = r_currency AND s_txn_amount <> -r_amount
           OR s_failure_currency = r_currency AND s_failure_amount <> r_amount AS moved_other,
         made.id AS made_id, -made.payable AS made, made.currency AS made_currency,
         made.customer_minor AS made_customer,
         paid.id AS paid_id, -paid.assets AS paid, paid.currency AS paid_currency,
         paid.customer_minor AS paid_customer,
         back.id AS back_id, back.assets AS back, back.currency AS back_currency,
         back.customer_minor AS back_customer,
         -- What is to be booked: in another currency by the charge's rate, and by what Stripe's balance moved.
         coalesce(r_settled_in, r_currency) AS settled_in,
         CASE WHEN of_duplicate THEN 0 WHEN r_settled_in IS NULL THEN r_amount - r_drawn
              ELSE r_promised END AS promised,
         CASE WHEN r_settled_in IS NULL THEN r_amount ELSE -s_txn_amount END AS gone,
         CASE WHEN r_settled_in IS NULL THEN r_amount ELSE s_failure_amount END AS came,
         fee.id AS fee_id, -fee.assets AS fee, fee.currency AS fee_currency
    FROM recon_refund_pairs p
    LEFT JOIN recon_absent_refunds n ON n.re = p.r_re
    LEFT JOIN recon_entries made ON made.account_id = p.account_id AND made.reference = {_MADE}
    LEFT JOIN recon_entries paid ON paid.account_id = p.account_id AND paid.reference = {_PAID}
    LEFT JOIN recon_entries back ON back.account_id = p.account_id AND back.reference = {_BACK}
    LEFT JOIN recon_entries fee ON fee.account_id = p.account_id AND fee.reference = '{fee_reference("")}' || p.s_txn
   WHERE p.selected
), checked AS (
  SELECT p.*, CASE
    WHEN made_id IS NOT NULL AND ((made, made_currency) <> (promised, settled_in) OR made_customer <> due) THEN {_MADE}
    WHEN paid_id IS NOT NULL AND (s_txn IS NULL OR (paid, paid_currency) <> (gone, settled_in)
      OR paid_customer <> r_amount) THEN {_PAID}
    WHEN back_id IS NOT NULL AND (s_failure_txn IS NULL OR (back, back_currency) <> (came, settled_in)
      OR back_customer <> r_amount) THEN {_BACK}
  END AS wrong FROM seen p
), judged AS (
  SELECT checked.*, CASE
    WHEN r_id IS NULL THEN CASE WHEN s_status NOT IN {_UNPAID} THEN 'refund_missing_locally' END
    WHEN absent OR NOT at_stripe AND r_re IS NULL AND r_status = 'succeeded' THEN 'refund_missing_at_stripe'
    WHEN NOT at_stripe AND r_re IS NULL THEN CASE WHEN r_status IN {_OPEN} THEN 'stale_pending' END
    -- Learnt its id after Stripe was read; or Stripe could not be read, which says nothing.
    WHEN NOT at_stripe THEN CASE WHEN :complete THEN 'in_flight' END
    -- What our row says is settled is not on the books.
    WHEN NOT waits AND (r_re IS NOT NULL AND promised > 0 AND made_id IS NULL
      OR r_txn IS NOT NULL AND paid_id IS NULL OR r_failure_txn IS NOT NULL AND back_id IS NULL
      OR settled_in <> r_currency AND r_currency IN (made_currency, paid_currency, back_currency))
      THEN 'refund_missing_locally'
    WHEN s_amount <> r_amount OR s_currency <> r_currency OR s_pi <> r_pi OR moved_other
      THEN 'refund_amount_mismatch'
    WHEN (r_status, s_status) NOT IN {pairs_in_sql(REFUND_AGREED)} THEN 'refund_status_mismatch'
    -- Its payment is not booked before what took its money is known, and that tells what the refund is worth.
    WHEN waits THEN 'in_flight'
    WHEN r_re IS NOT NULL AND (s_txn IS NOT NULL AND paid_id IS NULL OR s_failure_txn IS NOT NULL AND back_id IS NULL)
      THEN 'refund_missing_locally'
    WHEN wrong IS NOT NULL THEN 'ledger_imbalance'
    WHEN r_status IN {_OPEN} THEN 'stale_pending'
    WHEN s_fee <> 0 AND fee_id IS NULL THEN 'fee_missing'
    WHEN (fee, fee_currency) <> (s_fee, s_txn_currency) THEN 'fee_mismatch'
  END AS class FROM checked
), dated AS (
  SELECT judged.*, CASE class
    WHEN 'refund_missing_locally' THEN greatest(at, r_updated, s_txn_created, s_failure_created)
    -- A success that failed later is known by what brought the money back; one that waits is asked for at times.
    WHEN 'refund_status_mismatch' THEN greatest(at, s_failure_created,
      CASE WHEN r_status IN {_OPEN} THEN asked_at ELSE r_updated END)
    WHEN 'stale_pending' THEN CASE WHEN parked_at IS NULL
      THEN CASE WHEN at_stripe THEN at + :wait_refund ELSE r_created END END
    WHEN 'fee_missing' THEN greatest(at, s_txn_created)
  END AS heals_at FROM judged WHERE class IS NOT NULL
)
SELECT CASE WHEN heals_at > :cut_off THEN 'in_flight' ELSE class END, account_id, order_id, pi, NULL,
  CASE class WHEN 'ledger_imbalance' THEN wrong ELSE coalesce(r_id::text, re) END,
  CASE class
    WHEN 'refund_missing_locally' THEN coalesce(r_amount, s_amount)
    WHEN 'refund_missing_at_stripe' THEN CASE WHEN r_status IN {_UNPAID} THEN 0 ELSE r_amount END
    WHEN 'refund_amount_mismatch' THEN CASE WHEN s_currency = r_currency AND (s_pi = r_pi) IS NOT FALSE
      THEN greatest(abs(s_amount - r_amount), CASE WHEN moved_other THEN abs(s_txn_amount + r_amount) END,
        CASE WHEN moved_other THEN abs(s_failure_amount - r_amount) END) ELSE r_amount END
    WHEN 'ledger_imbalance' THEN CASE
      WHEN settled_in <> r_currency THEN r_amount
      WHEN wrong LIKE '{REFUND_PENDING}:%' THEN CASE WHEN made_currency = r_currency
        THEN abs(made - due) ELSE r_amount END
      WHEN split_part(wrong, ':', 1) IN {_GONE} THEN CASE WHEN paid_currency = r_currency AND s_txn IS NOT NULL
        THEN abs(paid - r_amount) ELSE r_amount END
      ELSE CASE WHEN back_currency = r_currency AND s_failure_txn IS NOT NULL
        THEN abs(back - r_amount) ELSE r_amount END END
    WHEN 'fee_missing' THEN s_fee
    WHEN 'fee_mismatch' THEN CASE WHEN fee_currency = s_txn_currency THEN abs(fee - s_fee) ELSE s_fee END
    ELSE coalesce(r_amount, s_amount)
  END,
  CASE WHEN class IN ('fee_missing', 'fee_mismatch') THEN coalesce(s_txn_currency, r_currency)
    ELSE coalesce(r_currency, s_currency) END,
  CASE class WHEN 'stale_pending' THEN r_created WHEN 'fee_missing' THEN coalesce(s_txn_created, at) ELSE at END,
  CASE WHEN r_id IS NOT NULL THEN jsonb_strip_nulls(jsonb_build_object(
    'refund', r_id, 'status', r_status, 'amount', r_amount, 'currency', r_currency, 'stripe_refund', r_re,
    'owed', made, 'booked', paid, 'booked_back', back, 'fee', fee,
    'parked', CASE WHEN parked_at IS NOT NULL THEN coalesce(parked_why, 'parked') END)) END,
  CASE WHEN at_stripe THEN jsonb_strip_nulls(jsonb_build_object(
    'refund', re, 'status', s_status, 'amount', s_amount, 'currency', s_currency, 'charge', s_charge,
    'balance_transaction', s_txn, 'failure_balance_transaction', s_failure_txn, 'fee', s_fee)) END,
  coalesce(re, r_id::text)
FROM dated
""")

# A refund that failed leaves its customer owed: the next refund of the order draws on it. A run over a named window
# shows those of its refunds.
OWED = Statement(f"""
INSERT INTO recon_findings
SELECT 'owed', o.account_id, o.id, o.payment_intent_id, NULL, NULL, o.amount_owed_minor, o.currency, max(r.updated_at),
       jsonb_build_object('order', o.status, 'refunded', o.amount_refunded_minor, 'owed', o.amount_owed_minor), NULL
  FROM accounts a JOIN refunds r ON r.account_id = a.id AND r.status IN {_UNPAID}
  JOIN orders o ON o.id = r.order_id
 WHERE o.amount_owed_minor > 0 AND (:carry OR r.created_at >= :since AND r.created_at < :until)
 GROUP BY o.id
""")

# Which entries of refunds are booked for a refund that this database does not have, or has of another payment.
UNCLAIMED = f"""e.kind IN ({_KINDS}, {_KINDS_OF_DUPLICATES})
   AND NOT EXISTS (SELECT FROM recon_refund_pairs p WHERE p.account_id = e.account_id AND p.r_id IS NOT NULL
     AND p.re = split_part(e.reference, ':', 2) AND p.of_duplicate = (e.kind IN ({_KINDS_OF_DUPLICATES})))"""

# What went back of each payment, as far as a refund of ours or of Stripe's tells. One that failed counts: its payment
# may still show it. `succeeded` and `unsure` are its parts.
EXPLAINED = """SELECT pi, sum(coalesce(s_amount, r_amount))::bigint AS amount,
         sum(coalesce(s_amount, r_amount)) FILTER (WHERE coalesce(s_status, r_status) = 'succeeded') AS succeeded,
         sum(coalesce(s_amount, r_amount)) FILTER (WHERE coalesce(s_status, r_status) <> 'succeeded') AS unsure
    FROM recon_refund_pairs
   WHERE at_stripe OR r_re IS NOT NULL AND NOT EXISTS (SELECT FROM recon_absent_refunds n WHERE n.re = r_re)
   GROUP BY pi"""

# Of findings.TOTALS: what left Stripe's balance for refunds and did not come back, and Stripe's fees of refunds. A
# refund counts in the window in which Stripe made it.
LINES = f"""SELECT s_currency, 'stripe', 0, 0, 0, 1, s_amount FROM recon_refund_pairs
   WHERE counted AND s_txn IS NOT NULL AND s_failure_txn IS NULL
  UNION ALL
  SELECT r_currency, 'ours', 0, 0, 0, 1, r_amount FROM recon_refund_pairs
   WHERE counted AND r_txn IS NOT NULL AND r_failure_txn IS NULL
  UNION ALL
  SELECT coalesce(e.customer_currency, e.currency), 'ledger', 0, 0, 0, CASE WHEN e.kind IN {_GONE} THEN 1 ELSE -1 END,
         coalesce(CASE WHEN e.kind IN {_GONE} THEN e.customer_minor ELSE -e.customer_minor END, -e.assets)
    FROM recon_refund_pairs p JOIN recon_entries e ON e.account_id = p.account_id
      AND e.reference IN ({_PAID}, {_BACK})
   WHERE p.counted AND p.r_id IS NOT NULL
  UNION ALL
  SELECT s_txn_currency, 'stripe', 0, 0, s_fee, 0, 0 FROM recon_refund_pairs WHERE counted AND s_fee <> 0
  UNION ALL
  SELECT e.currency, side, 0, 0, -e.assets, 0, 0
    FROM recon_refund_pairs p JOIN recon_entries e ON e.account_id = p.account_id
      AND e.reference = '{fee_reference("")}' || coalesce(p.s_txn, p.r_txn), unnest(ARRAY['ours', 'ledger']) AS side
   WHERE p.counted"""
