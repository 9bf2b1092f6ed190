"""Runs and discrepancies on record, so that a difference keeps its age across runs.

A discrepancy's fingerprint is made of class, object ids and currency, without run or time: found again, it is the same
row. A run that died half-way keeps a verdict of null, and says nothing.
"""

import json
from typing import Any
from uuid import UUID

import asyncpg
from uuid_utils.compat import uuid7

from service.reconcile.classes import CLASSES, NOT_KEPT
from service.reconcile.window import Window

_BEGIN = """
INSERT INTO reconciliation_runs (id, window_start, window_end, source) VALUES ($1, $2, $3, $4)
"""

_FINISH = """
UPDATE reconciliation_runs SET finished_at = clock_timestamp(), verdict = $2, totals = CAST($3 AS text)::jsonb
 WHERE id = $1
"""

# Found twice in one run (it cannot be, but an INSERT that updates a row twice would fail the whole report): kept once.
_REPORT = """
CREATE TEMP TABLE recon_report AS
WITH named AS (
  SELECT f.*, encode(sha256(convert_to(concat_ws('|', class, coalesce(account_id::text, ''),
           coalesce(order_id::text, ''), coalesce(pi, ''), coalesce(attempt::text, ''), coalesce(currency, ''),
           coalesce(reference, '')), 'UTF8')), 'hex') AS fingerprint
    FROM recon_findings f
), once AS (
  SELECT DISTINCT ON (fingerprint) * FROM named ORDER BY fingerprint, at
)
SELECT row_number() OVER (ORDER BY array_position(CAST($1 AS text[]), once.class), at, once.order_id, pi, fingerprint)
         AS n, once.*, coalesce(d.first_seen_at, CAST($2 AS timestamptz)) AS first_seen
  FROM once LEFT JOIN discrepancies d USING (fingerprint)
"""

# Ordered by the unique key: two runs at once wait for each other in one order (R5).
_KEEP = """
INSERT INTO discrepancies (fingerprint, class, order_id, payment_intent_id, ours, stripe, amount_minor, currency,
                           first_run_id, last_run_id, first_seen_at, last_seen_at)
SELECT fingerprint, class, order_id, pi, ours, stripe, amount, currency, $1, $1, $2, $2
  FROM recon_report WHERE class <> ALL (CAST($3 AS text[])) ORDER BY fingerprint
ON CONFLICT (fingerprint) DO UPDATE
  SET last_run_id = EXCLUDED.last_run_id, last_seen_at = EXCLUDED.last_seen_at,
      ours = EXCLUDED.ours, stripe = EXCLUDED.stripe, amount_minor = EXCLUDED.amount_minor
"""

_SUMMARY = """
SELECT class, currency, count(*) AS count, sum(amount)::bigint AS amount, min(at) AS oldest
  FROM recon_report GROUP BY class, currency ORDER BY min(n), currency
"""


async def begin_run(driver: asyncpg.Connection, window: Window, source: str) -> UUID:
    """Record that a run began; returns its id."""
    run_id = uuid7()
    await driver.execute(_BEGIN, run_id, window.since, window.until, source)
    return run_id


async def keep(driver: asyncpg.Connection, run_id: UUID, window: Window) -> list[Any]:
    """Order the findings for the report, remember the discrepancies among them, and sum them by class and currency."""
    await driver.execute(_REPORT, list(CLASSES), window.now)
    await driver.execute("CREATE INDEX ON pg_temp.recon_report (n); ANALYZE recon_report")
    await driver.execute(_KEEP, run_id, window.now, list(NOT_KEPT))
    return list(await driver.fetch(_SUMMARY))


async def finish_run(driver: asyncpg.Connection, run_id: UUID, verdict: str, totals: dict[str, Any]) -> None:
    """Record what the run concluded."""
    await driver.execute(_FINISH, run_id, verdict, json.dumps(totals, sort_keys=True))
