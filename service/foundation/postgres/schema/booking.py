"""The double-entry ledger: its accounts, entries and postings, and the sums that keep a balance cheap to read."""

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, Column, Index, Table, UniqueConstraint, text
from sqlalchemy.dialects import postgresql as pg

from service.foundation.postgres.schema.columns import BYTEWISE, Xid8, metadata, one_of, time_column, uuid_column

# contra_income: what reduces income, kept apart, so that gross income stays a number of its own.
# equity: what was at Stripe before these books began.
LEDGER_TYPES = ("asset", "liability", "equity", "income", "contra_income", "expense", "suspense")

ledger_accounts = Table(
    "ledger_accounts",
    metadata,
    Column("id", sa.Integer, sa.Identity(always=True), primary_key=True),
    uuid_column("account_id"),
    Column("code", sa.Text, nullable=False),
    Column("currency", sa.Text, nullable=False),
    Column("type", sa.Text, nullable=False),
    UniqueConstraint("account_id", "code", "currency"),
    one_of("type", LEDGER_TYPES, "type_known"),
    comment="The chart: one account per code and currency, made when first used, never changed.",
)

journal_entries = Table(
    "journal_entries",
    metadata,
    uuid_column("id", primary_key=True),
    uuid_column("account_id"),
    Column("reference", BYTEWISE, nullable=False, comment="natural key of Stripe's object id, e.g. charge:ch_…"),
    Column("kind", sa.Text, nullable=False),
    Column("digest", sa.LargeBinary, nullable=False, comment="SHA-256 of the entry's content, compared on a repeat"),
    Column("order_id", pg.UUID(as_uuid=True)),
    Column("payment_intent_id", sa.Text),
    Column("customer_minor", sa.BigInteger, comment="what the customer paid or got, where Stripe settled otherwise"),
    Column("customer_currency", sa.Text),
    time_column("occurred_at", default=False),
    time_column("created_at"),
    Column("xid", Xid8, nullable=False, server_default=text("pg_current_xact_id()")),
    # P6, every movement booked once: this index, and it never expires.
    UniqueConstraint("account_id", "reference"),
    Index("journal_entries_by_order", "order_id"),
    comment="One balanced booking. Append-only: no grant and triggers.",
)

postings = Table(
    "postings",
    metadata,
    uuid_column("entry_id", primary_key=True),
    Column("line", sa.SmallInteger, primary_key=True, autoincrement=False),
    Column("ledger_account_id", sa.Integer, nullable=False),
    Column("currency", sa.Text, nullable=False),
    Column("amount_minor", sa.BigInteger, nullable=False, comment="debit > 0, credit < 0"),
    time_column("occurred_at", default=False),
    Column("xid", Xid8, nullable=False, server_default=text("pg_current_xact_id()")),
    # What came after the rollup's horizon. By transaction id: by time or max(id) a slow transaction would be missed.
    Index("postings_by_xid", "xid"),
    # A day's postings for a balance at an instant; they lie together on disk, so a tiny block-range index does.
    Index("postings_by_time", "occurred_at", postgresql_using="brin"),
    CheckConstraint("amount_minor <> 0", name="amount_not_zero"),
    comment="The legs of an entry. Their sum is zero per entry and currency; a trigger holds it.",
)

ledger_rollups = Table(
    "ledger_rollups",
    metadata,
    Column("ledger_account_id", sa.Integer, primary_key=True, autoincrement=False),
    Column("day", sa.Date, primary_key=True, comment="UTC day of occurred_at"),
    Column("debit_minor", sa.BigInteger, nullable=False),
    Column("credit_minor", sa.BigInteger, nullable=False, comment="a positive number"),
    comment="Sums of postings older than ledger_horizon, so that a balance read stays cheap. Derived; can be rebuilt.",
)

ledger_horizon = Table(
    "ledger_horizon",
    metadata,
    Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    Column(
        "xid", Xid8, nullable=False, comment="postings with a smaller xid are in ledger_rollups, all others are not"
    ),
    CheckConstraint("id = 1", name="one_row"),
    comment="One row: up to which transaction the rollups reach.",
)
