"""What we tell producers: where each of their endpoints is, and every notice that is owed to it (R39)."""

import sqlalchemy as sa
from sqlalchemy import Column, ForeignKey, Index, Table, UniqueConstraint, text
from sqlalchemy.dialects import postgresql as pg

from service.foundation.postgres.schema.columns import BYTEWISE, metadata, one_of, time_column, uuid_column
from service.states import NOTICE_FORGOTTEN, NOTICE_STATUSES, in_sql

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    uuid_column("id", primary_key=True),
    uuid_column("account_id"),
    Column("idempotency_key", BYTEWISE, nullable=False),
    Column("fingerprint", sa.LargeBinary, nullable=False, comment="version byte + SHA-256 of the validated request"),
    Column("url", sa.Text, nullable=False),
    Column("events", pg.ARRAY(sa.Text), nullable=False, comment="the types of notices that it is sent"),
    Column("rolls", sa.SmallInteger, nullable=False, server_default="0", comment="its secret is derived with this"),
    # A receiver that fails for minutes gets one notice at a time, with pauses; a success ends that.
    Column("failures", sa.Integer, nullable=False, server_default="0", comment="tries in a row that failed"),
    time_column("failing_since", default=False, nullable=True),
    time_column("resting_until", default=False, nullable=True),
    time_column("gone_at", default=False, nullable=True),  # it answered 410, so it is sent nothing any more
    time_column("deleted_at", default=False, nullable=True),
    time_column("created_at"),
    UniqueConstraint("account_id", "idempotency_key"),
    # Asked by every statement that makes a fact true: does anybody of this account listen?
    Index("webhook_endpoints_heard", "account_id", postgresql_where=text("deleted_at IS NULL AND gone_at IS NULL")),
    Index("webhook_endpoints_by_account", "account_id", "id"),
    comment="Where a producer is told what happens. Its secret is stored nowhere: it is derived.",
)

endpoint_rolls = Table(
    "endpoint_rolls",
    metadata,
    uuid_column("id", primary_key=True),
    uuid_column("account_id"),
    Column("endpoint_id", pg.UUID(as_uuid=True), ForeignKey("webhook_endpoints.id"), nullable=False),
    Column("idempotency_key", BYTEWISE, nullable=False),
    Column("nth", sa.SmallInteger, nullable=False, comment="the secret's number from this roll on"),
    time_column("created_at"),
    UniqueConstraint("account_id", "idempotency_key"),
    UniqueConstraint("endpoint_id", "nth"),
    comment="Each roll of an endpoint's secret, once per key. The secret before signs too, for a day.",
)

notices = Table(
    "notices",
    metadata,
    uuid_column("id", primary_key=True),
    uuid_column("account_id"),
    uuid_column("endpoint_id"),  # without a foreign key: each notice would lock the one row of its endpoint
    Column("webhook_id", BYTEWISE, nullable=False, comment="made of account, type, object and fact: always the same"),
    Column("type", sa.Text, nullable=False),
    Column("object_id", BYTEWISE, nullable=False),
    uuid_column("order_id", nullable=True),
    Column("body", sa.Text, nullable=False, comment="as it is sent, made when the fact became true"),
    Column("status", sa.Text, nullable=False, server_default="pending"),
    # In hand, a worker sends it; where nothing comes of that, it is due again at `deliver_after`.
    Column("in_hand", sa.Boolean, nullable=False, server_default=sa.false()),
    time_column("deliver_after"),
    time_column("promised_at"),  # when it was made, or resent by hand: it is tried for three days from then
    Column("tries", sa.SmallInteger, nullable=False, server_default="0"),
    Column("answer", sa.Text, comment="of the last try: its HTTP status, or our word for what went wrong"),
    time_column("tried_at", default=False, nullable=True),
    time_column("ended_at", default=False, nullable=True),
    time_column("created_at"),
    # A fact is told once to each endpoint, whoever finds it how often.
    UniqueConstraint("account_id", "endpoint_id", "webhook_id"),
    # Each endpoint is a lane of its own: what is due in it, and how much of it is in hand.
    Index("notices_due", "endpoint_id", "deliver_after", postgresql_where=text("status = 'pending'")),
    Index("notices_in_hand", "endpoint_id", postgresql_where=text("status = 'pending' AND in_hand")),
    # Is anything due at all, and what is too old?
    Index("notices_next", "deliver_after", postgresql_where=text("status = 'pending'")),
    Index("notices_oldest", "promised_at", postgresql_where=text("status = 'pending'")),
    Index("notices_parked", "id", postgresql_where=text("status = 'parked'")),
    # What is deleted some day, the oldest first.
    Index("notices_ended", "ended_at", postgresql_where=text(f"status IN {in_sql(NOTICE_FORGOTTEN)}")),
    Index("notices_by_order", "order_id", postgresql_where=text("order_id IS NOT NULL")),
    one_of("status", NOTICE_STATUSES, "status_known"),
    # Rows come and go in the partial indexes, as those of the outbox do.
    postgresql_with={"fillfactor": "70", "autovacuum_vacuum_scale_factor": "0.02"},
    comment="The outbox of notices: one per endpoint and fact, written in the transaction that makes the fact true.",
)
