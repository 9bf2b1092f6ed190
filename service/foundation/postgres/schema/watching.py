"""Who did what, who may look at the console, and counts that outlive the processes that counted."""

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, Column, Index, Table
from sqlalchemy.dialects import postgresql as pg

from service.foundation.postgres.schema.columns import metadata, one_of, time_column, uuid_column

AUDIT_VIA = ("cli", "console", "api")
CONSOLE_ROLES = ("read", "operate")

audit = Table(
    "audit",
    metadata,
    uuid_column("id", primary_key=True),
    time_column("at"),
    Column("actor", sa.Text, nullable=False, comment="the user of the machine, of the console's link, or the API key"),
    Column("via", sa.Text, nullable=False),
    Column("action", sa.Text, nullable=False, comment="outbox.retry, order.fail, key.revoke, …"),
    Column("subject", sa.Text, nullable=False, comment="id of what it was done to"),
    Column("order_id", pg.UUID(as_uuid=True), comment="the order that the subject belongs to"),
    Column("reason", sa.Text),
    Column("before", pg.JSONB, comment="what the action changed, as it was"),
    Column("after", pg.JSONB, comment="and as it is since"),
    Index("audit_by_time", "at"),
    Index("audit_by_subject", "subject", "at"),
    Index("audit_by_order", "order_id", postgresql_where=sa.text("order_id IS NOT NULL")),
    one_of("via", AUDIT_VIA, "via_known"),
    comment="Every action of an operator, written in the transaction that does it, and never changed.",
)

console_links = Table(
    "console_links",
    metadata,
    Column("hmac", sa.LargeBinary, primary_key=True, comment="HMAC-SHA256 of the link's secret, which is shown once"),
    Column("actor", sa.Text, nullable=False, comment="who opens the console by it"),
    Column("role", sa.Text, nullable=False),
    time_column("created_at"),
    time_column("expires_at", default=False),
    time_column("used_at", default=False, nullable=True),
    one_of("role", CONSOLE_ROLES, "role_known"),
    comment="Links that open the console once.",
)

console_sessions = Table(
    "console_sessions",
    metadata,
    Column("hmac", sa.LargeBinary, primary_key=True, comment="HMAC-SHA256 of the cookie"),
    Column("actor", sa.Text, nullable=False),
    Column("role", sa.Text, nullable=False),
    time_column("created_at"),
    time_column("expires_at", default=False),
    time_column("ended_at", default=False, nullable=True),
    Index("console_sessions_by_end", "expires_at"),
    one_of("role", CONSOLE_ROLES, "role_known"),
    comment="Browsers that opened the console by a link.",
)

tallies = Table(
    "tallies",
    metadata,
    Column("name", sa.Text, primary_key=True, comment="duplicates_absorbed, …"),
    Column("label", sa.Text, primary_key=True, comment="the guard that absorbed it, …"),
    Column("value", sa.BigInteger, nullable=False),
    CheckConstraint("value >= 0", name="value_not_negative"),
    comment="Counts of the fleet. Each process adds what it counted every few seconds; its last ones die with it.",
)

tally_writers = Table(
    "tally_writers",
    metadata,
    uuid_column("process", primary_key=True),
    Column("batch", sa.BigInteger, nullable=False, comment="the last batch that it added"),
    time_column("added_at"),
    comment="What each process has added to the tallies, so that a batch whose answer was lost is not added twice.",
)

absorptions = Table(
    "absorptions",
    metadata,
    uuid_column("id", primary_key=True),
    # No foreign key: what is shown of an order must not hold the order's row, nor keep a batch from being counted.
    uuid_column("order_id"),
    Column("guard", sa.Text, nullable=False),
    Column("times", sa.Integer, nullable=False),
    Column("process", sa.Text, nullable=False, comment="its kind, machine and number"),
    time_column("at", default=False),
    Index("absorptions_by_order", "order_id", "at"),
    Index("absorptions_by_time", "at"),
    CheckConstraint("times > 0", name="times_positive"),
    comment="Duplicates of an order that a guard absorbed: to be shown, a few of each order, for some days.",
)
