"""What Stripe tells: events, disputes, payouts, each movement of its balance, and how far its lists are read."""

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Table, text
from sqlalchemy.dialects import postgresql as pg

from service.foundation.postgres.schema.columns import BYTEWISE, metadata, one_of, time_column, uuid_column
from service.states import DISPUTE_STATUSES, MOVEMENT_OPEN, MOVEMENT_STATUSES, PAYOUT_STATUSES, in_sql

EVENT_SOURCES = ("webhook", "sync")

stripe_events = Table(
    "stripe_events",
    metadata,
    Column("id", BYTEWISE, primary_key=True, comment="Stripe's id of the event; a repeat finds it here"),
    Column("type", sa.Text, nullable=False),
    Column("object_id", BYTEWISE, comment="the object that it makes dirty; null: it names none"),
    Column("thin", sa.Boolean, nullable=False, comment="it carries no object, only its id"),
    Column("source", sa.Text, nullable=False, comment="webhook: delivered; sync: fetched"),
    Column("kept", pg.JSONB, nullable=False, server_default=text("'{}'"), comment="allow-listed fields (R30)"),
    time_column("stripe_created", default=False),
    time_column("received_at"),
    Column("received", sa.Integer, nullable=False, server_default="1", comment="how often it was delivered"),
    time_column("settled_at", default=False, nullable=True),
    time_column("look_at"),
    Column("looks", sa.SmallInteger, nullable=False, server_default="0", comment="looks that did not settle it"),
    Column("note", sa.Text, comment="why it is not settled, or what it changed nothing for"),
    # What is dirty leaves this index when it is settled, so it stays as small as what waits.
    Index("stripe_events_dirty", "look_at", postgresql_where=text("settled_at IS NULL")),
    Index("stripe_events_by_object", "object_id"),
    Index("stripe_events_by_time", "received_at", postgresql_using="brin"),
    one_of("source", EVENT_SOURCES, "source_known"),
    comment="The inbox: each event of Stripe's once. A hint that its object is to be read (R38), never a fact.",
)

sweeps = Table(
    "sweeps",
    metadata,
    Column("kind", sa.Text, primary_key=True, comment="the list of Stripe's that is swept"),
    time_column("swept_until", default=False),
    time_column("swept_at", default=False),
    Column("note", sa.Text, comment="why the last sweep was not complete"),
    comment="How far each of Stripe's lists is read, by Stripe's clock; the next sweep begins a little before.",
)

balance_transactions = Table(
    "balance_transactions",
    metadata,
    Column("id", BYTEWISE, primary_key=True),
    Column("type", sa.Text, nullable=False),
    Column("category", sa.Text, nullable=False, comment="Stripe's reporting_category"),
    Column("balance_type", sa.Text, nullable=False, server_default="payments", comment="which of Stripe's balances"),
    Column("source", BYTEWISE, comment="the charge, refund, dispute or payout that moved the money"),
    Column("amount_minor", sa.BigInteger, nullable=False),
    Column("fee_minor", sa.BigInteger, nullable=False),
    Column("net_minor", sa.BigInteger, nullable=False),
    Column("currency", sa.Text, nullable=False, comment="of Stripe's balance, not the customer's"),
    time_column("stripe_created", default=False),
    time_column("available_on", default=False, nullable=True),
    Column("status", sa.Text, nullable=False, server_default="waiting"),
    Column("why", sa.Text, comment="why it waits, or stands in suspense"),
    uuid_column("account_id", nullable=True),
    uuid_column("order_id", nullable=True),
    Column("payout_id", BYTEWISE, comment="the payout that it is part of"),
    time_column("seen_at"),
    time_column("look_at"),
    # What has no booking of its own yet, or stands in suspense: looked at again, and read by a human.
    Index(
        "balance_transactions_open",
        "look_at",
        postgresql_where=text(f"status IN {in_sql(MOVEMENT_OPEN)}"),
    ),
    Index("balance_transactions_by_source", "source"),
    Index(
        "balance_transactions_by_payout",
        "payout_id",
        "stripe_created",
        "id",
        postgresql_where=text("payout_id IS NOT NULL"),
    ),
    Index("balance_transactions_by_time", "stripe_created", postgresql_using="brin"),
    one_of("status", MOVEMENT_STATUSES, "status_known"),
    comment="Each movement of Stripe's balance once: booked, or in suspense, so that both balances are equal.",
)

settlement_currencies = Table(
    "settlement_currencies",
    metadata,
    Column("currency", sa.Text, primary_key=True, comment="in which customers pay"),
    Column("settles_in", sa.Text, nullable=False, comment="in which Stripe's balance gets it"),
    Column("seen_in", BYTEWISE, nullable=False, comment="the newest balance transaction that shows it"),
    Column("seen_at", sa.DateTime(timezone=True), nullable=False, comment="when that one was made"),
    comment="What balance transactions have shown: where it is another currency, a charge is booked by its own alone.",
)

disputes = Table(
    "disputes",
    metadata,
    Column("id", BYTEWISE, primary_key=True, comment="Stripe's id"),
    uuid_column("account_id"),
    Column("order_id", pg.UUID(as_uuid=True), ForeignKey("orders.id"), nullable=False),
    Column("charge_id", pg.UUID(as_uuid=True), ForeignKey("charges.id"), nullable=False),
    Column("status", sa.Text, nullable=False),
    Column("reason", sa.Text),
    Column("amount_minor", sa.BigInteger, nullable=False, comment="in the customer's currency"),
    Column("currency", sa.Text, nullable=False),
    Column("is_charge_refundable", sa.Boolean, nullable=False, server_default=sa.false()),
    time_column("evidence_due_by", default=False, nullable=True),
    Column("history", pg.JSONB, nullable=False, server_default=text("'[]'"), comment="one small entry per state"),
    time_column("stripe_created", default=False),
    time_column("created_at"),
    time_column("updated_at"),
    Index("disputes_by_account", "account_id", "stripe_created", "id"),
    Index("disputes_by_order", "order_id"),
    Index("disputes_by_charge", "charge_id"),
    Index("disputes_by_time", "stripe_created", postgresql_using="brin"),
    CheckConstraint("amount_minor >= 0", name="amount_not_negative"),
    one_of("status", DISPUTE_STATUSES, "status_known"),
    comment="A payment that its customer disputes at the bank, as Stripe shows it.",
)

fraud_warnings = Table(
    "fraud_warnings",
    metadata,
    Column("id", BYTEWISE, primary_key=True, comment="Stripe's id"),
    uuid_column("account_id"),
    Column("order_id", pg.UUID(as_uuid=True), ForeignKey("orders.id"), nullable=False),
    Column("charge_id", pg.UUID(as_uuid=True), ForeignKey("charges.id"), nullable=False),
    Column("fraud_type", sa.Text, nullable=False),
    Column("actionable", sa.Boolean, nullable=False, comment="a full refund now would still prevent a dispute"),
    time_column("stripe_created", default=False),
    time_column("created_at"),
    Index("fraud_warnings_by_order", "order_id"),
    Index("fraud_warnings_by_time", "stripe_created", postgresql_using="brin"),
    comment="What a card's bank believes to be fraud, before anybody disputes it.",
)

payouts = Table(
    "payouts",
    metadata,
    Column("id", BYTEWISE, primary_key=True, comment="Stripe's id"),
    uuid_column("account_id"),
    Column("status", sa.Text, nullable=False),
    Column("amount_minor", sa.BigInteger, nullable=False, comment="negative where Stripe takes money from the bank"),
    Column("currency", sa.Text, nullable=False),
    Column("arrival_date", sa.Date, nullable=False),
    Column("automatic", sa.Boolean, nullable=False, comment="only of these does Stripe say what is in them"),
    Column("method", sa.Text, nullable=False),
    Column("trace_id", sa.Text, comment="by which the bank finds it"),
    Column("reconciliation_status", sa.Text, comment="completed: its balance transactions can be listed"),
    Column("failure", pg.JSONB),
    Column("balance_transaction_id", BYTEWISE),
    Column("failure_transaction_id", BYTEWISE, comment="that brought the money back"),
    time_column("listed_at", default=False, nullable=True),
    Column("history", pg.JSONB, nullable=False, server_default=text("'[]'"), comment="one small entry per state"),
    time_column("stripe_created", default=False),
    time_column("created_at"),
    time_column("updated_at"),
    Index("payouts_by_account", "account_id", "stripe_created", "id"),
    Index("payouts_unlisted", "id", postgresql_where=text("listed_at IS NULL AND automatic")),
    Index("payouts_by_time", "stripe_created", postgresql_using="brin"),
    one_of("status", PAYOUT_STATUSES, "status_known"),
    comment="Money that leaves Stripe's balance for the bank, of the whole installation: the default account's.",
)
