"""Runs of the reconciliation, the discrepancies they found, and who has accepted which."""

import sqlalchemy as sa
from sqlalchemy import Column, ForeignKey, Index, Table, func, text
from sqlalchemy.dialects import postgresql as pg

from service.foundation.postgres.schema.columns import metadata, one_of, time_column, uuid_column

reconciliation_runs = Table(
    "reconciliation_runs",
    metadata,
    uuid_column("id", primary_key=True),
    time_column("started_at"),
    time_column("finished_at", default=False, nullable=True),
    time_column("window_start", default=False),
    time_column("window_end", default=False),
    Column("source", sa.Text, nullable=False, comment="api, or the name and SHA-256 of a report file"),
    Column("verdict", sa.Text, comment="null: the run did not finish, and says nothing"),
    Column("totals", pg.JSONB, nullable=False, server_default=text("'{}'")),
    Column("report", pg.JSON, comment="what its report says beside findings and totals; null: an earlier version's"),
    one_of("verdict", ("clean", "discrepancies", "incomplete"), "verdict_known"),
    comment="Every run of eo reconcile and what it concluded.",
)

reconciliation_findings = Table(
    "reconciliation_findings",
    metadata,
    Column("run_id", pg.UUID(as_uuid=True), ForeignKey("reconciliation_runs.id"), primary_key=True),
    Column("n", sa.BigInteger, primary_key=True, autoincrement=False, comment="its place in the report"),
    Column("class", sa.Text, nullable=False),
    Column("order_id", pg.UUID(as_uuid=True)),
    Column("payment_intent_id", sa.Text),
    Column("refund", sa.Text),
    Column("reference", sa.Text),
    Column("ours", pg.JSONB),
    Column("stripe", pg.JSONB),
    Column("amount_minor", sa.BigInteger),
    Column("currency", sa.Text),
    time_column("happened_at", default=False),
    time_column("first_seen_at", default=False),
    Column("fingerprint", sa.Text, nullable=False),
    time_column("acknowledged_at", default=False, nullable=True),
    Column("acknowledged_by", sa.Text),
    Column("acknowledged_why", sa.Text),
    comment="The lines of each run's report as it was printed, for 90 days; at most 10,000 of a run.",
)

discrepancies = Table(
    "discrepancies",
    metadata,
    # Class, object ids and currency, without run or time: the same difference found again is the same row.
    Column("fingerprint", sa.Text, primary_key=True),
    Column("class", sa.Text, nullable=False),
    Column("order_id", pg.UUID(as_uuid=True)),
    Column("payment_intent_id", sa.Text),
    Column("ours", pg.JSONB),
    Column("stripe", pg.JSONB),
    Column("amount_minor", sa.BigInteger),
    Column("currency", sa.Text),
    Column("first_run_id", pg.UUID(as_uuid=True), ForeignKey("reconciliation_runs.id"), nullable=False),
    Column("last_run_id", pg.UUID(as_uuid=True), ForeignKey("reconciliation_runs.id"), nullable=False),
    time_column("first_seen_at"),
    time_column("last_seen_at"),
    Column("account_id", pg.UUID(as_uuid=True)),
    Column("reference", sa.Text, comment="of the journal entry it is about"),
    Column(
        "opened_at",
        sa.DateTime(timezone=True),
        nullable=False,
        server_default=func.now(),
        comment="when it was found first, or again after it was resolved",
    ),
    Column("resolved_at", sa.DateTime(timezone=True), comment="null: open, and examined again in each run"),
    Index("discrepancies_by_last_run", "last_run_id"),
    Index("discrepancies_open", "first_seen_at", postgresql_where=text("resolved_at IS NULL")),
    comment="Differences found, with their age across runs.",
)

acknowledgements = Table(
    "acknowledgements",
    metadata,
    uuid_column("id", primary_key=True),
    Column("fingerprint", sa.Text, ForeignKey("discrepancies.fingerprint"), nullable=False),
    time_column("created_at"),
    Column("acknowledged_by", sa.Text, nullable=False),
    Column("reason", sa.Text, nullable=False),
    Column("amount_minor", sa.BigInteger, comment="of the discrepancy as it was acknowledged"),
    Column("ours", pg.JSONB),
    Column("stripe", pg.JSONB),
    Index("acknowledgements_by_fingerprint", "fingerprint"),
    comment="Who has accepted a discrepancy as it was, and why. Ends when the discrepancy changes; never rewritten.",
)
