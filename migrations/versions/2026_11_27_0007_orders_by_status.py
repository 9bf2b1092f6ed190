"""An order in a rare state is found by an index. Before, the list of a state read the table from its end.

The index is built while orders are read and written: it waits for transactions that are older, and nobody waits for it.
A build that was broken off leaves an invalid index behind, which the next run drops first.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_NAME = "orders_by_status"


@contextmanager
def _patiently() -> Iterator[None]:
    """Outside a transaction, without a limit on the wait: what is waited for is not held up."""
    with op.get_context().autocommit_block():
        op.execute("SELECT set_config('eo.lock_timeout', current_setting('lock_timeout'), false)")
        op.execute("SET lock_timeout = 0")
        yield
        op.execute("SELECT set_config('lock_timeout', current_setting('eo.lock_timeout'), false)")


def upgrade() -> None:
    with _patiently():
        op.drop_index(_NAME, "orders", if_exists=True, postgresql_concurrently=True)
        op.create_index(_NAME, "orders", ["account_id", "status", "id"], postgresql_concurrently=True)


def downgrade() -> None:
    with _patiently():
        op.drop_index(_NAME, "orders", postgresql_concurrently=True)
