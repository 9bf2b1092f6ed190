"""Whoever looks for a few rows finds them by an index that begins with what he knows of them.

Before, the search for outbox rows that are due again read the whole backlog, at each claim.

The index of the unique attempt began with the account: of PostgreSQL, only 18 can skip that, and only where there are
few accounts. And a batch of entries that was checked while the tables were small read one whole, once, and
compared each posting with each of its rows; the connection kept that plan while the table grew.

The new indexes are built under a lock: with millions of charges stored, stop the workers for the minutes it takes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_BY_ACCOUNT = "charges_account_id_order_id_attempt_key"
_BY_ORDER = "charges_order_id_account_id_attempt_key"
_OUTBOX = {
    "outbox_fresh": "parked_at IS NULL AND published = 0",
    "outbox_out": "parked_at IS NULL AND published > 0",
}
_CHECKS = ("postings_must_balance", "entries_must_have_postings")


def upgrade() -> None:
    """The guard stays all the while: the old constraint goes when the new one stands."""
    for name, condition in _OUTBOX.items():
        op.create_index(name, "outbox", ["deliver_after"], postgresql_where=sa.text(condition))
    op.drop_index("outbox_due", "outbox")
    op.create_unique_constraint(_BY_ORDER, "charges", ["order_id", "account_id", "attempt"])
    op.drop_constraint(_BY_ACCOUNT, "charges")
    for function in _CHECKS:
        op.execute(f"ALTER FUNCTION {function}() SET enable_material = off")


def downgrade() -> None:
    """As 0001 and 0002 made them."""
    for function in _CHECKS:
        op.execute(f"ALTER FUNCTION {function}() RESET enable_material")
    op.create_unique_constraint(_BY_ACCOUNT, "charges", ["account_id", "order_id", "attempt"])
    op.drop_constraint(_BY_ORDER, "charges")
    op.create_index("outbox_due", "outbox", ["deliver_after"], postgresql_where=sa.text("parked_at IS NULL"))
    for name in _OUTBOX:
        op.drop_index(name, "outbox")
