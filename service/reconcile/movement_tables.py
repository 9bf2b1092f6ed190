"""The part of the comparison that is about movements of Stripe's balance: its temporary tables and its statements.

recon_known_movements   what the listing must show, noted before it begins
recon_movements         Stripe's side, staged: the listing, and what was fetched by id
recon_absent_movements  ids that Stripe says it does not have
recon_movement_edges    what must still be fetched by id
recon_our_movements     our movements of the window, and those that the other side names

Parameters as in sql.py; `:since` is the window's, or the birth of this installation where that is later.
"""

from service.foundation.postgres.sql import Integer, Record, Statement

TABLES = (
    "recon_known_movements",
    "recon_movements",
    "recon_absent_movements",
    "recon_movement_edges",
    "recon_our_movements",
)

STAGING = """
CREATE TEMP TABLE recon_movements (
  id text NOT NULL, created timestamptz NOT NULL, category text NOT NULL, balance_type text NOT NULL,
  amount bigint NOT NULL, fee bigint NOT NULL, currency text NOT NULL);
CREATE TEMP TABLE recon_absent_movements (id text NOT NULL)
"""

# A discrepancy of a movement has this, and its id, for its reference.
REFERENCE = "movement:"
BALANCE_DRIFT, UNKNOWN_CATEGORY = "balance_drift", "unknown_category"
_PAYOUTS = "('payout', 'payout_reversal')"

KNOWN = Statement("""
CREATE TEMP TABLE recon_known_movements AS
SELECT id FROM balance_transactions WHERE stripe_created >= :since AND stripe_created < :until
""")

# After this recon_known_movements holds those that no page of the listing has shown.
UNSHOWN = Statement("DELETE FROM recon_known_movements k USING recon_movements s WHERE s.id = k.id")

EDGES = Statement(f"""
CREATE TEMP TABLE recon_movement_edges AS
SELECT row_number() OVER (ORDER BY id) AS n, id FROM (
  SELECT id FROM recon_known_movements
  UNION
  SELECT substr(d.reference, length('{REFERENCE}') + 1) FROM recon_carried JOIN discrepancies d USING (fingerprint)
   WHERE d.class = '{BALANCE_DRIFT}' AND d.reference IS NOT NULL
) edges
 WHERE NOT EXISTS (SELECT FROM recon_movements s WHERE s.id = edges.id)
""")


class Id(Record):
    """A movement."""

    id: str


# One of the window that Stripe has and did not list: the listing was not complete.
HIDDEN = Statement("""
SELECT s.id FROM recon_known_movements k JOIN recon_movements s ON s.id = k.id
 WHERE s.created >= :since AND s.created < :until LIMIT 1
""").returning(Id)

UNIQUE = Statement("DELETE FROM recon_movements a USING recon_movements b WHERE a.id = b.id AND a.ctid < b.ctid")

STAGED = Statement("SELECT id FROM recon_movements WHERE id = ANY (CAST(:ids AS text[]))").returning(Id)

OURS = Statement("""
CREATE TEMP TABLE recon_our_movements AS
SELECT id, category, balance_type, amount_minor, fee_minor, net_minor, currency, stripe_created
  FROM balance_transactions
 WHERE stripe_created >= :since AND stripe_created < :until
    OR id IN (SELECT id FROM recon_movements) OR id IN (SELECT id FROM recon_absent_movements)
""")

# A movement never changes, so one with another sum is a fact at any age. One that is missing here may still come.
FINDINGS = Statement(f"""
INSERT INTO recon_findings (class, reference, amount, currency, at, ours, stripe)
SELECT '{BALANCE_DRIFT}', '{REFERENCE}' || coalesce(b.id, s.id),
       CASE WHEN b.currency = s.currency
            THEN greatest(abs(s.amount - b.amount_minor), abs(s.fee - b.fee_minor),
                          abs(s.amount - s.fee - b.net_minor))
            ELSE abs(coalesce(b.net_minor, s.amount - s.fee)) END,
       coalesce(b.currency, s.currency), coalesce(s.created, b.stripe_created),
       CASE WHEN b.id IS NOT NULL THEN jsonb_build_object('movement', b.id, 'category', b.category,
         'balance', b.balance_type, 'amount', b.amount_minor, 'fee', b.fee_minor, 'currency', b.currency) END,
       CASE WHEN s.id IS NOT NULL THEN jsonb_build_object('movement', s.id, 'category', s.category,
         'balance', s.balance_type, 'amount', s.amount, 'fee', s.fee, 'currency', s.currency) END
  FROM recon_movements s FULL JOIN recon_our_movements b ON b.id = s.id
 WHERE CASE WHEN b.id IS NULL THEN s.created < date_trunc('second', CAST(:cut_off AS timestamptz))
            -- Stored here after Stripe was read, where nothing was denied.
            WHEN s.id IS NULL THEN b.id IN (SELECT id FROM recon_absent_movements)
            ELSE (s.category, s.balance_type, s.amount, s.fee, s.amount - s.fee, s.currency)
                 IS DISTINCT FROM
                 (b.category, b.balance_type, b.amount_minor, b.fee_minor, b.net_minor, b.currency) END
""")


class Sums(Record):
    """The movements of the window in one currency, as Stripe shows them; how many differ, of the window or not."""

    currency: str
    activity: int
    payouts: int
    differ: Integer


SUMS = Statement(f"""
SELECT currency, CAST(sum(activity) AS bigint) AS activity, CAST(sum(payouts) AS bigint) AS payouts,
       CAST(sum(differ) AS integer) AS differ
  FROM (
    SELECT currency, CASE WHEN category NOT IN {_PAYOUTS} THEN amount - fee ELSE 0 END AS activity,
           CASE WHEN category IN {_PAYOUTS} THEN fee - amount ELSE 0 END AS payouts, 0 AS differ
      FROM recon_movements WHERE balance_type = 'payments' AND created >= :since
    UNION ALL
    SELECT currency, 0, 0, 1 FROM recon_findings WHERE class = '{BALANCE_DRIFT}' AND reference IS NOT NULL
  ) AS moved GROUP BY currency
""").returning(Sums)

DRIFT = Statement(f"""
INSERT INTO recon_findings (class, amount, currency, at, ours, stripe)
VALUES ('{BALANCE_DRIFT}', :amount, :currency, :now, jsonb_build_object('more', CAST(:ours AS bigint)),
        jsonb_build_object('more', CAST(:stripe AS bigint)))
""")

# What stands in suspense is a discrepancy, unless another class names its source. A run without a window has all of it,
# a named one what was moved in its window. Where Stripe was not read to its end, only the category is certain.
SUSPENSE = Statement(f"""
INSERT INTO recon_findings (class, reference, amount, currency, at, ours)
WITH named (source) AS (
  SELECT refund FROM recon_findings WHERE refund IS NOT NULL AND class <> ALL (CAST(:not_kept AS text[]))
  UNION
  SELECT substr(reference, strpos(reference, ':') + 1) FROM recon_findings
   WHERE split_part(reference, ':', 1) IN ('payout', 'dispute') AND class <> ALL (CAST(:not_kept AS text[]))
  UNION
  SELECT s.charge FROM recon_findings f JOIN recon_stripe s ON s.pi = f.pi
   WHERE s.charge IS NOT NULL AND f.class <> ALL (CAST(:not_kept AS text[]))
)
SELECT '{UNKNOWN_CATEGORY}', '{REFERENCE}' || b.id, abs(b.net_minor), b.currency, b.stripe_created,
       jsonb_build_object('movement', b.id, 'category', b.category, 'source', b.source, 'net', b.net_minor,
         'why', b.why)
  FROM balance_transactions b
 WHERE b.status = 'suspense' AND (:carry OR b.stripe_created >= :since AND b.stripe_created < :until)
   AND (b.why = :unknown OR :complete AND NOT EXISTS (SELECT FROM named n WHERE n.source = b.source))
""")
