"""What we tell producers: their endpoints, the rolls of their secrets, and the notices. New tables only.

A process of the version before knows none of them and tells nobody; what it makes true meanwhile is told by no one.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _webhook_endpoints()
    _endpoint_rolls()
    _notices()


def downgrade() -> None:
    """The endpoints are forgotten, and what was still owed to them."""
    op.drop_table("notices")
    op.drop_table("endpoint_rolls")
    op.drop_table("webhook_endpoints")


def _webhook_endpoints() -> None:
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("idempotency_key", sa.Text(collation="C"), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False, comment="version byte + SHA-256 of the validated request"),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", postgresql.ARRAY(sa.Text()), nullable=False, comment="the types of notices that it is sent"),
        sa.Column("rolls", sa.SmallInteger(), server_default="0", nullable=False, comment="its secret is derived with this"),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False, comment="tries in a row that failed"),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resting_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("gone_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("webhook_endpoints_pkey")),
        sa.UniqueConstraint("account_id", "idempotency_key", name=op.f("webhook_endpoints_account_id_idempotency_key_key")),
        comment="Where a producer is told what happens. Its secret is stored nowhere: it is derived.",
    )
    op.create_index("webhook_endpoints_by_account", "webhook_endpoints", ["account_id", "id"])
    op.create_index(
        "webhook_endpoints_heard",
        "webhook_endpoints",
        ["account_id"],
        postgresql_where=sa.text("deleted_at IS NULL AND gone_at IS NULL"),
    )


def _endpoint_rolls() -> None:
    op.create_table(
        "endpoint_rolls",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("endpoint_id", sa.UUID(), nullable=False),
        sa.Column("idempotency_key", sa.Text(collation="C"), nullable=False),
        sa.Column("nth", sa.SmallInteger(), nullable=False, comment="the secret's number from this roll on"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["endpoint_id"], ["webhook_endpoints.id"], name=op.f("endpoint_rolls_endpoint_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("endpoint_rolls_pkey")),
        sa.UniqueConstraint("account_id", "idempotency_key", name=op.f("endpoint_rolls_account_id_idempotency_key_key")),
        sa.UniqueConstraint("endpoint_id", "nth", name=op.f("endpoint_rolls_endpoint_id_nth_key")),
        comment="Each roll of an endpoint's secret, once per key. The secret before signs too, for a day.",
    )


def _notices() -> None:
    op.create_table(
        "notices",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("endpoint_id", sa.UUID(), nullable=False),
        sa.Column("webhook_id", sa.Text(collation="C"), nullable=False, comment="made of account, type, object and fact: always the same"),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(collation="C"), nullable=False),
        sa.Column("order_id", sa.UUID(), nullable=True),
        sa.Column("body", sa.Text(), nullable=False, comment="as it is sent, made when the fact became true"),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("in_hand", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("deliver_after", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("promised_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("tries", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("answer", sa.Text(), nullable=True, comment="of the last try: its HTTP status, or our word for what went wrong"),
        sa.Column("tried_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("status IN ('pending', 'delivered', 'parked', 'dropped')", name=op.f("notices_status_known_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("notices_pkey")),
        sa.UniqueConstraint("account_id", "endpoint_id", "webhook_id", name=op.f("notices_account_id_endpoint_id_webhook_id_key")),
        comment="The outbox of notices: one per endpoint and fact, written in the transaction that makes the fact true.",
        postgresql_with={"fillfactor": "70", "autovacuum_vacuum_scale_factor": "0.02"},
    )
    pending = sa.text("status = 'pending'")
    op.create_index("notices_due", "notices", ["endpoint_id", "deliver_after"], postgresql_where=pending)
    op.create_index("notices_in_hand", "notices", ["endpoint_id"], postgresql_where=sa.text("status = 'pending' AND in_hand"))
    op.create_index("notices_next", "notices", ["deliver_after"], postgresql_where=pending)
    op.create_index("notices_oldest", "notices", ["promised_at"], postgresql_where=pending)
    op.create_index("notices_parked", "notices", ["id"], postgresql_where=sa.text("status = 'parked'"))
    op.create_index("notices_ended", "notices", ["ended_at"], postgresql_where=sa.text("status IN ('delivered', 'dropped')"))
    op.create_index("notices_by_order", "notices", ["order_id"], postgresql_where=sa.text("order_id IS NOT NULL"))
