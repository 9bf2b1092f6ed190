"""Who places orders, what this installation is bound to, and the lives and duties of its database."""

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, Column, Index, Table, func, text
from sqlalchemy.dialects import postgresql as pg

from service.foundation.postgres.schema.columns import metadata, time_column, uuid_column

accounts = Table(
    "accounts",
    metadata,
    uuid_column("id", primary_key=True),
    Column("name", sa.Text, nullable=False, unique=True),
    # The default account's first attempts use the producer's key verbatim at Stripe (R1).
    Column("is_default", sa.Boolean, nullable=False, server_default=sa.false()),
    time_column("created_at"),
    Index("accounts_one_default", "is_default", unique=True, postgresql_where=text("is_default")),
    comment="Who places orders. Accounts see nothing of each other.",
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", sa.Text, primary_key=True, comment="public id, safe to print and log"),
    uuid_column("account_id"),
    Column(
        "hmac",
        sa.LargeBinary,
        nullable=False,
        unique=True,
        comment="HMAC-SHA256 of the key; the key itself is shown once",
    ),
    Column("last4", sa.Text, nullable=False),
    Column("scopes", pg.ARRAY(sa.Text), nullable=False, server_default=text("'{admin}'")),
    time_column("created_at"),
    time_column("expires_at", default=False, nullable=True),
    time_column("last_used_at", default=False, nullable=True),  # within a minute, so that a use costs no write
    time_column("revoked_at", default=False, nullable=True),
    Column("replaces", sa.Text, comment="the key that this one was rolled from"),
    Column("rps", sa.Integer, comment="its own limit of requests per second; null: EO_RATE_LIMIT_RPS"),
    Index("api_keys_by_replaced", "replaces", postgresql_where=text("replaces IS NOT NULL")),
    CheckConstraint("cardinality(scopes) > 0", name="scopes_not_empty"),
    CheckConstraint("rps > 0", name="rps_positive"),
    sa.ForeignKeyConstraint(["account_id"], ["accounts.id"]),
    comment="Bearer keys of the API. Found by their HMAC, so a copied table opens no door.",
)

instance = Table(
    "instance",
    metadata,
    Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    Column("hmac_key", sa.LargeBinary, nullable=False, comment="keys the HMAC of api_keys"),
    # R27: the database remembers its Stripe; a process configured for another one refuses to run.
    Column("stripe_account_id", sa.Text),
    Column("stripe_livemode", sa.Boolean),
    time_column("created_at"),
    Column(
        "uuid",
        pg.UUID(as_uuid=True),
        nullable=False,
        server_default=func.gen_random_uuid(),
        comment="eo_instance in the metadata of what this installation makes at Stripe",
    ),
    Column("app_role", sa.Text, comment="for whom rights were given here; null: the role could not be made"),
    Column(
        "balance_opened_at",
        sa.DateTime(timezone=True),
        comment="when what was in Stripe's balance before was booked, or found to be nothing",
    ),
    CheckConstraint("id = 1", name="one_row"),
    comment="One row: what this installation is bound to.",
)

lives = Table(
    "lives",
    metadata,
    Column("id", sa.Integer, sa.Identity(always=True), primary_key=True),
    Column("identity", sa.Text, nullable=False, unique=True, comment="database_identity() in that life"),
    time_column("seen_at"),
    Column(
        "bound",
        sa.DateTime(timezone=True),
        nullable=False,
        comment="what Stripe did before is known here; frozen when the life is first seen",
    ),
    Column(
        "margin",
        pg.INTERVAL,
        nullable=False,
        comment="longest lease ever + call timeout + clock skew: how long a worker of an earlier life may still send",
    ),
    Column(
        "verified_until",
        sa.DateTime(timezone=True),
        nullable=False,
        server_default=text("'-infinity'"),
        comment="sending is allowed until then; infinity: closed by a second listing",
    ),
    Column(
        "heartbeat_at", sa.DateTime(timezone=True), comment="a moment up to which this verified life surely remembers"
    ),
    Column("verifier", pg.UUID(as_uuid=True), comment="who lists now"),
    time_column("verifier_until", default=False, nullable=True),
    Column("found", pg.JSONB, comment="what the listings brought back"),
    comment="One row per life of this database: from a start, promotion or restore of it to the next.",
)

duties = Table(
    "duties",
    metadata,
    Column("name", sa.Text, primary_key=True),
    uuid_column("holder"),
    time_column("until", default=False),
    comment="What one process at a time should do; a lease that another takes over when it ends.",
)
