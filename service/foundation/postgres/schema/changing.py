"""What is asked of a payment that exists: to capture it, to cancel it, to give money back."""

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Table, UniqueConstraint, text
from sqlalchemy.dialects import postgresql as pg

from service.foundation.postgres.schema.columns import (
    BYTEWISE,
    effect_columns,
    metadata,
    one_of,
    time_column,
    uuid_column,
)
from service.states import CHANGE_KINDS, CHANGE_OPEN, CHANGE_STATUSES, NEXT_CALLS, REFUND_STATUSES, in_sql

WANTED_BY = ("producer", "expiry", "pay")

changes = Table(
    "changes",
    metadata,
    uuid_column("id", primary_key=True),
    uuid_column("account_id"),
    Column("order_id", pg.UUID(as_uuid=True), ForeignKey("orders.id"), nullable=False),
    Column("charge_id", pg.UUID(as_uuid=True), ForeignKey("charges.id"), nullable=False),
    Column("kind", sa.Text, nullable=False),
    Column(
        "wanted_by", sa.Text, nullable=False, comment="pay: the next attempt is owed once this one is canceled (R25)"
    ),
    Column("amount_minor", sa.BigInteger, comment="of a capture: how much; null for a cancellation"),
    Column("idempotency_key", BYTEWISE, comment="the key on the wire to Stripe, of this try (R1); null: unopened"),
    Column("status", sa.Text, nullable=False, server_default="pending"),
    *effect_columns(),
    UniqueConstraint("account_id", "idempotency_key"),
    # A payment is captured or canceled, never both at once; who comes second is told so.
    Index(
        "changes_one_open",
        "account_id",
        "charge_id",
        unique=True,
        postgresql_where=text(f"status IN {in_sql(CHANGE_OPEN)}"),
    ),
    Index("changes_by_order", "order_id"),
    one_of("kind", CHANGE_KINDS, "kind_known"),
    one_of("wanted_by", WANTED_BY, "wanted_by_known"),
    one_of("status", CHANGE_STATUSES, "status_known"),
    one_of("next_call", NEXT_CALLS, "next_call_known"),
    CheckConstraint("(kind = 'capture') = (amount_minor IS NOT NULL)", name="captures_have_an_amount"),
    CheckConstraint("amount_minor > 0", name="amount_positive"),
    comment="A capture or a cancellation of a PaymentIntent; committed before the call.",
)

refunds = Table(
    "refunds",
    metadata,
    uuid_column("id", primary_key=True),
    uuid_column("account_id"),
    Column("order_id", pg.UUID(as_uuid=True), ForeignKey("orders.id"), nullable=False),
    Column("charge_id", pg.UUID(as_uuid=True), ForeignKey("charges.id"), nullable=False),
    Column("producer_key", BYTEWISE, comment="null: made at Stripe past us, and adopted"),
    Column("idempotency_key", BYTEWISE, comment="the key on the wire to Stripe, of this try (R1); null: unopened"),
    Column("amount_minor", sa.BigInteger, nullable=False),
    Column("currency", sa.Text, nullable=False),
    Column("reason", sa.Text),
    Column("metadata", pg.JSONB, nullable=False, server_default=text("'{}'")),
    Column("status", sa.Text, nullable=False, server_default="pending"),
    Column("stripe_refund_id", sa.Text),
    time_column("stripe_created", default=False, nullable=True),
    Column(
        "drawn_minor", sa.BigInteger, nullable=False, server_default="0", comment="of the amount, what was owed before"
    ),
    # Fixed when they are first known, so that a repeat books the same. Null: the charge is settled in its own currency,
    # or Stripe has not shown yet in which one.
    Column("promised_settled_minor", sa.BigInteger, comment="what is promised anew, at the charge's rate"),
    Column("drawn_settled_minor", sa.BigInteger, comment="what was owed before, at the charge's rate"),
    Column("balance_transaction_id", sa.Text, comment="that took the money from Stripe's balance"),
    Column("failure_transaction_id", sa.Text, comment="that brought it back"),
    *effect_columns(),
    UniqueConstraint("account_id", "producer_key"),
    UniqueConstraint("account_id", "idempotency_key"),
    UniqueConstraint("account_id", "stripe_refund_id"),
    # Lists, newest first: ids are UUIDv7. Those of one order, and of one state.
    Index("refunds_by_account", "account_id", "id"),
    Index("refunds_by_order", "order_id", "id"),
    Index("refunds_by_status", "account_id", "status", "id"),
    Index("refunds_by_time", "created_at", postgresql_using="brin"),
    Index("refunds_by_stripe_time", "stripe_created", postgresql_using="brin"),
    CheckConstraint("amount_minor > 0", name="amount_positive"),
    CheckConstraint("drawn_minor BETWEEN 0 AND amount_minor", name="drawn_within_amount"),
    one_of("status", REFUND_STATUSES, "status_known"),
    one_of("next_call", NEXT_CALLS, "next_call_known"),
    comment="Money to be given back, in whole or in part; committed before the call.",
)
