"""Orders, what is asked of them later, and the outbox: the rows that wait until an effect is booked."""

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Table, UniqueConstraint, text
from sqlalchemy.dialects import postgresql as pg

from service.foundation.postgres.schema.columns import BYTEWISE, metadata, one_of, time_column, uuid_column
from service.states import ORDER_STATUSES

CAPTURES = ("automatic", "manual")
OPERATIONS = ("capture", "cancel", "pay", "refund")

orders = Table(
    "orders",
    metadata,
    uuid_column("id", primary_key=True),
    uuid_column("account_id"),
    Column("idempotency_key", BYTEWISE, nullable=False),
    Column("fingerprint", sa.LargeBinary, nullable=False, comment="version byte + SHA-256 of the validated request"),
    Column("amount_minor", sa.BigInteger, nullable=False),
    Column("currency", sa.Text, nullable=False),
    Column("payment_method", sa.Text),  # null: brought back from Stripe, which did not say
    Column("customer", sa.Text),
    Column("description", sa.Text),
    Column("metadata", pg.JSONB, nullable=False, server_default=text("'{}'")),
    Column("status", sa.Text, nullable=False, server_default="pending"),
    Column("capture", sa.Text, nullable=False, server_default="automatic"),
    Column("attempt", sa.SmallInteger, nullable=False, server_default="1", comment="the newest attempt that is wanted"),
    Column("amount_captured_minor", sa.BigInteger, comment="where less than all of it was taken"),
    Column(
        "amount_refunded_minor", sa.BigInteger, nullable=False, server_default="0", comment="refunds that succeeded"
    ),
    Column("amount_refunding_minor", sa.BigInteger, nullable=False, server_default="0", comment="refunds under way"),
    Column(
        "amount_owed_minor",
        sa.BigInteger,
        nullable=False,
        server_default="0",
        comment="of refunds that failed: booked as payable, to be drawn down by the next one",
    ),
    Column("amount_disputed_minor", sa.BigInteger, nullable=False, server_default="0"),
    Column("payment_intent_id", sa.Text),
    Column("failure", pg.JSONB, comment='{"code","decline_code","message"} of the last definitive decline'),
    time_column("created_at"),
    time_column("updated_at"),
    # P2, one key one order: the memory is this index, and it never expires.
    UniqueConstraint("account_id", "idempotency_key"),
    # Lists, newest first: ids are UUIDv7, so their order is the order of time.
    Index("orders_by_account", "account_id", "id"),
    # The list of one state, whichever is rare. It costs an order 20 us of CPU and 0.7 kB of WAL: a status in an index,
    # also in the condition of a partial one, ends HOT updates; for half of them the page was too full before, too.
    Index("orders_by_status", "account_id", "status", "id"),
    # A reconciliation's window. Rows lie on disk in the order they came, so a tiny block-range index finds a day's.
    Index("orders_by_time", "created_at", postgresql_using="brin"),
    CheckConstraint("amount_minor > 0", name="amount_positive"),
    # The last line against more back than was taken: what succeeded, whoever asked for it (R26).
    CheckConstraint(
        "amount_refunded_minor BETWEEN 0 AND coalesce(amount_captured_minor, amount_minor)",
        name="refunded_within_captured",
    ),
    CheckConstraint("amount_captured_minor BETWEEN 1 AND amount_minor", name="captured_within_amount"),
    CheckConstraint("amount_refunding_minor >= 0 AND amount_owed_minor >= 0", name="counts_not_negative"),
    one_of("capture", CAPTURES, "capture_known"),
    one_of("status", ORDER_STATUSES, "status_known"),
    # Room in the page, so that the two status updates of an order stay in it.
    postgresql_with={"fillfactor": "80"},
    comment="What a producer asked for, once per (account, idempotency key).",
)

operations = Table(
    "operations",
    metadata,
    uuid_column("id", primary_key=True),
    uuid_column("account_id"),
    Column("operation", sa.Text, nullable=False),
    Column("idempotency_key", BYTEWISE, nullable=False),
    uuid_column("order_id"),
    Column("fingerprint", sa.LargeBinary, nullable=False, comment="version byte + SHA-256 of the validated request"),
    Column("answered", sa.SmallInteger, nullable=False, comment="HTTP status of the first answer; a replay has it too"),
    time_column("created_at"),
    # One key, one operation, for ever: insert-first under this index. Each operation has a key space of its own.
    UniqueConstraint("account_id", "operation", "idempotency_key"),
    Index("operations_by_order", "order_id"),
    one_of("operation", OPERATIONS, "operation_known"),
    comment="What a producer asked to be done with an order after it was placed, once per key.",
)

order_aliases = Table(
    "order_aliases",
    metadata,
    uuid_column("id", primary_key=True),
    uuid_column("account_id"),
    Column("order_id", pg.UUID(as_uuid=True), ForeignKey("orders.id"), nullable=False),
    time_column("created_at"),
    comment="Ids under which forgotten orders were known before their producer repeated them under the same key.",
)

outbox = Table(
    "outbox",
    metadata,
    uuid_column("id", primary_key=True),
    uuid_column("account_id"),
    uuid_column("order_id"),
    Column("kind", sa.Text, nullable=False),
    Column("payload", pg.JSONB, nullable=False, server_default=text("'{}'")),
    Column("headers", pg.JSONB, nullable=False, server_default=text("'{}'")),
    time_column("created_at"),
    time_column("deliver_after"),
    # Above 0 the event is out: handed to the broker and not yet answered for. A worker's answer sets it back.
    Column(
        "published",
        sa.Integer,
        nullable=False,
        server_default="0",
        comment="times handed to the broker since the last answer",
    ),
    Column("deliveries", sa.Integer, nullable=False, server_default="0", comment="opens, not publishes (R10)"),
    Column(
        "opens_unsettled",
        sa.Integer,
        nullable=False,
        server_default="0",
        comment="opens since the last settle; a poison's count",
    ),
    Column(
        "opens_alone",
        sa.Integer,
        nullable=False,
        server_default="0",
        comment="of opens_unsettled, those in a process that had nothing else open",
    ),
    Column("last_error", sa.Text),
    time_column("parked_at", default=False, nullable=True),
    # What is due: for the first time, and again. Rows leave when their effect is on the books, so these stay as small
    # as the backlog. Two, because whoever looks for what is due again would read the whole backlog in one.
    Index("outbox_fresh", "deliver_after", postgresql_where=text("parked_at IS NULL AND published = 0")),
    Index("outbox_out", "deliver_after", postgresql_where=text("parked_at IS NULL AND published > 0")),
    Index("outbox_parked", "parked_at", postgresql_where=text("parked_at IS NOT NULL")),
    Index("outbox_by_order", "order_id"),
    postgresql_with={
        "fillfactor": "70",
        "autovacuum_vacuum_scale_factor": "0.01",
        "autovacuum_vacuum_threshold": "500",
        "autovacuum_vacuum_cost_delay": "0",
    },
    comment="A promise per row. It stays until the effect is booked; publishing only hides it for a while.",
)
