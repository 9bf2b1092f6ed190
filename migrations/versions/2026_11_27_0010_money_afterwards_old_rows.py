"""The old rows under what 0009 changed: read, and where needed changed, while orders go on.

The newest attempt of each order is noted. Payments that the version before was about to cancel are asked for again, and
canceled in the new way. Then the checks of 0009 are validated, which keeps no writer waiting.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_CHECKS = {
    "orders": ("status_known", "refunded_within_captured", "captured_within_amount", "counts_not_negative",
               "capture_known"),
    "charges": ("status_known", "next_call_known"),
    "ledger_accounts": ("type_known",),
}


def upgrade() -> None:
    # A charge's own attempt is wanted at least: orders that were adopted may have a later one.
    op.execute("""UPDATE orders o SET attempt = c.attempt FROM charges c WHERE c.order_id = o.id AND c.attempt > 1
       AND NOT EXISTS (SELECT FROM charges l WHERE l.order_id = c.order_id AND l.attempt > c.attempt)""")
    op.execute("UPDATE charges SET next_call = 'retrieve' WHERE next_call = 'cancel'")
    for table, names in _CHECKS.items():
        for name in names:
            op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {table}_{name}_check")


def downgrade() -> None:
    """Nothing: what was read and changed fits 0009 as well."""
