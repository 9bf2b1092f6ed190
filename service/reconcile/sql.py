"""The comparison as statements on temporary tables, in the order in which compare.py runs them.

Those about refunds are in refund_tables.py, those about disputes in dispute_tables.py, those about payouts in
payout_tables.py, those about movements of Stripe's balance in movement_tables.py.

recon_carried   beside the window: discrepancies that are still open, and what waits longer than it may
recon_known     what the window's listing must show, noted before it begins
recon_stripe    Stripe's side, staged: the window's listing, and what was fetched by id
recon_absent    ids that Stripe says it does not have
recon_edges     what must still be fetched by id
recon_orders    our orders of the window, and those that either side or the ledger names beyond it
recon_charges   all attempts of those orders
recon_claims    which PaymentIntent belongs to which attempt: each claimed once
recon_pairs     FULL JOIN of both sides
recon_entries   the journal entries of the window and of the pairs
recon_findings  what differs
recon_report    the same in the order of the report, with ages

Parameters, wherever they occur: :since and :until, the window's edges, and :cut_off.
"""

from service.charges import elsewhere
from service.foundation.postgres.sql import Record, Statement
from service.ledger import charge_reference, duplicate_reference, fee_reference
from service.ledger.entry import REFUNDS_PAYABLE
from service.ledger.journal import SETTLED
from service.outbox.rows import ROWS
from service.reconcile import dispute_tables, movement_tables, payout_tables, refund_tables
from service.states import CHANGE_OPEN, WHOSE_TURN, in_sql

TABLES = (
    *refund_tables.TABLES,
    *movement_tables.TABLES,
    *dispute_tables.TABLES,
    *payout_tables.TABLES,
    "recon_carried",
    "recon_known",
    "recon_stripe",
    "recon_absent",
    "recon_edges",
    "recon_orders",
    "recon_charges",
    "recon_claims",
    "recon_pairs",
    "recon_entries",
    "recon_findings",
    "recon_report",
)

STAGING = f"""
{refund_tables.STAGING};
{movement_tables.STAGING};
{dispute_tables.STAGING};
{payout_tables.STAGING};
CREATE TEMP TABLE recon_stripe (
  pi text NOT NULL, created timestamptz NOT NULL, amount bigint NOT NULL, received bigint NOT NULL,
  currency text NOT NULL, status text NOT NULL, account_id uuid, order_id uuid, attempt smallint,
  charge text, charged_at timestamptz, returned bigint NOT NULL, given_back bigint NOT NULL, disputed boolean,
  txn text, txn_amount bigint, fee bigint, txn_currency text, txn_created timestamptz);
CREATE TEMP TABLE recon_absent (pi text NOT NULL);
CREATE TEMP TABLE recon_findings (
  class text NOT NULL, account_id uuid, order_id uuid, pi text, attempt smallint, reference text,
  amount bigint, currency text, at timestamptz NOT NULL, ours jsonb, stripe jsonb, refund text)
"""

# How long an attempt may wait in its state: `:wait_…` is an interval for each state of WHOSE_TURN.
_TURNS = " ".join(f"WHEN {state!r} THEN :wait_{state}" for state in WHOSE_TURN)
WAITS = f"CASE {{0}} {_TURNS} ELSE interval '0' END"

# A run over a named window judges its own, and nothing is carried.
# A bank may take longer than a window is: what waits beyond it is carried from the end of its time on (R36). A capture,
# a cancellation or a refund may be of an order of any age.
CARRIED = Statement(f"""
CREATE TEMP TABLE recon_carried AS
SELECT fingerprint, account_id, order_id, payment_intent_id AS pi, reference FROM discrepancies
 WHERE resolved_at IS NULL
UNION ALL
SELECT NULL, x.account_id, x.order_id, c.payment_intent_id, NULL
  FROM {ROWS}
  LEFT JOIN charges c ON x.kind = 'charge'
   AND c.account_id = x.account_id AND c.order_id = x.order_id AND c.attempt = x.attempt
 WHERE x.kind <> 'refund' AND (x.created_at < :since OR x.kind <> 'charge' AND x.created_at < :cut_off)
   AND (x.is_parked OR c.id IS NULL
        OR coalesce(c.stripe_created, c.created_at) + {WAITS.format("c.status")} <= :cut_off)
UNION ALL
{refund_tables.CARRIED}
""")

NOTHING_CARRIED = Statement("""
CREATE TEMP TABLE recon_carried
  (fingerprint text, account_id uuid, order_id uuid, pi text, reference text)
""")

# The PaymentIntents of the window that this database knows before Stripe is asked; the listing must show them (R35).
KNOWN = Statement("""
CREATE TEMP TABLE recon_known AS
SELECT payment_intent_id AS pi FROM charges
 WHERE stripe_created >= :since AND stripe_created < :until AND payment_intent_id IS NOT NULL
""")

# After this recon_known holds those that no page of the listing has shown.
UNSHOWN = Statement("DELETE FROM recon_known k USING recon_stripe s WHERE s.pi = k.pi")


# A PaymentIntent of the window that Stripe has and did not list: the listing was not complete.
class Hidden(Record):
    """A PaymentIntent."""

    pi: str


HIDDEN = Statement("""
SELECT s.pi FROM recon_known k JOIN recon_stripe s ON s.pi = k.pi
 WHERE s.created >= :since AND s.created < :until LIMIT 1
""").returning(Hidden)

# A PaymentIntent that came by two lists is kept once; two rows would count as a duplicate charge.
UNIQUE = Statement("DELETE FROM recon_stripe a USING recon_stripe b WHERE a.pi = b.pi AND a.ctid < b.ctid")

EDGES = Statement("""
CREATE TEMP TABLE recon_edges AS
SELECT row_number() OVER (ORDER BY pi) AS n, pi FROM (
  SELECT DISTINCT c.payment_intent_id AS pi FROM charges c
   WHERE c.created_at >= :since AND c.created_at < :until AND c.payment_intent_id IS NOT NULL
     AND NOT EXISTS (SELECT FROM recon_stripe s WHERE s.pi = c.payment_intent_id)
  UNION
  SELECT pi FROM recon_known
  UNION
  SELECT pi FROM recon_carried k
   WHERE pi IS NOT NULL AND NOT EXISTS (SELECT FROM recon_stripe s WHERE s.pi = k.pi)
  UNION
  SELECT c.payment_intent_id FROM recon_carried k
    JOIN charges c ON c.account_id = k.account_id AND c.order_id = k.order_id
   WHERE c.payment_intent_id IS NOT NULL
     AND NOT EXISTS (SELECT FROM recon_stripe s WHERE s.pi = c.payment_intent_id)
  UNION
  -- An order with a success elsewhere: whether that one exists decides between a duplicate and a missing booking.
  SELECT c.payment_intent_id FROM recon_stripe s
    JOIN charges c ON c.account_id = s.account_id AND c.order_id = s.order_id AND c.payment_intent_id <> s.pi
   WHERE s.status = 'succeeded' AND c.status = 'succeeded'
     AND NOT EXISTS (SELECT FROM recon_stripe other WHERE other.pi = c.payment_intent_id)
) edges
""")

# Rows of the window are `selected`; the other rows are there because a row of another side names them.
ORDERS = Statement(f"""
CREATE TEMP TABLE recon_orders AS
WITH touched AS (
  SELECT id AS order_id, true AS selected FROM orders WHERE created_at >= :since AND created_at < :until
  UNION ALL
  SELECT order_id, true FROM charges WHERE created_at >= :since AND created_at < :until
  UNION ALL
  SELECT order_id, true FROM recon_carried WHERE order_id IS NOT NULL
  UNION ALL
  SELECT order_id, false FROM recon_stripe WHERE order_id IS NOT NULL
  UNION ALL
  SELECT c.order_id, false FROM recon_stripe s
    CROSS JOIN accounts a JOIN charges c ON c.account_id = a.id AND c.payment_intent_id = s.pi
   WHERE s.order_id IS NULL
  UNION ALL
  {refund_tables.TOUCHED}
  UNION ALL
  SELECT e.order_id, false FROM postings p JOIN journal_entries e ON e.id = p.entry_id
   WHERE p.occurred_at >= :since AND p.occurred_at < :until AND e.order_id IS NOT NULL
), wanted AS (
  SELECT order_id, bool_or(selected) AS selected FROM touched GROUP BY order_id
), promise AS (
  SELECT order_id, max(created_at) AS promised_at, max(parked_at) AS parked_at,
         max(last_error) FILTER (WHERE parked_at IS NOT NULL) AS parked_why,
         max(deliver_after) FILTER (WHERE parked_at IS NULL AND published = 0) AS asked_at
    FROM {ROWS} WHERE kind <> 'refund' GROUP BY order_id
)
SELECT o.id, o.account_id, o.amount_minor AS amount, o.currency, o.status, o.capture, o.payment_intent_id AS pi,
       o.created_at, o.updated_at, w.selected, x.promised_at, x.parked_at, x.parked_why, x.asked_at
  FROM wanted w JOIN orders o ON o.id = w.order_id LEFT JOIN promise x ON x.order_id = o.id
""")

# taken: what a success has taken. asked_for_at: since when a capture or a cancellation of it is under way.
CHARGES = Statement(f"""
CREATE TEMP TABLE recon_charges AS
SELECT c.id, c.account_id, c.order_id, c.attempt, c.amount_minor AS amount, c.currency, c.status,
       coalesce(c.captured_minor, c.amount_minor) AS taken, k.created_at AS asked_for_at,
       c.payment_intent_id AS pi, c.stripe_charge_id AS charge, c.stripe_created, c.balance_transaction_id AS txn,
       c.settlement_currency, c.settled_minor AS settled, {elsewhere.waits("c")} AS waits,
       c.created_at, c.updated_at, c.created_at >= :since AND c.created_at < :until
         OR coalesce(o.id IN (SELECT order_id FROM recon_carried), false) AS selected
  FROM recon_orders o JOIN charges c ON c.account_id = o.account_id AND c.order_id = o.id
  LEFT JOIN changes k ON k.account_id = c.account_id AND k.charge_id = c.id AND k.status IN {in_sql(CHANGE_OPEN)}
""")

# By id first; by our metadata where the reply with the id was lost. A charge whose id is known takes no other.
CLAIMS = Statement("""
CREATE TEMP TABLE recon_claims AS
WITH by_id AS (
  SELECT DISTINCT ON (s.pi) s.pi, c.id AS charge_id
    FROM recon_stripe s JOIN recon_charges c ON c.pi = s.pi
   ORDER BY s.pi, (c.account_id = s.account_id) DESC NULLS LAST, c.id
), by_metadata AS (
  SELECT DISTINCT ON (c.id) s.pi, c.id AS charge_id
    FROM recon_stripe s
    JOIN recon_charges c ON c.account_id = s.account_id AND c.order_id = s.order_id AND c.attempt = s.attempt
   WHERE c.pi IS NULL AND NOT EXISTS (SELECT FROM by_id b WHERE b.pi = s.pi)
   ORDER BY c.id, (s.status = 'succeeded') DESC, s.created, s.pi
)
SELECT * FROM by_id UNION ALL SELECT * FROM by_metadata
""")

PAIRS = Statement(f"""
CREATE TEMP TABLE recon_pairs AS
SELECT coalesce(c.account_id, s.account_id) AS account_id, coalesce(c.order_id, s.order_id) AS order_id,
       coalesce(s.pi, c.pi) AS pi, s.pi IS NOT NULL AS at_stripe, coalesce(s.status = 'succeeded', false) AS took,
       coalesce(s.created >= :since AND s.created < :until, false) OR coalesce(c.selected, false)
         OR coalesce(s.pi IN (SELECT pi FROM recon_carried), false)
         OR coalesce(s.order_id IN (SELECT order_id FROM recon_carried), false) AS selected,
       coalesce(s.created, c.stripe_created, c.created_at) >= :since
         AND coalesce(s.created, c.stripe_created, c.created_at) < :until AS counted,
       CASE c.status WHEN 'duplicate' THEN '{duplicate_reference("")}' ELSE '{charge_reference("")}' END
         || coalesce(s.charge, c.charge) AS booking,
       '{fee_reference("")}' || s.txn AS fee_booking,
       coalesce(s.charged_at, s.created, c.stripe_created, c.created_at) AS at,
       s.created AS s_created, s.amount AS s_amount, s.received AS s_received, s.currency AS s_currency,
       s.status AS s_status, s.charge AS s_charge, s.txn AS s_txn, s.txn_amount AS s_txn_amount, s.fee AS s_fee,
       s.txn_currency AS s_txn_currency, s.txn_created AS s_txn_created,
       coalesce(s.returned, 0) AS s_returned, coalesce(s.given_back, 0) AS s_given_back, s.disputed AS s_disputed,
       c.id AS c_id, c.attempt, c.amount AS c_amount, c.currency AS c_currency, c.status AS c_status, c.pi AS c_pi,
       c.txn AS c_txn, c.created_at AS c_created, c.updated_at AS c_updated, c.taken AS c_taken, c.asked_for_at,
       c.settlement_currency AS c_settlement, c.settled AS c_settled, coalesce(c.waits, false) AS waits
  FROM (SELECT s.*, l.charge_id FROM recon_stripe s LEFT JOIN recon_claims l ON l.pi = s.pi) s
  FULL JOIN recon_charges c ON c.id = s.charge_id
""")

# `assets` is what the entry moved on asset accounts: + the gross of a charge, - a fee; `payable` the same of what is
# owed to customers. One row per entry: that of its largest asset leg, should an entry ever have two currencies. What
# was booked anew in the currency of Stripe's balance stands for what was booked before, under that one's reference.
ENTRIES = Statement(f"""
CREATE TEMP TABLE recon_entries AS
WITH wanted AS (
  SELECT entry_id AS id FROM postings WHERE occurred_at >= :since AND occurred_at < :until
  UNION
  SELECT e.id FROM recon_carried k JOIN journal_entries e ON e.account_id = k.account_id AND e.reference = k.reference
  UNION
  SELECT e.id FROM recon_pairs p
    JOIN journal_entries e ON e.account_id = p.account_id AND e.reference IN (p.booking, '{SETTLED}:' || p.booking)
  UNION
  SELECT e.id FROM recon_pairs p JOIN journal_entries e ON e.account_id = p.account_id AND e.reference = p.fee_booking
  UNION
  {refund_tables.BOOKED}
), summed AS (
  SELECT w.id, p.currency, sum(p.amount_minor)::bigint AS left_over,
         coalesce(sum(p.amount_minor) FILTER (WHERE a.type = 'asset'), 0)::bigint AS assets,
         coalesce(sum(p.amount_minor) FILTER (WHERE a.code = '{REFUNDS_PAYABLE}'), 0)::bigint AS payable
    FROM wanted w JOIN postings p ON p.entry_id = w.id JOIN ledger_accounts a ON a.id = p.ledger_account_id
   GROUP BY w.id, p.currency
)
SELECT DISTINCT ON (e.account_id, b.reference) e.id, e.account_id, b.reference,
       split_part(b.reference, ':', 1) AS kind, e.order_id,
       e.payment_intent_id AS pi, e.occurred_at, t.currency, t.assets, t.payable, e.customer_minor, e.customer_currency,
       bool_or(t.left_over <> 0) OVER (PARTITION BY e.id) AS unbalanced
  FROM summed t JOIN journal_entries e ON e.id = t.id
 CROSS JOIN LATERAL (SELECT CASE WHEN e.kind = '{SETTLED}' THEN substr(e.reference, length('{SETTLED}:') + 1)
                            ELSE e.reference END AS reference) b
 ORDER BY e.account_id, b.reference, e.kind = '{SETTLED}' DESC, abs(t.assets) DESC, abs(t.payable) DESC, t.currency
""")

INDEXES: dict[str, tuple[str, ...]] = {
    "recon_carried": ("order_id",),
    "recon_stripe": ("pi",),
    "recon_edges": ("n",),
    "recon_orders": ("id",),
    "recon_charges": ("id",),
    "recon_claims": ("pi",),
    "recon_pairs": ("account_id", "booking"),
    "recon_entries": ("account_id", "reference"),
    **refund_tables.INDEXES,
    **dispute_tables.INDEXES,
    **payout_tables.INDEXES,
}
