"""A charge's own moment at Stripe, ends for what was asked for ever, and fees that are looked for at their time.

The PaymentIntent may be a day older than the charge (3-D Secure finished late). What was booked under the intent's moment
is not changed: `undated_charges` names the bookings that may be wrong, and the relay asks Stripe for each charge's moment,
reverses the entry and books it anew where they differ. What was booked within 30 seconds of its intent, on the same
UTC day, is left: its charge was made in between.

Workers and relays of the version before stop here: the renamed column makes each open and settle of theirs fail, else they
would go on booking under the intent's moment. Their messages come back through the outbox.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_IS_DUE = "status IN ('succeeded', 'duplicate') AND balance_transaction_id IS NULL"

_UNDATED = """
INSERT INTO undated_charges (charge_id)
SELECT c.id
  FROM journal_entries e
  JOIN charges c ON c.account_id = e.account_id AND c.payment_intent_id = e.payment_intent_id
 WHERE e.kind IN ('charge', 'duplicate') AND c.status IN ('succeeded', 'duplicate')
   AND (e.created_at > e.occurred_at + interval '30 seconds'
        OR CAST(e.created_at AT TIME ZONE 'UTC' AS date) <> CAST(e.occurred_at AT TIME ZONE 'UTC' AS date))
"""

_GRANTS = """
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'eo_app') THEN
    GRANT SELECT, INSERT, UPDATE, DELETE ON duties, undated_charges TO eo_app;
  END IF;
END $$;
"""


def upgrade() -> None:
    """New columns, the two indexes of the fee sweep, and what is to be asked about earlier bookings."""
    _charges()
    op.add_column(
        "outbox",
        sa.Column(
            "opens_alone", sa.Integer(), server_default="0", nullable=False,
            comment="of opens_unsettled, those in a process that had nothing else open",
        ),
    )
    op.create_table(
        "duties",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.UUID(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("duties_pkey")),
        comment="What one process at a time should do; a lease that another takes over when it ends.",
    )
    op.create_table(
        "undated_charges",
        sa.Column("charge_id", sa.UUID(), nullable=False),
        sa.Column("look_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("charge_id", name=op.f("undated_charges_pkey")),
        comment="Booked before 0006, perhaps under another moment than the charge's: to be asked for, and corrected.",
    )
    op.execute(_UNDATED)
    op.execute(_GRANTS)


def _charges() -> None:
    op.alter_column("charges", "unclear_answers", new_column_name="unclear_in_a_row")
    for column in (
        sa.Column("charged_at", sa.DateTime(timezone=True), comment="Stripe's moment of the success; null before 0006"),
        sa.Column("fee_look_at", sa.DateTime(timezone=True), comment="a late fee is asked for again then"),
        sa.Column("settlement_currency", sa.Text(), comment="where it is not the charge's: its booking is not made yet"),
        sa.Column("polls", sa.Integer(), server_default="0", nullable=False,
                  comment="calls since the last entry of history that brought the same answer"),
        sa.Column("cancel_try", sa.SmallInteger(), server_default="1", nullable=False,
                  comment="number of the cancellation's key; grows when Stripe refuses"),
    ):  # fmt: skip
        op.add_column("charges", column)
    op.drop_constraint(op.f("charges_next_call_known_check"), "charges", type_="check")
    op.create_check_constraint(
        op.f("charges_next_call_known_check"), "charges", "next_call IN ('send', 'lookup', 'retrieve', 'cancel')"
    )
    op.execute(f"UPDATE charges SET charged_at = stripe_created WHERE {_IS_DUE}")
    op.drop_index("charges_fee_due", "charges")
    op.create_index(
        "charges_fee_due", "charges", ["charged_at"], postgresql_where=sa.text(f"{_IS_DUE} AND fee_look_at IS NULL")
    )
    op.create_index(
        "charges_fee_again", "charges", ["fee_look_at"],
        postgresql_where=sa.text(f"{_IS_DUE} AND fee_look_at IS NOT NULL"),
    )


def downgrade() -> None:
    """As before. Reversals and corrected entries stay, the ledger is append-only; both sides of them remain right."""
    op.drop_table("undated_charges")
    op.drop_table("duties")
    op.drop_column("outbox", "opens_alone")
    op.drop_index("charges_fee_again", "charges")
    op.drop_index("charges_fee_due", "charges")
    op.execute("UPDATE charges SET balance_transaction_id = NULL WHERE settlement_currency IS NOT NULL")
    op.execute("UPDATE charges SET next_call = 'retrieve' WHERE next_call = 'cancel'")
    op.drop_constraint(op.f("charges_next_call_known_check"), "charges", type_="check")
    op.create_check_constraint(
        op.f("charges_next_call_known_check"), "charges", "next_call IN ('send', 'lookup', 'retrieve')"
    )
    for column in ("cancel_try", "polls", "settlement_currency", "fee_look_at", "charged_at"):
        op.drop_column("charges", column)
    op.alter_column("charges", "unclear_in_a_row", new_column_name="unclear_answers")
    op.create_index("charges_fee_due", "charges", ["stripe_created"], postgresql_where=sa.text(_IS_DUE))
