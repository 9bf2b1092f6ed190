"""What was in Stripe's balance before this installation has an account of its own, and is booked once.

A process of the version before goes on: it makes no such account, and does not read the new column. The table of
accounts has a row per code and currency, so reading it for the check takes no time.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_TYPES = "'asset', 'liability', {}'income', 'contra_income', 'expense', 'suspense'"


def upgrade() -> None:
    op.add_column(
        "instance",
        sa.Column("balance_opened_at", sa.DateTime(timezone=True), nullable=True,
                  comment="when what was in Stripe's balance before was booked, or found to be nothing"),
    )
    _types("'equity', ")


def downgrade() -> None:
    """Only while no opening balance is booked: what is on the books is never taken off them."""
    _types("")
    op.drop_column("instance", "balance_opened_at")


def _types(more: str) -> None:
    op.drop_constraint("ledger_accounts_type_known_check", "ledger_accounts")
    op.create_check_constraint(
        op.f("ledger_accounts_type_known_check"), "ledger_accounts", f"type IN ({_TYPES.format(more)})"
    )
