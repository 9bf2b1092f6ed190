"""The ledger's checks never keep a copy of a whole table beside them, either.

A batch of entries that is checked while the tables are small would read one whole, once, and compare each posting with
each of its rows; the connection would keep that plan while the table grows.

Safe beside running processes: each next call of a function takes the new setting.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_CHECKS = ("postings_must_balance", "entries_must_have_postings")


def upgrade() -> None:
    """Look up, row by row, is the only plan that is left."""
    for function in _CHECKS:
        op.execute(f"ALTER FUNCTION {function}() SET enable_material = off")


def downgrade() -> None:
    """As 0002 made them."""
    for function in _CHECKS:
        op.execute(f"ALTER FUNCTION {function}() RESET enable_material")
