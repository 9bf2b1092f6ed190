"""The part of the comparison that is about payouts: its temporary tables, and the statement that names what differs.

recon_known_payouts   what the window's listing of payouts must show, noted before it begins
recon_stripe_payouts  Stripe's side, staged: the listing, and what was fetched by id
recon_absent_payouts  ids that Stripe says it does not have
recon_payout_edges    what must still be fetched by id
recon_payouts         our payouts of the window, and those that the other side or an open discrepancy names

`po` is Stripe's id. Parameters as in sql.py; what was to arrive after :changing_since may still change.
What is in them, and what they move, is compared movement by movement, not here.
"""

from service.foundation.postgres.sql import Record, Statement
from service.ledger import payout_arrived_reference, payout_reference, payout_returned_reference
from service.states import PAYOUT_CAME_BACK, PAYOUT_OPEN, in_sql

TABLES = (
    "recon_known_payouts",
    "recon_stripe_payouts",
    "recon_absent_payouts",
    "recon_payout_edges",
    "recon_payouts",
)

INDEXES: dict[str, tuple[str, ...]] = {
    "recon_stripe_payouts": ("po",),
    "recon_payout_edges": ("n",),
    "recon_payouts": ("id",),
}

STAGING = """
CREATE TEMP TABLE recon_stripe_payouts (
  po text NOT NULL, created timestamptz NOT NULL, amount bigint NOT NULL, currency text NOT NULL, status text NOT NULL,
  arrival timestamptz NOT NULL, txn_amount bigint, txn_currency text, failure_txn text, failure_created timestamptz);
CREATE TEMP TABLE recon_absent_payouts (po text NOT NULL)
"""

# A discrepancy of a payout has this for its reference.
REFERENCE = payout_reference("")

KNOWN = Statement("""
CREATE TEMP TABLE recon_known_payouts AS
SELECT id AS po FROM payouts WHERE stripe_created >= :since AND stripe_created < :until
""")

# After this recon_known_payouts holds those that no page of the listing has shown.
UNSHOWN = Statement("DELETE FROM recon_known_payouts k USING recon_stripe_payouts s WHERE s.po = k.po")


class Hidden(Record):
    """A payout of the window that Stripe has and did not list: the listing was not complete."""

    po: str


HIDDEN = Statement("""
SELECT s.po FROM recon_known_payouts k JOIN recon_stripe_payouts s ON s.po = k.po
 WHERE s.created >= :since AND s.created < :until LIMIT 1
""").returning(Hidden)

UNIQUE = Statement(
    "DELETE FROM recon_stripe_payouts a USING recon_stripe_payouts b WHERE a.po = b.po AND a.ctid < b.ctid"
)

# A run without a window also looks at what may still change, however old it is.
EDGES = Statement(f"""
CREATE TEMP TABLE recon_payout_edges AS
SELECT row_number() OVER (ORDER BY po) AS n, po FROM (
  SELECT po FROM recon_known_payouts
  UNION
  SELECT id FROM payouts
   WHERE :carry AND (status IN {in_sql(PAYOUT_OPEN)} OR arrival_date > :changing_since)
  UNION
  SELECT substr(reference, length('{REFERENCE}') + 1) FROM recon_carried WHERE reference LIKE '{REFERENCE}%'
) edges
 WHERE NOT EXISTS (SELECT FROM recon_stripe_payouts s WHERE s.po = edges.po)
""")

PAYOUTS = Statement(f"""
CREATE TEMP TABLE recon_payouts AS
SELECT p.*, a.id IS NOT NULL AS arrived, r.id IS NOT NULL AS returned
  FROM payouts p
  LEFT JOIN journal_entries a
    ON a.account_id = p.account_id AND a.reference = '{payout_arrived_reference("")}' || p.id
  LEFT JOIN journal_entries r
    ON r.account_id = p.account_id AND r.reference = '{payout_returned_reference("")}' || p.id
 WHERE p.stripe_created >= :since AND p.stripe_created < :until
    OR p.id IN (SELECT po FROM recon_stripe_payouts) OR p.id IN (SELECT po FROM recon_absent_payouts)
""")

# When Stripe's word may have changed: at a failure's movement, or about the day of the arrival.
FINDINGS = Statement(f"""
INSERT INTO recon_findings
WITH seen AS (
  SELECT coalesce(s.po, p.id) AS po, s.po IS NOT NULL AS at_stripe, n.po IS NOT NULL AS absent,
         coalesce(s.created, p.stripe_created) AS at, s.amount AS s_amount, s.currency AS s_currency,
         s.status AS s_status, s.failure_txn AS s_failure_txn, s.failure_created, s.arrival,
         (s.txn_amount, s.txn_currency) = (-s.amount, s.currency) AND s.amount <> 0 AS is_bookable,
         p.id AS p_id, p.amount_minor AS p_amount, p.currency AS p_currency, p.status AS p_status,
         p.updated_at AS p_updated, p.arrived, p.returned
    FROM recon_stripe_payouts s FULL JOIN recon_payouts p ON p.id = s.po
    LEFT JOIN recon_absent_payouts n ON n.po = p.id
), judged AS (
  SELECT seen.*, CASE
    WHEN p_id IS NULL THEN 'payout_missing_locally'
    WHEN absent THEN 'payout_status_mismatch'
    -- Made here after Stripe was read; or Stripe could not be read, which says nothing.
    WHEN NOT at_stripe THEN CASE WHEN :complete THEN 'in_flight' END
    WHEN (p_amount, p_currency) <> (s_amount, s_currency) OR p_status <> s_status THEN 'payout_status_mismatch'
    WHEN p_status = 'paid' AND NOT arrived AND is_bookable THEN 'payout_missing_locally'
    WHEN p_status IN {in_sql(PAYOUT_CAME_BACK)} AND arrived AND NOT returned AND s_failure_txn IS NOT NULL
      THEN 'payout_missing_locally'
  END AS class FROM seen
), dated AS (
  SELECT judged.*, CASE WHEN NOT absent THEN greatest(at, p_updated, failure_created,
    CASE WHEN p_status IN {in_sql(PAYOUT_OPEN)} AND s_status NOT IN {in_sql(PAYOUT_CAME_BACK)} THEN arrival END)
  END AS heals_at FROM judged WHERE class IS NOT NULL
)
SELECT CASE WHEN heals_at > :cut_off THEN 'in_flight' ELSE class END, a.id, NULL, NULL, NULL, '{REFERENCE}' || po,
       abs(coalesce(p_amount, s_amount)), coalesce(p_currency, s_currency), at,
       CASE WHEN p_id IS NOT NULL THEN jsonb_build_object(
         'payout', p_id, 'status', p_status, 'amount', p_amount, 'currency', p_currency, 'arrived', arrived,
         'returned', returned) END,
       CASE WHEN at_stripe THEN jsonb_strip_nulls(jsonb_build_object(
         'payout', po, 'status', s_status, 'amount', s_amount, 'currency', s_currency,
         'failure_balance_transaction', s_failure_txn)) END, NULL
  FROM dated CROSS JOIN accounts a WHERE a.is_default
""")
