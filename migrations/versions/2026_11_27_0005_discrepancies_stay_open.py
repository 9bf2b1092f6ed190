"""A discrepancy stays open until it is resolved, and a human can acknowledge it (R36).

What older versions have found is open, and is examined again by the next run without a window.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# By what they name; an entry of the journal was named by its reference alone.
_KNOWN_SUBJECTS = (
    "UPDATE discrepancies d SET account_id = o.account_id FROM orders o WHERE o.id = d.order_id",
    "UPDATE discrepancies SET reference = ours ->> 'entry' WHERE ours ? 'entry'",
    """UPDATE discrepancies d SET account_id = e.account_id FROM journal_entries e
        WHERE d.account_id IS NULL AND e.reference = d.reference""",
    "UPDATE discrepancies SET opened_at = first_seen_at",
)

_GRANTS = """
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'eo_app') THEN
    GRANT SELECT, INSERT ON acknowledgements TO eo_app;
  END IF;
END $$;
"""


def upgrade() -> None:
    """What a discrepancy is about, since when it is open, and who has acknowledged it."""
    op.add_column("discrepancies", sa.Column("account_id", sa.UUID(), nullable=True))
    op.add_column(
        "discrepancies", sa.Column("reference", sa.Text(), nullable=True, comment="of the journal entry it is about")
    )
    op.add_column(
        "discrepancies",
        sa.Column(
            "opened_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False,
            comment="when it was found first, or again after it was resolved",
        ),
    )
    op.add_column(
        "discrepancies",
        sa.Column(
            "resolved_at", sa.DateTime(timezone=True), nullable=True, comment="null: open, and examined again in each run"
        ),
    )
    for statement in _KNOWN_SUBJECTS:
        op.execute(statement)
    op.create_index(
        "discrepancies_open", "discrepancies", ["first_seen_at"], postgresql_where=sa.text("resolved_at IS NULL")
    )
    op.create_table(
        "acknowledgements",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("acknowledged_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True, comment="of the discrepancy as it was acknowledged"),
        sa.Column("ours", postgresql.JSONB(), nullable=True),
        sa.Column("stripe", postgresql.JSONB(), nullable=True),
        sa.ForeignKeyConstraint(
            ["fingerprint"], ["discrepancies.fingerprint"], name=op.f("acknowledgements_fingerprint_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("acknowledgements_pkey")),
        comment="Who has accepted a discrepancy as it was, and why. Ends when the discrepancy changes; never rewritten.",
    )
    op.create_index("acknowledgements_by_fingerprint", "acknowledgements", ["fingerprint"])
    op.execute(_GRANTS)


def downgrade() -> None:
    """As 0004 left it; acknowledgements are lost."""
    op.drop_table("acknowledgements")
    op.drop_index("discrepancies_open", "discrepancies")
    for column in ("resolved_at", "opened_at", "reference", "account_id"):
        op.drop_column("discrepancies", column)
