"""The part of the comparison that is about refunds: its temporary tables, in the order in which compare.py fills them.

recon_known_refunds   what the window's listing of refunds must show, noted before it begins
recon_stripe_refunds  Stripe's side, staged: the listing, and what was fetched by id
recon_absent_refunds  ids that Stripe says it does not have
recon_known_failures  what the window's listing of what failed refunds brought back must show, noted before it begins
recon_failures        that listing, staged: the window's failures, however old their refunds are
recon_refund_edges    what must still be fetched by id
recon_refunds         all refunds of the orders in recon_orders
recon_refund_claims   which of Stripe's refunds belongs to which of ours: each claimed once
recon_refund_pairs    FULL JOIN of both sides

`re` is Stripe's id of a refund. Parameters as in sql.py.
"""

from service.foundation.postgres.sql import Record, Statement
from service.ledger import (
    fee_reference,
    refund_duplicate_failed_reference,
    refund_duplicate_reference,
    refund_failed_reference,
    refund_pending_reference,
    refund_reference,
)
from service.ledger.journal import SETTLED
from service.outbox.rows import ROWS
from service.states import REFUND_ENDED_UNPAID, REFUND_OPEN, in_sql
from service.stripe_gateway.objects import REFUND_FAILURE

TABLES = (
    "recon_known_refunds",
    "recon_stripe_refunds",
    "recon_absent_refunds",
    "recon_known_failures",
    "recon_failures",
    "recon_refund_edges",
    "recon_refunds",
    "recon_refund_claims",
    "recon_refund_pairs",
)

INDEXES: dict[str, tuple[str, ...]] = {
    "recon_stripe_refunds": ("re",),
    "recon_refund_edges": ("n",),
    "recon_refunds": ("id",),
    "recon_refund_claims": ("re",),
    "recon_refund_pairs": ("account_id", "re"),
}

STAGING = """
CREATE TEMP TABLE recon_stripe_refunds (
  re text NOT NULL, created timestamptz NOT NULL, amount bigint NOT NULL, currency text NOT NULL, status text NOT NULL,
  pi text, charge text, account_id uuid, order_id uuid, refund_id uuid,
  txn text, txn_amount bigint, fee bigint, txn_currency text, txn_created timestamptz,
  failure_txn text, failure_amount bigint, failure_currency text, failure_created timestamptz,
  failure_type text);
CREATE TEMP TABLE recon_absent_refunds (re text NOT NULL);
CREATE TEMP TABLE recon_failures (txn text NOT NULL, re text)
"""

# Of sql.CARRIED: refunds that are older than the window, and whose time is over: `:wait_refund` is an interval.
CARRIED = f"""SELECT NULL, r.account_id, r.order_id, NULL, NULL
  FROM accounts a JOIN refunds r ON r.account_id = a.id AND r.status IN {in_sql(REFUND_OPEN)}
  LEFT JOIN {ROWS} ON x.order_id = r.order_id AND x.kind = 'refund' AND x.effect = r.id
 WHERE r.created_at < :since
   AND (r.stripe_refund_id IS NULL OR x.is_parked
        OR coalesce(r.stripe_created, r.created_at) + :wait_refund <= :cut_off)"""

# Of sql.ORDERS: the orders that a refund of either side is about, however old they are.
TOUCHED = """SELECT order_id, false FROM refunds WHERE created_at >= :since AND created_at < :until
  UNION ALL
  SELECT order_id, false FROM recon_stripe_refunds WHERE order_id IS NOT NULL
  UNION ALL
  SELECT r.order_id, false FROM recon_stripe_refunds s
    CROSS JOIN accounts a JOIN refunds r ON r.account_id = a.id AND r.stripe_refund_id = s.re
  UNION ALL
  SELECT c.order_id, false FROM recon_stripe_refunds s
    CROSS JOIN accounts a JOIN charges c ON c.account_id = a.id AND c.payment_intent_id = s.pi"""

# Of sql.ENTRIES: what may be booked for a refund.
BOOKED = f"""SELECT e.id FROM recon_refund_pairs p
   CROSS JOIN LATERAL unnest(ARRAY[
     '{refund_pending_reference("")}' || p.re, '{refund_reference("")}' || p.re,
     '{refund_failed_reference("")}' || p.re, '{refund_duplicate_reference("")}' || p.re,
     '{refund_duplicate_failed_reference("")}' || p.re, '{fee_reference("")}' || coalesce(p.s_txn, p.r_txn)]) AS booking
    JOIN journal_entries e ON e.account_id = p.account_id AND e.reference IN (booking, '{SETTLED}:' || booking)"""


class Failure(Record):
    """The balance transaction that brought the money of a failed refund back."""

    txn: str


# The refunds of the window that this database knows before Stripe is asked; the listing must show them (R35).
KNOWN = Statement("""
CREATE TEMP TABLE recon_known_refunds AS
SELECT stripe_refund_id AS re FROM refunds
 WHERE stripe_created >= :since AND stripe_created < :until AND stripe_refund_id IS NOT NULL
""")

_FAILED_INSIDE = f"failure_created >= :since AND failure_created < :until AND failure_type = '{REFUND_FAILURE}'"

# A refund may fail a month after it was made, and no refund listed by `created` shows that. What its failure brought
# back has a moment of its own. These are known of the window from the books, and from the refunds just listed (R35).
KNOWN_FAILURES = Statement(f"""
CREATE TEMP TABLE recon_known_failures AS
SELECT r.failure_transaction_id AS txn, r.stripe_refund_id AS re
  FROM accounts a JOIN refunds r ON r.account_id = a.id AND r.status IN {in_sql(REFUND_ENDED_UNPAID)}
  JOIN journal_entries e ON e.account_id = r.account_id
   AND e.reference = '{refund_failed_reference("")}' || r.stripe_refund_id
 WHERE r.failure_transaction_id IS NOT NULL AND e.occurred_at >= :since AND e.occurred_at < :until
UNION
SELECT failure_txn, re FROM recon_stripe_refunds WHERE {_FAILED_INSIDE}
""")

# After this recon_known_failures holds those that no page of the listing has shown.
UNSHOWN_FAILURES = Statement("DELETE FROM recon_known_failures k USING recon_failures f WHERE f.txn = k.txn")

HIDDEN_FAILURE = Statement(f"""
SELECT s.failure_txn AS txn FROM recon_known_failures k JOIN recon_stripe_refunds s ON s.failure_txn = k.txn
 WHERE {_FAILED_INSIDE} LIMIT 1
""").returning(Failure)

# Money that came back of a refund that Stripe does not have, or does not name.
OF_NO_REFUND = Statement("""
SELECT txn FROM recon_failures f
 WHERE re IS NULL OR re !~ '^[A-Za-z0-9_]+$' OR re IN (SELECT re FROM recon_absent_refunds)
 ORDER BY txn LIMIT 1
""").returning(Failure)

# After this recon_known_refunds holds those that no page of the listing has shown.
UNSHOWN = Statement("DELETE FROM recon_known_refunds k USING recon_stripe_refunds s WHERE s.re = k.re")


class Hidden(Record):
    """A refund of the window that Stripe has and did not list: the listing was not complete."""

    re: str


HIDDEN = Statement("""
SELECT s.re FROM recon_known_refunds k JOIN recon_stripe_refunds s ON s.re = k.re
 WHERE s.created >= :since AND s.created < :until LIMIT 1
""").returning(Hidden)

# A refund that came by two lists is kept once.
UNIQUE = Statement(
    "DELETE FROM recon_stripe_refunds a USING recon_stripe_refunds b WHERE a.re = b.re AND a.ctid < b.ctid"
)

# A carried discrepancy of a refund that is none of ours has Stripe's id of it for a reference: neither a kind of entry
# and a colon, nor a UUID with its hyphens.
EDGES = Statement("""
CREATE TEMP TABLE recon_refund_edges AS
SELECT row_number() OVER (ORDER BY re) AS n, re FROM (
  SELECT stripe_refund_id AS re FROM refunds
   WHERE created_at >= :since AND created_at < :until AND stripe_refund_id IS NOT NULL
  UNION
  SELECT re FROM recon_known_refunds
  UNION
  SELECT re FROM recon_known_failures
  UNION
  SELECT re FROM recon_failures WHERE re ~ '^[A-Za-z0-9_]+$'
  UNION
  SELECT reference FROM recon_carried WHERE reference ~ '^[A-Za-z0-9_]+$'
  UNION
  SELECT r.stripe_refund_id FROM recon_carried k
    JOIN refunds r ON r.account_id = k.account_id AND r.order_id = k.order_id
   WHERE r.stripe_refund_id IS NOT NULL
) edges
 WHERE NOT EXISTS (SELECT FROM recon_stripe_refunds s WHERE s.re = edges.re)
""")

REFUNDS = Statement(f"""
CREATE TEMP TABLE recon_refunds AS
WITH promise AS (
  SELECT effect, max(parked_at) AS parked_at, max(last_error) FILTER (WHERE parked_at IS NOT NULL) AS parked_why,
         max(deliver_after) FILTER (WHERE parked_at IS NULL AND published = 0) AS asked_at
    FROM {ROWS} WHERE kind = 'refund' GROUP BY effect
)
SELECT r.id, r.account_id, r.order_id, r.amount_minor AS amount, r.drawn_minor AS drawn, r.currency, r.status,
       r.promised_settled_minor AS promised, r.drawn_settled_minor AS drawn_settled, c.settlement_currency, c.settled,
       coalesce(c.waits, false) AS waits,
       r.stripe_refund_id AS re, r.stripe_created, r.balance_transaction_id AS txn,
       r.failure_transaction_id AS failure_txn, r.created_at, r.updated_at, c.pi,
       coalesce(c.status = 'duplicate', false) AS of_duplicate, x.parked_at, x.parked_why, x.asked_at,
       r.created_at >= :since AND r.created_at < :until
         OR coalesce(o.id IN (SELECT order_id FROM recon_carried), false) AS selected
  FROM recon_orders o JOIN refunds r ON r.account_id = o.account_id AND r.order_id = o.id
  LEFT JOIN recon_charges c ON c.id = r.charge_id
  LEFT JOIN promise x ON x.effect = r.id
""")

# By id first; by our metadata where the reply with the id was lost. A refund whose id is known takes no other.
CLAIMS = Statement("""
CREATE TEMP TABLE recon_refund_claims AS
WITH by_id AS (
  SELECT DISTINCT ON (s.re) s.re, r.id AS refund_id
    FROM recon_stripe_refunds s JOIN recon_refunds r ON r.re = s.re
   ORDER BY s.re, (r.account_id = s.account_id) DESC NULLS LAST, r.id
), by_metadata AS (
  SELECT DISTINCT ON (r.id) s.re, r.id AS refund_id
    FROM recon_stripe_refunds s
    JOIN recon_refunds r ON r.id = s.refund_id AND r.account_id = s.account_id AND r.order_id = s.order_id
   WHERE r.re IS NULL AND NOT EXISTS (SELECT FROM by_id b WHERE b.re = s.re)
   ORDER BY r.id, (s.status = 'succeeded') DESC, s.created, s.re
)
SELECT * FROM by_id UNION ALL SELECT * FROM by_metadata
""")

# A refund that is none of ours belongs to the order whose payment it gives back. `at` is when it was made.
PAIRS = Statement("""
CREATE TEMP TABLE recon_refund_pairs AS
SELECT coalesce(r.account_id, c.account_id) AS account_id, coalesce(r.order_id, c.order_id) AS order_id,
       coalesce(s.pi, r.pi) AS pi, coalesce(s.re, r.re) AS re, s.re IS NOT NULL AS at_stripe,
       coalesce(s.created >= :since AND s.created < :until, false) OR coalesce(r.selected, false)
         OR coalesce(s.re IN (SELECT reference FROM recon_carried), false)
         OR coalesce(s.re IN (SELECT re FROM recon_failures), false) AS selected,
       coalesce(s.created, r.stripe_created, r.created_at) >= :since
         AND coalesce(s.created, r.stripe_created, r.created_at) < :until AS counted,
       coalesce(s.created, r.stripe_created, r.created_at) AS at,
       s.created AS s_created, s.amount AS s_amount, s.currency AS s_currency, s.status AS s_status, s.pi AS s_pi,
       s.charge AS s_charge, s.txn AS s_txn, s.txn_amount AS s_txn_amount, s.fee AS s_fee,
       s.txn_currency AS s_txn_currency, s.txn_created AS s_txn_created, s.failure_txn AS s_failure_txn,
       s.failure_amount AS s_failure_amount, s.failure_currency AS s_failure_currency,
       s.failure_created AS s_failure_created,
       r.id AS r_id, r.amount AS r_amount, r.drawn AS r_drawn, r.currency AS r_currency, r.status AS r_status,
       r.re AS r_re, r.pi AS r_pi, CASE WHEN r.settled IS NOT NULL THEN r.settlement_currency END AS r_settled_in,
       r.promised AS r_promised, coalesce(r.waits, false) AS waits, coalesce(r.of_duplicate, false) AS of_duplicate,
       r.txn AS r_txn, r.failure_txn AS r_failure_txn, r.created_at AS r_created, r.updated_at AS r_updated,
       r.parked_at, r.parked_why, r.asked_at
  FROM (SELECT s.*, l.refund_id AS claimed_by
          FROM recon_stripe_refunds s LEFT JOIN recon_refund_claims l ON l.re = s.re) s
  FULL JOIN recon_refunds r ON r.id = s.claimed_by
  LEFT JOIN recon_charges c ON r.id IS NULL AND c.pi = s.pi
""")
