"""The statements that name each difference, on the tables of sql.py. The CASE is the order of precedence.

Refunds are judged in refund_findings.py.

Parameters: :cut_off, :since and :until are moments; :complete is whether Stripe was read to its end, :refunds_shown
and :disputes_shown whether its refunds and disputes were; :carry is whether the run has no window; and those of
sql.WAITS.

`heals_at` is the moment until which a difference may still disappear by itself, as far as both sides show; null is a
fact that waiting does not change. What may still heal at the cut-off is in flight.
"""

from service.foundation.postgres.sql import Record, Statement
from service.ledger import fee_reference
from service.ledger.journal import CHARGE, DUPLICATE
from service.reconcile import dispute_tables, refund_findings
from service.reconcile.sql import WAITS
from service.states import (
    AGREED,
    CHARGE_MONEY_MOVED,
    CHARGE_OPEN,
    CHARGE_WAITS_AT_STRIPE,
    ORDER_FINAL,
    ORDER_WANTS_MONEY,
    in_sql,
    pairs_in_sql,
)

OPEN = in_sql(CHARGE_OPEN)
_MOVED = in_sql(CHARGE_MONEY_MOVED)
_WAITS = in_sql(CHARGE_WAITS_AT_STRIPE)

# A success that is not the one of its order.
_SECOND = "c_status = 'duplicate' OR nth > 1 OR unseen > 0 AND c_status IS DISTINCT FROM 'succeeded'"

PAIRS = Statement(f"""
INSERT INTO recon_findings
WITH explained AS (
  {refund_findings.EXPLAINED}
), seen AS (
  SELECT p.*,
         -- What went back for good: without what refunds that have not succeeded may have put into Stripe's sum.
         least(s_returned, greatest(s_returned - coalesce(x.unsure, 0), x.succeeded)) AS s_given,
         o.amount AS o_amount, o.currency AS o_currency, o.status AS o_status, o.updated_at AS o_updated,
         o.capture, o.id AS o_id, o.parked_at, o.parked_why, o.asked_at,
         b.id AS b_id, b.currency AS b_currency, b.assets AS b_amount, b.customer_minor AS b_customer,
         b.customer_currency AS b_customer_currency,
         -- What Stripe's balance got: where that is another currency, it alone says what is booked.
         coalesce(s_txn_currency, c_settlement, c_currency) AS settled_in,
         CASE WHEN coalesce(s_txn_currency, c_settlement, c_currency) = c_currency THEN c_taken
              ELSE coalesce(s_txn_amount, c_settled) END AS settled,
         f.id AS f_id, f.currency AS f_currency, -f.assets AS f_fee, a.pi IS NOT NULL AS absent,
         row_number() OVER (
           PARTITION BY o.id, p.took
           ORDER BY (p.c_status = 'succeeded') DESC NULLS LAST, (p.c_id IS NULL), p.s_created, p.pi) AS nth,
         -- Settled, and not shown to us by a Stripe that could not be read: the order may well be paid by it.
         count(*) FILTER (WHERE p.c_status = 'succeeded' AND NOT p.at_stripe AND p.c_pi IS NOT NULL AND a.pi IS NULL)
           OVER (PARTITION BY o.id) AS unseen
    FROM recon_pairs p
    LEFT JOIN recon_orders o ON o.id = p.order_id AND o.account_id = p.account_id
    LEFT JOIN recon_entries b ON b.account_id = p.account_id AND b.reference = p.booking
    LEFT JOIN recon_entries f ON f.account_id = p.account_id AND f.reference = p.fee_booking
    LEFT JOIN recon_absent a ON a.pi = p.c_pi
    LEFT JOIN explained x ON x.pi = p.pi
), judged AS (
  SELECT seen.*, CASE
    WHEN c_id IS NULL AND NOT took THEN NULL  -- not ours, and no money moved
    WHEN took AND o_id IS NOT NULL AND s_given < s_received AND ({_SECOND}) THEN 'duplicate_charge'
    WHEN took AND o_id IS NOT NULL AND c_status IS DISTINCT FROM 'duplicate' AND ({_SECOND}) THEN NULL
    -- What a bank disputes is unknown here all the same.
    WHEN c_id IS NULL THEN CASE WHEN s_given_back < s_received THEN 'missing_locally' END
    WHEN absent OR NOT at_stripe AND c_pi IS NULL AND c_status IN {_MOVED} THEN 'missing_at_stripe'
    WHEN NOT at_stripe AND c_pi IS NULL THEN CASE WHEN c_status IN {OPEN} THEN 'stale_pending' END
    -- Learnt its PaymentIntent after Stripe was read; or Stripe could not be read, which says nothing.
    WHEN NOT at_stripe THEN CASE WHEN :complete THEN 'in_flight' END
    WHEN took AND c_status IN {_MOVED} AND (b_id IS NULL OR b_currency = c_currency AND settled_in <> c_currency)
      AND (s_txn IS NOT NULL OR NOT waits) THEN 'missing_locally'
    WHEN s_currency <> c_currency OR o_currency <> c_currency THEN 'currency_mismatch'
    WHEN s_amount <> c_amount OR o_amount <> c_amount OR took AND s_received <> c_taken
      -- Before a capture is settled here, nothing here says how much was to be taken.
      AND (capture = 'automatic' OR c_status IN {_MOVED}) THEN 'amount_mismatch'
    WHEN c_status = 'authorized' AND s_status = 'canceled' THEN 'authorization_expired'
    WHEN took AND (c_status NOT IN {_MOVED} OR o_status <> 'paid') THEN 'status_mismatch'
    WHEN NOT took AND (c_status, s_status) NOT IN {pairs_in_sql(AGREED)} THEN 'status_mismatch'
    WHEN c_status = 'authorized' AND parked_at IS NULL AND asked_for_at IS NULL THEN 'authorization_expired'
    WHEN c_status IN {OPEN} THEN 'stale_pending'
    WHEN NOT took THEN NULL
    -- Both sides: Stripe's balance by what it got, and the customer by what was taken.
    WHEN (b_currency, b_amount) <> (settled_in, settled)
      OR settled_in <> c_currency AND (b_customer_currency, b_customer) IS DISTINCT FROM (c_currency, c_taken)
      THEN 'ledger_imbalance'
    WHEN s_txn IS NULL AND c_txn IS NULL OR s_fee <> 0 AND f_id IS NULL THEN 'fee_missing'
    WHEN f_fee <> s_fee OR f_currency <> s_txn_currency THEN 'fee_mismatch'
  END AS class FROM seen WHERE selected
), dated AS (
  SELECT judged.*, CASE class
    WHEN 'missing_locally' THEN greatest(at, CASE WHEN c_status IN {_MOVED} THEN c_updated END,
      CASE WHEN settled_in <> c_currency OR waits THEN s_txn_created END)
    -- Our final word may be younger than Stripe's listing; a payment that takes days is asked for every few hours.
    WHEN 'status_mismatch' THEN greatest(at, asked_for_at, CASE WHEN c_status NOT IN {OPEN} THEN c_updated
      WHEN c_status IN {_WAITS} THEN asked_at END,
      CASE WHEN o_status IN {in_sql(ORDER_FINAL)} THEN o_updated END)
    WHEN 'authorization_expired' THEN CASE WHEN s_status = 'canceled' THEN greatest(at, asked_for_at, asked_at)
      ELSE at + {WAITS.format("c_status")} END
    -- Then the PaymentIntent is canceled (R25), or its row parked (R36).
    WHEN 'stale_pending' THEN CASE WHEN parked_at IS NULL
      THEN coalesce(asked_for_at, CASE WHEN c_status IN {_WAITS} THEN coalesce(s_created, c_created) ELSE c_created
        END + {WAITS.format("c_status")}) END
    WHEN 'fee_missing' THEN greatest(at, s_txn_created)
  END AS heals_at FROM judged WHERE class IS NOT NULL
)
SELECT CASE WHEN heals_at > :cut_off THEN 'in_flight' ELSE class END, account_id, order_id, pi, attempt,
  CASE WHEN class = 'ledger_imbalance' THEN booking END,
  CASE class
    WHEN 'duplicate_charge' THEN s_received
    WHEN 'missing_locally' THEN s_received
    WHEN 'missing_at_stripe' THEN CASE WHEN c_status IN {_MOVED} THEN c_taken ELSE 0 END
    WHEN 'amount_mismatch' THEN greatest(abs(s_amount - c_amount), abs(coalesce(o_amount, c_amount) - c_amount),
      CASE WHEN took AND (capture = 'automatic' OR c_status IN {_MOVED}) THEN abs(s_received - c_taken) END)
    WHEN 'ledger_imbalance' THEN CASE WHEN b_currency <> settled_in OR b_amount = settled THEN c_taken
      ELSE abs(b_amount - settled) END
    WHEN 'fee_missing' THEN s_fee
    WHEN 'fee_mismatch' THEN CASE WHEN f_currency = s_txn_currency THEN abs(f_fee - s_fee) ELSE s_fee END
    ELSE c_amount
  END,
  CASE WHEN class IN ('fee_missing', 'fee_mismatch') THEN coalesce(s_txn_currency, c_currency)
    WHEN class = 'ledger_imbalance' AND b_currency = settled_in AND b_amount <> settled THEN settled_in
    ELSE coalesce(c_currency, s_currency) END,
  CASE class WHEN 'fee_missing' THEN coalesce(s_txn_created, at) WHEN 'stale_pending' THEN c_created ELSE at END,
  nullif(jsonb_strip_nulls(jsonb_build_object(
    'order', o_status, 'order_amount', nullif(o_amount, c_amount), 'order_currency', nullif(o_currency, c_currency),
    'charge', c_status, 'amount', c_amount, 'taken', nullif(c_taken, c_amount), 'currency', c_currency,
    'booked', b_amount, 'booked_in', nullif(b_currency, c_currency), 'fee', f_fee,
    'parked', CASE WHEN parked_at IS NOT NULL THEN coalesce(parked_why, 'parked') END)), '{{}}'),
  CASE WHEN at_stripe THEN jsonb_strip_nulls(jsonb_build_object(
    'status', s_status, 'amount', s_amount, 'received', s_received, 'currency', s_currency, 'charge', s_charge,
    'balance_transaction', s_txn, 'settled', CASE WHEN settled_in <> c_currency THEN s_txn_amount END,
    'settled_in', CASE WHEN settled_in <> c_currency THEN s_txn_currency END, 'fee', s_fee)) END
FROM dated
""")

# Money that went back and that neither a refund nor a dispute explains is listed beside any other difference of the
# pair, and without waiting: it does not disappear. A payment that took less than it held can give back no more than it
# took.
RETURNED = Statement(f"""
INSERT INTO recon_findings
WITH explained AS (
  {refund_findings.EXPLAINED}
), gone AS (
  SELECT p.*, CASE WHEN s_disputed AND ({dispute_tables.EXPLAINED}) THEN s_given_back ELSE s_returned END AS s_gone
    FROM recon_pairs p WHERE p.selected AND s_returned > 0
)
SELECT 'money_returned', p.account_id, p.order_id, p.pi, p.attempt, NULL,
  least(s_gone, s_received) - coalesce(x.amount, 0), s_currency, p.at,
  nullif(jsonb_strip_nulls(jsonb_build_object('order', o.status, 'charge', c_status, 'amount', c_amount,
    'currency', c_currency)), '{{}}'),
  jsonb_build_object('status', s_status, 'received', s_received, 'currency', s_currency, 'charge', s_charge,
    'returned', s_returned, 'disputed', coalesce(s_disputed, false))
  FROM gone p LEFT JOIN recon_orders o ON o.id = p.order_id AND o.account_id = p.account_id
  LEFT JOIN explained x ON x.pi = p.pi
 WHERE (:refunds_shown OR s_disputed AND :disputes_shown) AND least(s_gone, s_received) > coalesce(x.amount, 0)
""")

# Orders without a finding of a pair: no charge was ever sent, the outbox row is parked, or no success pays the order.
ORDERS = Statement(f"""
INSERT INTO recon_findings
WITH attempts AS (
  SELECT order_id, bool_or(status = 'succeeded') AS paid, bool_or(status IN {OPEN}) AS waiting,
         max(created_at) AS tried_at
    FROM recon_charges GROUP BY order_id
), judged AS (
  SELECT o.*, greatest(o.created_at, o.promised_at, t.tried_at) AS moved_at, CASE
    WHEN o.parked_at IS NOT NULL THEN 'stale_pending'
    WHEN o.status = 'paid' AND t.order_id IS NULL THEN 'missing_at_stripe'
    WHEN o.status = 'paid' AND NOT t.paid THEN 'status_mismatch'
    WHEN o.status IN {in_sql(ORDER_WANTS_MONEY)} AND NOT coalesce(t.waiting, false)
      THEN 'stale_pending'
  END AS class
    FROM recon_orders o LEFT JOIN attempts t ON t.order_id = o.id
   WHERE o.selected AND NOT EXISTS (SELECT FROM recon_findings f
     WHERE f.order_id = o.id AND f.class <> 'money_returned')
)
SELECT CASE WHEN class = 'stale_pending' AND parked_at IS NULL AND moved_at > :cut_off THEN 'in_flight' ELSE class END,
  account_id, id, pi, NULL, NULL, amount, currency, CASE class WHEN 'stale_pending' THEN moved_at ELSE updated_at END,
  jsonb_strip_nulls(jsonb_build_object('order', status, 'amount', amount, 'currency', currency,
    'parked', CASE WHEN parked_at IS NOT NULL THEN coalesce(parked_why, 'parked') END)), NULL
FROM judged WHERE class IS NOT NULL
""")

_OF_WINDOW = "e.occurred_at >= :since AND e.occurred_at < :until"
_UNCLAIMED = f"""e.kind IN ('{CHARGE}', '{DUPLICATE}')
   AND NOT EXISTS (SELECT FROM recon_pairs p WHERE p.account_id = e.account_id AND p.booking = e.reference)"""

# Entries that do not balance, and bookings of a charge that no attempt of ours claims.
UNCLAIMED = Statement(f"""
INSERT INTO recon_findings
SELECT 'ledger_imbalance', e.account_id, e.order_id, e.pi, NULL, e.reference,
       greatest(abs(e.assets), abs(e.payable)), e.currency, e.occurred_at,
       jsonb_build_object('entry', e.reference, 'booked', e.assets, 'balanced', NOT e.unbalanced), NULL
  FROM recon_entries e
 WHERE (e.unbalanced OR {_UNCLAIMED} OR {refund_findings.UNCLAIMED})
   AND ({_OF_WINDOW} OR EXISTS (SELECT FROM recon_carried k
     WHERE k.account_id = e.account_id AND k.reference = e.reference))
""")

# Each side is summed from its own rows: Stripe's PaymentIntents, our charges, the postings. A fee counts in its own
# currency, and in the window of its charge, however late it was booked.


class Totals(Record):
    """One side's successes in one currency, minor units."""

    currency: str
    side: str
    count: int
    gross: int
    fees: int
    refunds: int
    refunded: int


TOTALS = Statement(f"""
WITH fee AS (
  SELECT e.currency, -e.assets AS amount FROM recon_pairs p
    JOIN recon_entries e ON e.account_id = p.account_id AND e.reference
        = coalesce(p.fee_booking, '{fee_reference("")}' || p.c_txn)
   WHERE p.counted
), line (currency, side, n, gross, fees, refunds, refunded) AS (
  SELECT s_currency, 'stripe', 1, s_received, 0, 0, 0 FROM recon_pairs WHERE counted AND took
  UNION ALL
  SELECT s_txn_currency, 'stripe', 0, 0, s_fee, 0, 0 FROM recon_pairs WHERE counted AND took AND s_txn IS NOT NULL
  UNION ALL
  SELECT c_currency, 'ours', 1, c_taken, 0, 0, 0 FROM recon_pairs WHERE counted AND c_status IN {_MOVED}
  UNION ALL
  SELECT coalesce(b.customer_currency, b.currency), 'ledger', 1, coalesce(b.customer_minor, b.assets), 0, 0, 0
    FROM recon_pairs p JOIN recon_entries b ON b.account_id = p.account_id AND b.reference = p.booking WHERE p.counted
  UNION ALL
  SELECT e.currency, 'ledger', 1, e.assets, 0, 0, 0 FROM recon_entries e WHERE {_UNCLAIMED} AND {_OF_WINDOW}
  UNION ALL
  {refund_findings.LINES}
  UNION ALL
  SELECT fee.currency, side, 0, 0, fee.amount, 0, 0 FROM fee, unnest(ARRAY['ours', 'ledger']) AS side
)
SELECT currency, side, sum(n)::bigint AS count, sum(gross)::bigint AS gross, sum(fees)::bigint AS fees,
       sum(refunds)::bigint AS refunds, sum(refunded)::bigint AS refunded
  FROM line GROUP BY currency, side ORDER BY currency, side
""").returning(Totals)


class Coverage(Record):
    """How many rows of each side were compared."""

    payment_intents: int
    charges: int
    matched: int
    refunds: int
    refunds_matched: int
    edges: int


COVERAGE = Statement("""
SELECT count(*) FILTER (WHERE counted AND at_stripe) AS payment_intents,
       count(*) FILTER (WHERE counted AND c_id IS NOT NULL) AS charges,
       count(*) FILTER (WHERE counted AND at_stripe AND c_id IS NOT NULL) AS matched,
       max(r.refunds) AS refunds, max(r.refunds_matched) AS refunds_matched,
       count(*) FILTER (WHERE selected AND NOT counted AND at_stripe) + max(r.edges) AS edges
  FROM (SELECT count(*) FILTER (WHERE counted AND at_stripe) AS refunds,
               count(*) FILTER (WHERE counted AND at_stripe AND r_id IS NOT NULL) AS refunds_matched,
               count(*) FILTER (WHERE selected AND NOT counted AND at_stripe) AS edges
          FROM recon_refund_pairs) r
  LEFT JOIN recon_pairs ON true
""").returning(Coverage)
