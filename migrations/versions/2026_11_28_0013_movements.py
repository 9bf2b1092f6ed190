"""A movement of Stripe's balance is looked at again in its time, and finds its charge by an index.

Before, charges were looked for by their moment. A process of the version before goes on without its two indexes: its
sweep of fees reads the table then, and books nothing twice. The new index is built while orders are charged: it waits for
transactions that are older, and nobody waits for it. A build that was broken off leaves an invalid index behind, which the
next run drops first. No movement is stored by the version before.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_IS_DUE = "status IN ('succeeded', 'duplicate') AND balance_transaction_id IS NULL"
_IS_OPEN = "status IN ('waiting', 'suspense')"


@contextmanager
def _patiently() -> Iterator[None]:
    """Outside a transaction, without a limit on the wait: what is waited for is not held up."""
    with op.get_context().autocommit_block():
        op.execute("SELECT set_config('eo.lock_timeout', current_setting('lock_timeout'), false)")
        op.execute("SET lock_timeout = 0")
        yield
        op.execute("SELECT set_config('lock_timeout', current_setting('eo.lock_timeout'), false)")


def upgrade() -> None:
    with _patiently():  # first: what was committed before it would stand in the way of the next run
        op.drop_index("charges_movement_due", "charges", if_exists=True, postgresql_concurrently=True)
        op.create_index(
            "charges_movement_due", "charges", ["stripe_charge_id"],
            postgresql_where=sa.text(_IS_DUE), postgresql_concurrently=True,
        )
        op.drop_index("charges_fee_due", "charges", if_exists=True, postgresql_concurrently=True)
        op.drop_index("charges_fee_again", "charges", if_exists=True, postgresql_concurrently=True)
    op.add_column(
        "balance_transactions",
        sa.Column(
            "balance_type", sa.Text(), server_default="payments", nullable=False, comment="which of Stripe's balances"
        ),
    )
    op.add_column(
        "balance_transactions",
        sa.Column("look_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
    op.drop_index("balance_transactions_open", "balance_transactions")
    op.create_index("balance_transactions_open", "balance_transactions", ["look_at"], postgresql_where=sa.text(_IS_OPEN))
    op.alter_column("charges", "fee_look_at", comment="of versions before 0013; nobody reads it")
    op.alter_column("charges", "balance_transaction_id", comment="set when the movement is booked (R24)")


def downgrade() -> None:
    with _patiently():
        op.drop_index("charges_fee_again", "charges", if_exists=True, postgresql_concurrently=True)
        op.create_index(
            "charges_fee_again", "charges", ["fee_look_at"],
            postgresql_where=sa.text(f"{_IS_DUE} AND fee_look_at IS NOT NULL"), postgresql_concurrently=True,
        )
        op.drop_index("charges_fee_due", "charges", if_exists=True, postgresql_concurrently=True)
        op.create_index(
            "charges_fee_due", "charges", ["charged_at"],
            postgresql_where=sa.text(f"{_IS_DUE} AND fee_look_at IS NULL"), postgresql_concurrently=True,
        )
        op.drop_index("charges_movement_due", "charges", if_exists=True, postgresql_concurrently=True)
    op.alter_column("charges", "balance_transaction_id", comment="set when the fee is booked (R24)")
    op.alter_column("charges", "fee_look_at", comment="a late fee is asked for again then")
    op.drop_index("balance_transactions_open", "balance_transactions")
    op.create_index("balance_transactions_open", "balance_transactions", ["seen_at"], postgresql_where=sa.text(_IS_OPEN))
    op.drop_column("balance_transactions", "look_at")
    op.drop_column("balance_transactions", "balance_type")
