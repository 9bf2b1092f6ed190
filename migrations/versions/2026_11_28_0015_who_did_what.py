"""Who did what, who may look at the console, counts of the fleet; keys with an end, a last use and scopes.

Also the lines of each reconciliation's report, so that it can be read again. A run of the version before leaves none.

A process of the version before knows none of the new tables and columns, and goes on: its keys keep every scope, and
it does not look at when one ends. Every key made before has every scope, as it had.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_APPEND_ONLY = """
CREATE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the audit is append-only: % is refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
ALTER TABLE audit ENABLE ALWAYS TRIGGER audit_no_change;
ALTER TABLE audit ENABLE ALWAYS TRIGGER audit_no_truncate
"""


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("api_keys", sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "api_keys", sa.Column("replaces", sa.Text(), nullable=True, comment="the key that this one was rolled from")
    )
    op.execute("UPDATE api_keys SET scopes = '{admin}' WHERE scopes = '{}'")
    op.alter_column("api_keys", "scopes", server_default=sa.text("'{admin}'"))
    op.add_column(
        "api_keys",
        sa.Column(
            "rps",
            sa.Integer(),
            nullable=True,
            comment="its own limit of requests per second; null: EO_RATE_LIMIT_RPS",
        ),
    )
    op.create_index(
        "api_keys_by_replaced", "api_keys", ["replaces"], postgresql_where=sa.text("replaces IS NOT NULL")
    )
    op.create_check_constraint(op.f("api_keys_scopes_not_empty_check"), "api_keys", "cardinality(scopes) > 0")
    op.create_check_constraint(op.f("api_keys_rps_positive_check"), "api_keys", "rps > 0")
    _audit()
    _console()
    _reports()
    op.create_table(
        "tallies",
        sa.Column("name", sa.Text(), nullable=False, comment="duplicates_absorbed, …"),
        sa.Column("label", sa.Text(), nullable=False, comment="the guard that absorbed it, …"),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("value >= 0", name=op.f("tallies_value_not_negative_check")),
        sa.PrimaryKeyConstraint("name", "label", name=op.f("tallies_pkey")),
        comment="Counts of the fleet. Each process adds what it counted every few seconds; its last ones die with it.",
    )
    _absorptions()


def downgrade() -> None:
    """What operators did is forgotten, and the links of the console."""
    op.drop_table("absorptions")
    op.drop_table("tally_writers")
    op.drop_table("tallies")
    op.drop_table("reconciliation_findings")
    op.drop_column("reconciliation_runs", "report")
    op.drop_table("console_sessions")
    op.drop_table("console_links")
    op.drop_table("audit")
    op.execute("DROP FUNCTION audit_refuse_change()")
    op.alter_column("api_keys", "scopes", server_default=sa.text("'{}'"))
    op.drop_constraint(op.f("api_keys_rps_positive_check"), "api_keys")
    op.drop_constraint(op.f("api_keys_scopes_not_empty_check"), "api_keys")
    op.drop_index("api_keys_by_replaced", "api_keys")
    op.drop_column("api_keys", "rps")
    op.drop_column("api_keys", "replaces")
    op.drop_column("api_keys", "last_used_at")
    op.drop_column("api_keys", "expires_at")


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False, comment="the user of the machine, of the console's link, or the API key"),
        sa.Column("via", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False, comment="outbox.retry, order.fail, key.revoke, …"),
        sa.Column("subject", sa.Text(), nullable=False, comment="id of what it was done to"),
        sa.Column("order_id", sa.UUID(), nullable=True, comment="the order that the subject belongs to"),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("before", postgresql.JSONB(), nullable=True, comment="what the action changed, as it was"),
        sa.Column("after", postgresql.JSONB(), nullable=True, comment="and as it is since"),
        sa.CheckConstraint("via IN ('cli', 'console', 'api')", name=op.f("audit_via_known_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_pkey")),
        comment="Every action of an operator, written in the transaction that does it, and never changed.",
    )
    op.create_index("audit_by_time", "audit", ["at"])
    op.create_index("audit_by_subject", "audit", ["subject", "at"])
    op.create_index("audit_by_order", "audit", ["order_id"], postgresql_where=sa.text("order_id IS NOT NULL"))
    # A function's body has semicolons of its own, so it ends at its own word.
    function, _, triggers = _APPEND_ONLY.partition("END $$;")
    for statement in (f"{function}END $$", *triggers.split(";")):
        op.execute(statement)


def _console() -> None:
    op.create_table(
        "console_links",
        sa.Column("hmac", sa.LargeBinary(), nullable=False, comment="HMAC-SHA256 of the link's secret, which is shown once"),
        sa.Column("actor", sa.Text(), nullable=False, comment="who opens the console by it"),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("role IN ('read', 'operate')", name=op.f("console_links_role_known_check")),
        sa.PrimaryKeyConstraint("hmac", name=op.f("console_links_pkey")),
        comment="Links that open the console once.",
    )
    op.create_table(
        "console_sessions",
        sa.Column("hmac", sa.LargeBinary(), nullable=False, comment="HMAC-SHA256 of the cookie"),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("role IN ('read', 'operate')", name=op.f("console_sessions_role_known_check")),
        sa.PrimaryKeyConstraint("hmac", name=op.f("console_sessions_pkey")),
        comment="Browsers that opened the console by a link.",
    )
    op.create_index("console_sessions_by_end", "console_sessions", ["expires_at"])


def _reports() -> None:
    op.add_column(
        "reconciliation_runs",
        sa.Column(
            "report",
            postgresql.JSON(),
            nullable=True,
            comment="what its report says beside findings and totals; null: an earlier version's",
        ),
    )
    op.create_table(
        "reconciliation_findings",
        sa.Column("run_id", sa.UUID(), nullable=False),
        sa.Column("n", sa.BigInteger(), autoincrement=False, nullable=False, comment="its place in the report"),
        sa.Column("class", sa.Text(), nullable=False),
        sa.Column("order_id", sa.UUID(), nullable=True),
        sa.Column("payment_intent_id", sa.Text(), nullable=True),
        sa.Column("refund", sa.Text(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("ours", postgresql.JSONB(), nullable=True),
        sa.Column("stripe", postgresql.JSONB(), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acknowledged_by", sa.Text(), nullable=True),
        sa.Column("acknowledged_why", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["run_id"], ["reconciliation_runs.id"], name=op.f("reconciliation_findings_run_id_fkey")
        ),
        sa.PrimaryKeyConstraint("run_id", "n", name=op.f("reconciliation_findings_pkey")),
        comment="The lines of each run's report as it was printed, for 90 days; at most 10,000 of a run.",
    )


def _absorptions() -> None:
    op.create_table(
        "tally_writers",
        sa.Column("process", sa.UUID(), nullable=False),
        sa.Column("batch", sa.BigInteger(), nullable=False, comment="the last batch that it added"),
        sa.Column("added_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("process", name=op.f("tally_writers_pkey")),
        comment="What each process has added to the tallies, so that a batch whose answer was lost is not added twice.",
    )
    op.create_table(
        "absorptions",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("order_id", sa.UUID(), nullable=False),
        sa.Column("guard", sa.Text(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("process", sa.Text(), nullable=False, comment="its kind, machine and number"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("times > 0", name=op.f("absorptions_times_positive_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("absorptions_pkey")),
        comment="Duplicates of an order that a guard absorbed: to be shown, a few of each order, for some days.",
    )
    op.create_index("absorptions_by_order", "absorptions", ["order_id", "at"])
    op.create_index("absorptions_by_time", "absorptions", ["at"])
