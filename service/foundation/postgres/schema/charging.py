"""Attempts to charge: one row each, written before the call to Stripe."""

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Table, UniqueConstraint, text
from sqlalchemy.dialects import postgresql as pg

from service.foundation.postgres.schema.columns import BYTEWISE, metadata, one_of, time_column, uuid_column
from service.states import CHARGE_MONEY_MOVED, CHARGE_STATUSES, NEXT_CALLS, in_sql

charges = Table(
    "charges",
    metadata,
    uuid_column("id", primary_key=True),
    uuid_column("account_id"),
    Column("order_id", pg.UUID(as_uuid=True), ForeignKey("orders.id"), nullable=False),
    Column("attempt", sa.SmallInteger, nullable=False),
    Column("idempotency_key", BYTEWISE, nullable=False, comment="the key on the wire to Stripe (R1)"),
    Column("amount_minor", sa.BigInteger, nullable=False),
    Column("captured_minor", sa.BigInteger, comment="what was taken, where that is less than the amount"),
    Column("currency", sa.Text, nullable=False),
    Column("status", sa.Text, nullable=False),
    Column("next_call", sa.Text, nullable=False, server_default="send", comment="what the next delivery asks Stripe"),
    # `json` keeps bytes and order; every send is made from it, so a re-send can never drift from the first.
    Column("request", pg.JSON, nullable=False, comment="exact parameters in sending order"),
    Column(
        "stripe_version", sa.Text, nullable=False, comment="a re-send under another version is another request (R30)"
    ),
    Column("token", pg.UUID(as_uuid=True), comment="of the worker that may settle; fresh at every open (R13, R21)"),
    time_column("lease_until", default=False, nullable=True),
    # True from the commit before a send until an answer proves that nothing ran (R16).
    Column("maybe_executed", sa.Boolean, nullable=False),
    time_column("first_sent_at", default=False, nullable=True),
    time_column("last_sent_at", default=False, nullable=True),
    Column(
        "unclear_in_a_row",
        sa.SmallInteger,
        nullable=False,
        server_default="0",
        comment="unclear answers in a row (R18)",
    ),
    # No default: an open that does not know its life (a worker of an older version) must fail (R31).
    Column(
        "life", sa.Integer, nullable=False, comment="the verified life of the database under which it was last opened"
    ),
    Column(
        "key_conflict",
        sa.Boolean,
        nullable=False,
        server_default=sa.false(),
        comment="Stripe has this key for another request: never posted again (R32)",
    ),
    Column("payment_intent_id", sa.Text),
    Column("stripe_charge_id", sa.Text),
    time_column("stripe_created", default=False, nullable=True),
    Column("charged_at", sa.DateTime(timezone=True), comment="Stripe's moment of the success; null before 0006"),
    Column("balance_transaction_id", sa.Text, comment="set when the movement is booked (R24)"),
    Column("fee_look_at", sa.DateTime(timezone=True), comment="of versions before 0013; nobody reads it"),
    Column("settlement_currency", sa.Text, comment="in which Stripe's balance got it, where that is not the charge's"),
    Column(
        "settled_minor", sa.BigInteger, comment="what it got in that currency, and is booked; null: not booked so yet"
    ),
    Column(
        "polls",
        sa.Integer,
        nullable=False,
        server_default="0",
        comment="calls since the last entry of history that brought the same answer",
    ),
    Column("failure", pg.JSONB),
    # One small entry per send and per answer that brought news.
    Column("history", pg.JSONB, nullable=False, server_default=text("'[]'"), comment="one small entry per call"),
    time_column("created_at"),
    time_column("updated_at"),
    # The guard of P3: whoever inserts owns the first call; everybody else finds the row.
    UniqueConstraint("account_id", "idempotency_key"),
    UniqueConstraint("order_id", "account_id", "attempt"),  # the order first: a worker asks for charges by their orders
    UniqueConstraint("account_id", "payment_intent_id"),
    # The last line: whatever went wrong above, one order has one success.
    Index("charges_one_success", "account_id", "order_id", unique=True, postgresql_where=text("status = 'succeeded'")),
    # A reconciliation's window, as for orders: next to no cost per insert, and none per update.
    Index("charges_by_time", "created_at", postgresql_using="brin"),
    # What this database knows of a listing's window: laid down by time, so a tiny index does (R35).
    Index("charges_by_stripe_time", "stripe_created", postgresql_using="brin"),
    # Charges whose movement of Stripe's balance was not seen yet, found by what that movement names.
    Index(
        "charges_movement_due",
        "stripe_charge_id",
        postgresql_where=text(f"status IN {in_sql(CHARGE_MONEY_MOVED)} AND balance_transaction_id IS NULL"),
    ),
    CheckConstraint("amount_minor > 0", name="amount_positive"),
    one_of("status", CHARGE_STATUSES, "status_known"),
    one_of("next_call", NEXT_CALLS, "next_call_known"),
    postgresql_with={"fillfactor": "70"},
    comment="One row per attempt to charge; committed before the call, so a crash cannot forget that one may have run.",
)

undated_charges = Table(
    "undated_charges",
    metadata,
    uuid_column("charge_id", primary_key=True),
    time_column("look_at"),
    comment="Booked before 0006, perhaps under another moment than the charge's: to be asked for, and corrected.",
)
