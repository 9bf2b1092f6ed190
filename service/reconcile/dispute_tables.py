"""The part of the comparison that is about disputes: its temporary tables, and the statement that names what differs.

recon_dispute_span     from when on disputes are listed: a run without a window begins with the oldest undecided one
recon_known_disputes   what that listing must show, noted before it begins
recon_stripe_disputes  Stripe's side, staged: the listing, and what was fetched by id
recon_absent_disputes  ids that Stripe says it does not have
recon_dispute_edges    what must still be fetched by id
recon_disputes         our disputes of that time, and those that the other side or an open discrepancy names

`dp` is Stripe's id. Parameters as in sql.py. A dispute of a payment that is unknown here is none of ours. What disputes
move is compared movement by movement, not here.
"""

from datetime import datetime

from service.foundation.postgres.sql import Record, Statement
from service.states import DISPUTE_DECIDED, in_sql

TABLES = (
    "recon_dispute_span",
    "recon_known_disputes",
    "recon_stripe_disputes",
    "recon_absent_disputes",
    "recon_dispute_edges",
    "recon_disputes",
)

INDEXES: dict[str, tuple[str, ...]] = {
    "recon_stripe_disputes": ("dp",),
    "recon_dispute_edges": ("n",),
    "recon_disputes": ("id",),
}

STAGING = """
CREATE TEMP TABLE recon_stripe_disputes (
  dp text NOT NULL, created timestamptz NOT NULL, amount bigint NOT NULL, currency text NOT NULL, status text NOT NULL,
  pi text, moved timestamptz);
CREATE TEMP TABLE recon_absent_disputes (dp text NOT NULL)
"""

# A discrepancy of a dispute has this and Stripe's id for its reference; an entry of a dispute has one colon more.
REFERENCE = "dispute:"


class Span(Record):
    """From when on disputes are listed."""

    since: datetime


# By lists: to read each undecided one by its id would be as many calls as there are disputes.
SPAN = Statement(f"""
CREATE TEMP TABLE recon_dispute_span AS
SELECT least(CAST(:since AS timestamptz), (
  SELECT min(stripe_created) FROM disputes WHERE :carry AND status NOT IN {in_sql(DISPUTE_DECIDED)})) AS since
""")
SINCE = Statement("SELECT since FROM recon_dispute_span").returning(Span)

_OF_SPAN = "d.stripe_created >= (SELECT since FROM recon_dispute_span) AND d.stripe_created < :until"

KNOWN = Statement(f"""
CREATE TEMP TABLE recon_known_disputes AS SELECT d.id AS dp FROM disputes d WHERE {_OF_SPAN}
""")

# After this recon_known_disputes holds those that no page of the listing has shown.
UNSHOWN = Statement("DELETE FROM recon_known_disputes k USING recon_stripe_disputes s WHERE s.dp = k.dp")


class Hidden(Record):
    """A dispute that Stripe has and did not list: the listing was not complete."""

    dp: str


HIDDEN = Statement("""
SELECT s.dp FROM recon_known_disputes k JOIN recon_stripe_disputes s ON s.dp = k.dp
 WHERE s.created >= (SELECT since FROM recon_dispute_span) AND s.created < :until LIMIT 1
""").returning(Hidden)

UNIQUE = Statement(
    "DELETE FROM recon_stripe_disputes a USING recon_stripe_disputes b WHERE a.dp = b.dp AND a.ctid < b.ctid"
)

EDGES = Statement(f"""
CREATE TEMP TABLE recon_dispute_edges AS
SELECT row_number() OVER (ORDER BY dp) AS n, dp FROM (
  SELECT dp FROM recon_known_disputes
  UNION
  SELECT substr(reference, length('{REFERENCE}') + 1) FROM recon_carried
   WHERE reference ~ '^{REFERENCE}[A-Za-z0-9_]+$'
) edges
 WHERE NOT EXISTS (SELECT FROM recon_stripe_disputes s WHERE s.dp = edges.dp)
""")

DISPUTES = Statement(f"""
CREATE TEMP TABLE recon_disputes AS
SELECT d.*, c.payment_intent_id AS pi FROM disputes d JOIN charges c ON c.id = d.charge_id
 WHERE {_OF_SPAN} OR d.id IN (SELECT dp FROM recon_stripe_disputes) OR d.id IN (SELECT dp FROM recon_absent_disputes)
""")

# A state has no moment at Stripe: what is known is when the dispute was opened, and when it last moved money.
FINDINGS = Statement(f"""
INSERT INTO recon_findings
WITH seen AS (
  SELECT coalesce(s.dp, d.id) AS dp, s.dp IS NOT NULL AS at_stripe, n.dp IS NOT NULL AS absent,
         coalesce(s.created, d.stripe_created) AS at, s.amount AS s_amount, s.currency AS s_currency,
         s.status AS s_status, s.moved, d.id AS d_id, d.amount_minor AS d_amount, d.currency AS d_currency,
         d.status AS d_status, d.updated_at AS d_updated, coalesce(d.account_id, c.account_id) AS account_id,
         coalesce(d.order_id, c.order_id) AS order_id, coalesce(d.pi, s.pi) AS pi
    FROM recon_stripe_disputes s FULL JOIN recon_disputes d ON d.id = s.dp
    LEFT JOIN recon_absent_disputes n ON n.dp = d.id
    LEFT JOIN LATERAL (
      SELECT p.account_id, p.order_id FROM accounts a
        JOIN charges p ON p.account_id = a.id AND p.payment_intent_id = s.pi
       WHERE d.id IS NULL LIMIT 1) c ON true
), judged AS (
  SELECT seen.*, CASE
    WHEN d_id IS NULL THEN CASE WHEN order_id IS NOT NULL THEN 'dispute_missing_locally' END
    WHEN absent THEN 'dispute_status_mismatch'
    -- Stored here after Stripe was read; or Stripe could not be read, which says nothing.
    WHEN NOT at_stripe THEN CASE WHEN :complete THEN 'in_flight' END
    WHEN (d_status, d_amount, d_currency) <> (s_status, s_amount, s_currency) THEN 'dispute_status_mismatch'
  END AS class FROM seen
)
SELECT CASE WHEN NOT absent AND greatest(at, d_updated, moved) > :cut_off THEN 'in_flight' ELSE class END,
       account_id, order_id, pi, NULL, '{REFERENCE}' || dp, coalesce(d_amount, s_amount),
       coalesce(d_currency, s_currency), at,
       CASE WHEN d_id IS NOT NULL THEN jsonb_build_object(
         'dispute', d_id, 'status', d_status, 'amount', d_amount, 'currency', d_currency) END,
       CASE WHEN at_stripe THEN jsonb_build_object(
         'dispute', dp, 'status', s_status, 'amount', s_amount, 'currency', s_currency) END, NULL
  FROM judged WHERE class IS NOT NULL
""")

# Of findings.RETURNED: a charge that Stripe calls disputed, and whose dispute one of both sides shows.
EXPLAINED = """EXISTS (SELECT FROM disputes d WHERE d.order_id = p.order_id AND d.charge_id = p.c_id)
   OR EXISTS (SELECT FROM recon_stripe_disputes d WHERE d.pi = p.pi)"""
