"""What happens to money after the charge: captures, cancellations, second attempts and refunds.

A worker of the version before settles with a column that is gone, so its settlements fail until it is replaced.
New checks hold for new rows only; 0010 reads the old ones, because here orders wait until the revision has ended.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_ORDERS = "'pending', 'processing', 'paid', 'failed', 'requires_action', {}'canceled'"
_CHARGES = "'sending', 'unknown', 'requires_action', 'processing', {}'succeeded', 'declined', 'canceled', 'duplicate'"
_CALLS = "'send', 'lookup', 'retrieve'{}"
_TYPES = "'asset', 'liability', 'income', {}'expense', 'suspense'"


def upgrade() -> None:
    _orders()
    _charges()
    _operations()
    _changes()
    _refunds()
    _check("ledger_accounts", "type_known", f"type IN ({_TYPES.format(repr('contra_income') + ', ')})")


def downgrade() -> None:
    """Only while nothing of it was used: what was authorized, captured or refunded has no place before 0009."""
    _check("ledger_accounts", "type_known", f"type IN ({_TYPES.format('')})")
    op.drop_table("refunds")
    op.drop_table("changes")
    op.drop_table("operations")
    _check("charges", "status_known", f"status IN ({_CHARGES.format('')})")
    _check("charges", "next_call_known", f"next_call IN ({_CALLS.format(', ' + repr('cancel'))})")
    _check("orders", "status_known", f"status IN ({_ORDERS.format('')})")
    for table, name in (
        ("ledger_accounts", "type_known"),
        ("charges", "status_known"),
        ("charges", "next_call_known"),
        ("orders", "status_known"),
    ):
        op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {table}_{name}_check")
    op.drop_column("charges", "captured_minor")
    op.add_column(
        "charges",
        sa.Column("cancel_try", sa.SmallInteger(), server_default="1", nullable=False,
                  comment="number of the cancellation's key; grows when Stripe refuses"),
    )
    for name in ("refunded_within_captured", "captured_within_amount", "counts_not_negative", "capture_known"):
        op.drop_constraint(f"orders_{name}_check", "orders")
    op.create_check_constraint(
        op.f("orders_refunded_within_amount_check"), "orders", "amount_refunded_minor BETWEEN 0 AND amount_minor"
    )
    for name in ("disputed", "owed", "refunding", "captured"):
        op.drop_column("orders", f"amount_{name}_minor")
    op.drop_column("orders", "attempt")
    op.drop_column("orders", "capture")


def _orders() -> None:
    for column in (
        sa.Column("capture", sa.Text(), server_default="automatic", nullable=False),
        sa.Column("attempt", sa.SmallInteger(), server_default="1", nullable=False,
                  comment="the newest attempt that is wanted"),
        sa.Column("amount_captured_minor", sa.BigInteger(), nullable=True,
                  comment="where less than all of it was taken"),
        _count("amount_refunding_minor", "refunds under way"),
        _count("amount_owed_minor", "of refunds that failed: booked as payable, to be drawn down by the next one"),
        _count("amount_disputed_minor", None),
    ):
        op.add_column("orders", column)
    op.alter_column("orders", "amount_refunded_minor", comment="refunds that succeeded")
    op.drop_constraint("orders_refunded_within_amount_check", "orders")
    _check("orders", "status_known", f"status IN ({_ORDERS.format(repr('authorized') + ', ')})")
    for name, rule in (
        ("refunded_within_captured",
         "amount_refunded_minor BETWEEN 0 AND coalesce(amount_captured_minor, amount_minor)"),
        ("captured_within_amount", "amount_captured_minor BETWEEN 1 AND amount_minor"),
        ("counts_not_negative", "amount_refunding_minor >= 0 AND amount_owed_minor >= 0"),
        ("capture_known", "capture IN ('automatic', 'manual')"),
    ):
        _add_check("orders", name, rule)


def _charges() -> None:
    op.drop_column("charges", "cancel_try")
    op.add_column(
        "charges",
        sa.Column("captured_minor", sa.BigInteger(), nullable=True,
                  comment="what was taken, where that is less than the amount"),
    )
    _check("charges", "status_known", f"status IN ({_CHARGES.format(repr('authorized') + ', ')})")
    _check("charges", "next_call_known", f"next_call IN ({_CALLS.format('')})")


def _operations() -> None:
    op.create_table(
        "operations",
        _uuid("id"),
        _uuid("account_id"),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(collation="C"), nullable=False),
        _uuid("order_id"),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False,
                  comment="version byte + SHA-256 of the validated request"),
        sa.Column("answered", sa.SmallInteger(), nullable=False,
                  comment="HTTP status of the first answer; a replay has it too"),
        _time("created_at"),
        sa.CheckConstraint("operation IN ('capture', 'cancel', 'pay', 'refund')", name=op.f("operations_operation_known_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("operations_pkey")),
        sa.UniqueConstraint("account_id", "operation", "idempotency_key", name=op.f("operations_account_id_operation_idempotency_key_key")),
        comment="What a producer asked to be done with an order after it was placed, once per key.",
    )
    op.create_index("operations_by_order", "operations", ["order_id"])


def _changes() -> None:
    op.create_table(
        "changes",
        _uuid("id"),
        _uuid("account_id"),
        _uuid("order_id"),
        _uuid("charge_id"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("wanted_by", sa.Text(), nullable=False,
                  comment="pay: the next attempt is owed once this one is canceled (R25)"),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True,
                  comment="of a capture: how much; null for a cancellation"),
        sa.Column("idempotency_key", sa.Text(collation="C"), nullable=True,
                  comment="the key on the wire to Stripe, of this try (R1); null: unopened"),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        *_effect(),
        sa.CheckConstraint("kind IN ('capture', 'cancel')", name=op.f("changes_kind_known_check")),
        sa.CheckConstraint("wanted_by IN ('producer', 'expiry', 'pay')", name=op.f("changes_wanted_by_known_check")),
        sa.CheckConstraint("status IN ('pending', 'sending', 'done', 'refused')", name=op.f("changes_status_known_check")),
        sa.CheckConstraint("next_call IN ('send', 'lookup', 'retrieve')", name=op.f("changes_next_call_known_check")),
        sa.CheckConstraint("(kind = 'capture') = (amount_minor IS NOT NULL)",
                           name=op.f("changes_captures_have_an_amount_check")),
        sa.CheckConstraint("amount_minor > 0", name=op.f("changes_amount_positive_check")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("changes_order_id_fkey")),
        sa.ForeignKeyConstraint(["charge_id"], ["charges.id"], name=op.f("changes_charge_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("changes_pkey")),
        sa.UniqueConstraint("account_id", "idempotency_key", name=op.f("changes_account_id_idempotency_key_key")),
        comment="A capture or a cancellation of a PaymentIntent; committed before the call.",
    )
    op.create_index("changes_one_open", "changes", ["account_id", "charge_id"], unique=True,
                    postgresql_where=sa.text("status IN ('pending', 'sending')"))
    op.create_index("changes_by_order", "changes", ["order_id"])


def _refunds() -> None:
    op.create_table(
        "refunds",
        _uuid("id"),
        _uuid("account_id"),
        _uuid("order_id"),
        _uuid("charge_id"),
        sa.Column("producer_key", sa.Text(collation="C"), nullable=True,
                  comment="null: made at Stripe past us, and adopted"),
        sa.Column("idempotency_key", sa.Text(collation="C"), nullable=True,
                  comment="the key on the wire to Stripe, of this try (R1); null: unopened"),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("metadata", pg.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("status", sa.Text(), server_default="pending", nullable=False),
        sa.Column("stripe_refund_id", sa.Text(), nullable=True),
        sa.Column("stripe_created", sa.DateTime(timezone=True), nullable=True),
        sa.Column("drawn_minor", sa.BigInteger(), server_default="0", nullable=False,
                  comment="of the amount, what was owed before"),
        sa.Column("balance_transaction_id", sa.Text(), nullable=True,
                  comment="that took the money from Stripe's balance"),
        sa.Column("failure_transaction_id", sa.Text(), nullable=True, comment="that brought it back"),
        *_effect(),
        sa.CheckConstraint("amount_minor > 0", name=op.f("refunds_amount_positive_check")),
        sa.CheckConstraint("drawn_minor BETWEEN 0 AND amount_minor", name=op.f("refunds_drawn_within_amount_check")),
        sa.CheckConstraint("status IN ('pending', 'processing', 'succeeded', 'failed', 'canceled')",
                           name=op.f("refunds_status_known_check")),
        sa.CheckConstraint("next_call IN ('send', 'lookup', 'retrieve')", name=op.f("refunds_next_call_known_check")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("refunds_order_id_fkey")),
        sa.ForeignKeyConstraint(["charge_id"], ["charges.id"], name=op.f("refunds_charge_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("refunds_pkey")),
        sa.UniqueConstraint("account_id", "producer_key", name=op.f("refunds_account_id_producer_key_key")),
        sa.UniqueConstraint("account_id", "idempotency_key", name=op.f("refunds_account_id_idempotency_key_key")),
        sa.UniqueConstraint("account_id", "stripe_refund_id", name=op.f("refunds_account_id_stripe_refund_id_key")),
        comment="Money to be given back, in whole or in part; committed before the call.",
    )
    op.create_index("refunds_by_account", "refunds", ["account_id", "id"])
    op.create_index("refunds_by_order", "refunds", ["order_id", "id"])
    op.create_index("refunds_by_status", "refunds", ["account_id", "status", "id"])
    op.create_index("refunds_by_time", "refunds", ["created_at"], postgresql_using="brin")
    op.create_index("refunds_by_stripe_time", "refunds", ["stripe_created"], postgresql_using="brin")


def _effect() -> list[sa.Column[object]]:
    return [
        sa.Column("next_call", sa.Text(), server_default="send", nullable=False,
                  comment="what the next delivery asks Stripe"),
        sa.Column("request", pg.JSON(), nullable=False, comment="exact parameters in sending order"),
        sa.Column("stripe_version", sa.Text(), nullable=False,
                  comment="version of Stripe's API the request is meant for"),
        sa.Column("nth", sa.SmallInteger(), server_default="1", nullable=False,
                  comment="try; a refusal is saved, so it grows"),
        sa.Column("token", sa.UUID(), nullable=True,
                  comment="of the worker that may settle; fresh at every open (R13, R21)"),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("maybe_executed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("first_sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("unclear_in_a_row", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("life", sa.Integer(), server_default="0", nullable=False,
                  comment="in which it was last opened; 0: never"),
        sa.Column("key_conflict", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("polls", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failure", pg.JSONB(), nullable=True),
        sa.Column("history", pg.JSONB(), server_default=sa.text("'[]'"), nullable=False,
                  comment="one small entry per call"),
        _time("created_at"),
        _time("updated_at"),
    ]


def _uuid(name: str) -> "sa.Column[object]":
    return sa.Column(name, sa.UUID(), nullable=False)


def _time(name: str) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def _count(name: str, comment: str | None) -> "sa.Column[object]":
    return sa.Column(name, sa.BigInteger(), server_default="0", nullable=False, comment=comment)


def _check(table: str, name: str, rule: str) -> None:
    op.drop_constraint(f"{table}_{name}_check", table)
    _add_check(table, name, rule)


def _add_check(table: str, name: str, rule: str) -> None:
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {table}_{name}_check CHECK ({rule}) NOT VALID")
