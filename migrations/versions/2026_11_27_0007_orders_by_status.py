"""An order in a rare state is found by an index. Before, the list of a state read the table from its end.

The index is built while orders are read and written: it waits for transactions that are older, and nobody waits for it.
A build that was broken off leaves an invalid index behind, which the next run drops first.
"""

from alembic import op

revision = "0007"
down_revision = "0005"
branch_labels = None
depends_on = None

_NAME = "orders_by_status"


def upgrade() -> None:
    """Outside a transaction, without a limit on the wait: what is waited for is not held up."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.drop_index(_NAME, "orders", if_exists=True, postgresql_concurrently=True)
        op.create_index(_NAME, "orders", ["account_id", "status", "id"], postgresql_concurrently=True)
        op.execute("SET lock_timeout = '250ms'")


def downgrade() -> None:
    """As before."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.drop_index(_NAME, "orders", postgresql_concurrently=True)
        op.execute("SET lock_timeout = '250ms'")
