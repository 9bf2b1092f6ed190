"""Stores runs and discrepancies, so that a discrepancy keeps its age across runs.

A discrepancy's fingerprint is made of class, object ids and currency, without run or time: when it is found again, it
is the same row. It is open until a run without a window has examined it again and not found it, at any age (R36).
A run that did not finish has no verdict.
"""

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import msgspec
from uuid_utils.compat import uuid7

from service.foundation.instants import first_id_of
from service.foundation.postgres.sql import Connection, Record, Statement
from service.reconcile.classes import CLASSES, NOT_KEPT
from service.reconcile.head import Head
from service.reconcile.window import Window

_BEGIN = Statement("""
INSERT INTO reconciliation_runs (id, window_start, window_end, source) VALUES (:id, :since, :until, :source)
""")

_FINISH = Statement("""
UPDATE reconciliation_runs SET finished_at = clock_timestamp(), verdict = :verdict,
    totals = CAST(:totals AS text)::jsonb, report = CAST(:report AS text)::json
 WHERE id = :id
""")

# DISTINCT ON keeps a fingerprint once: an INSERT that updates one row twice would fail the whole report.
# An acknowledgement holds while the amount and both sides are as they were, and ends when the discrepancy is resolved.
_REPORT = Statement("""
CREATE TEMP TABLE recon_report AS
WITH named AS (
  SELECT f.*, encode(sha256(convert_to(concat_ws('|', class, coalesce(account_id::text, ''),
           coalesce(order_id::text, ''), coalesce(pi, ''), coalesce(attempt::text, ''), coalesce(currency, ''),
           coalesce(reference, '')), 'UTF8')), 'hex') AS fingerprint
    FROM recon_findings f
), once AS (
  SELECT DISTINCT ON (fingerprint) * FROM named ORDER BY fingerprint, at
)
SELECT row_number() OVER (
         ORDER BY array_position(CAST(:classes AS text[]), once.class), at, once.order_id, pi, fingerprint) AS n,
       once.*, coalesce(d.first_seen_at, CAST(:now AS timestamptz)) AS first_seen,
       k.created_at AS acked_at, k.acknowledged_by AS acked_by, k.reason AS acked_why
  FROM once LEFT JOIN discrepancies d USING (fingerprint)
  LEFT JOIN LATERAL (
    SELECT a.created_at, a.acknowledged_by, a.reason, a.amount_minor, a.ours, a.stripe FROM acknowledgements a
     WHERE a.fingerprint = once.fingerprint AND a.created_at >= d.opened_at AND d.resolved_at IS NULL
     ORDER BY a.created_at DESC LIMIT 1
  ) k ON (k.amount_minor, k.ours, k.stripe) IS NOT DISTINCT FROM (once.amount, once.ours, once.stripe)
""")

# Rows are locked in the order of the unique key, so that two runs at once cannot deadlock (R5).
_KEEP = Statement("""
INSERT INTO discrepancies AS d (fingerprint, class, account_id, order_id, payment_intent_id, reference, ours, stripe,
                                amount_minor, currency, first_run_id, last_run_id, first_seen_at, last_seen_at,
                                opened_at)
SELECT fingerprint, class, account_id, order_id, pi, reference, ours, stripe, amount, currency,
       :run, :run, :now, :now, :now
  FROM recon_report WHERE class <> ALL (CAST(:not_kept AS text[])) ORDER BY fingerprint
ON CONFLICT (fingerprint) DO UPDATE
  SET last_run_id = EXCLUDED.last_run_id, last_seen_at = greatest(d.last_seen_at, EXCLUDED.last_seen_at),
      ours = EXCLUDED.ours, stripe = EXCLUDED.stripe, amount_minor = EXCLUDED.amount_minor,
      account_id = EXCLUDED.account_id, reference = EXCLUDED.reference,
      opened_at = CASE WHEN d.resolved_at IS NULL THEN d.opened_at ELSE EXCLUDED.opened_at END, resolved_at = NULL
""")

# Resolves the carried discrepancies that this run did not find. Those of a payment in flight stay open for the next
# run, and so do those that a run that began later has seen. One of the balance is resolved only
# where the balance was compared. Rows are locked in one order (R5).
_RESOLVE = Statement("""
WITH gone AS (
  SELECT d.fingerprint FROM recon_carried k JOIN discrepancies d USING (fingerprint)
   WHERE d.resolved_at IS NULL AND d.last_seen_at <= :now AND (:proven OR d.class <> 'balance_drift')
     AND NOT EXISTS (SELECT FROM recon_report r WHERE r.fingerprint = k.fingerprint)
     AND NOT EXISTS (SELECT FROM recon_report r WHERE r.class = 'in_flight'
                        AND (r.pi = k.pi OR r.order_id = k.order_id OR r.reference = k.reference))
   ORDER BY d.fingerprint FOR UPDATE OF d
)
UPDATE discrepancies d SET resolved_at = :now FROM gone WHERE d.fingerprint = gone.fingerprint
""")


_LINES_MAX = 10_000  # of one run; the last lines of a long report are those in flight
_LINES_KEPT_FOR = timedelta(days=90)

_KEEP_LINES = Statement(f"""
INSERT INTO reconciliation_findings (run_id, n, class, order_id, payment_intent_id, refund, reference, ours, stripe,
                                     amount_minor, currency, happened_at, first_seen_at, fingerprint, acknowledged_at,
                                     acknowledged_by, acknowledged_why)
SELECT :run, n, class, order_id, pi, refund, reference, ours, stripe, amount, currency, at, first_seen, fingerprint,
       acked_at, acked_by, acked_why
  FROM recon_report WHERE n <= {_LINES_MAX} ORDER BY n
""")

# Ids of runs are UUIDv7, so that those of before a moment are a range of the primary key.
_FORGET_LINES = Statement("DELETE FROM reconciliation_findings WHERE run_id < :oldest")


class Summed(Record):
    """How many findings of a class in a currency, and what they amount to."""

    name: str
    currency: str | None
    is_acked: bool
    count: int
    amount: int | None
    oldest: datetime


_SUMMARY = Statement("""
SELECT class AS name, currency, acked_at IS NOT NULL AS is_acked, count(*) AS count, sum(amount)::bigint AS amount,
       min(at) AS oldest
  FROM recon_report GROUP BY class, currency, acked_at IS NOT NULL ORDER BY min(n), currency
""").returning(Summed)


async def begin_run(driver: asyncpg.Connection, window: Window, source: str) -> UUID:
    """Record that a run began; returns its id."""
    run_id = uuid7()
    values = {"id": run_id, "since": window.since, "until": window.until, "source": source}
    await Connection(driver).run(_BEGIN, values)
    return run_id


async def keep(
    driver: asyncpg.Connection, run_id: UUID, window: Window, *, complete: bool, proven: bool
) -> list[Summed]:
    """Order the findings for the report, store the discrepancies among them, and sum them by class and currency.

    `complete`: Stripe was read to its end, so that carried discrepancies that were not found again are resolved.
    `proven`: its balance was compared, without which one of the balance stays open.
    """
    connection = Connection(driver)
    await connection.run(_REPORT, {"classes": list(CLASSES), "now": window.now})
    await driver.execute("CREATE INDEX ON pg_temp.recon_report (n); ANALYZE recon_report")
    await connection.run(_KEEP, {"run": run_id, "now": window.now, "not_kept": list(NOT_KEPT)})
    if complete:
        await connection.run(_RESOLVE, {"now": window.now, "proven": proven})
    await connection.run(_KEEP_LINES, {"run": run_id})
    await connection.run(_FORGET_LINES, {"oldest": first_id_of(window.now - _LINES_KEPT_FOR)})
    return await connection.rows(_SUMMARY)


async def finish_run(driver: asyncpg.Connection, head: Head) -> None:
    """Store the verdict of the run, its totals, and what its report says beside the findings."""
    totals = {c: {side: asdict(s) for side, s in sides.items()} for c, sides in head.comparison.totals.items()}
    values = {"id": head.run_id, "verdict": head.verdict, "totals": json.dumps(totals, sort_keys=True)}
    await Connection(driver).run(_FINISH, values | {"report": msgspec.json.encode(head).decode()})
