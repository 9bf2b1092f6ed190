"""Every table, constraint and index, each with its reason. The migrations build this; `alembic check` compares the two.

Where a row belongs to an account, every unique key starts with `account_id` (a later sharding by account stays open).
Money is `amount_minor` (integer minor units) with `currency`; time is `timestamptz`; the clock is the database's.
`orders` has no foreign key to `accounts`: each insert would lock the one account row that all orders share, and
accounts are never deleted. `outbox` has none to `orders`: both rows are written by one statement or not at all.
"""

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, MetaData, Table, UniqueConstraint, func, text
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.types import UserDefinedType

from service.states import CHARGE_MONEY_MOVED, CHARGE_STATUSES, NEXT_CALLS, ORDER_STATUSES, in_sql


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id: the only order in which a reader can know that nothing earlier is missing."""

    cache_ok = True

    def get_col_spec(self, **_kw: object) -> str:
        """The type's name in DDL."""
        return "xid8"


ischema_names["xid8"] = Xid8  # so that `alembic check` recognises the column it reads back


metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
    }
)

LEDGER_TYPES = ("asset", "liability", "income", "expense", "suspense")


def _one_of(column: str, words: tuple[str, ...], name: str) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(w) for w in words)})", name=name)


def _uuid(name: str, **kw: object) -> Column[object]:
    return Column(name, pg.UUID(as_uuid=True), nullable=False, **kw)  # type: ignore[arg-type]


def _time(name: str, *, default: bool = True, nullable: bool = False) -> Column[object]:
    return Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=func.now() if default else None)


# Keys compare bytewise: with a locale's collation "a" and "A" could sort, or even be, the same.
_BYTEWISE = sa.Text(collation="C")

accounts = Table(
    "accounts", metadata,
    _uuid("id", primary_key=True),
    Column("name", sa.Text, nullable=False, unique=True),
    # The default account's first attempts use the producer's key verbatim at Stripe (R1).
    Column("is_default", sa.Boolean, nullable=False, server_default=sa.false()),
    _time("created_at"),
    Index("accounts_one_default", "is_default", unique=True, postgresql_where=text("is_default")),
    comment="Who places orders. Accounts see nothing of each other.",
)  # fmt: skip

api_keys = Table(
    "api_keys", metadata,
    Column("id", sa.Text, primary_key=True, comment="public id, safe to print and log"),
    _uuid("account_id"),
    Column(
        "hmac", sa.LargeBinary, nullable=False, unique=True,
        comment="HMAC-SHA256 of the key; the key itself is shown once",
    ),
    Column("last4", sa.Text, nullable=False),
    Column("scopes", pg.ARRAY(sa.Text), nullable=False, server_default=text("'{}'")),
    _time("created_at"),
    _time("revoked_at", default=False, nullable=True),
    sa.ForeignKeyConstraint(["account_id"], ["accounts.id"]),
    comment="Bearer keys of the API. Found by their HMAC, so a copied table opens no door.",
)  # fmt: skip

instance = Table(
    "instance", metadata,
    Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    Column("hmac_key", sa.LargeBinary, nullable=False, comment="keys the HMAC of api_keys"),
    # R27: the database remembers its Stripe; a process configured for another one refuses to run.
    Column("stripe_account_id", sa.Text),
    Column("stripe_livemode", sa.Boolean),
    _time("created_at"),
    Column(
        "uuid", pg.UUID(as_uuid=True), nullable=False, server_default=func.gen_random_uuid(),
        comment="eo_instance in the metadata of what this installation makes at Stripe",
    ),
    Column("app_role", sa.Text, comment="for whom rights were given here; null: the role could not be made"),
    CheckConstraint("id = 1", name="one_row"),
    comment="One row: what this installation is bound to.",
)  # fmt: skip

lives = Table(
    "lives", metadata,
    Column("id", sa.Integer, sa.Identity(always=True), primary_key=True),
    Column("identity", sa.Text, nullable=False, unique=True, comment="database_identity() in that life"),
    _time("seen_at"),
    Column(
        "bound", sa.DateTime(timezone=True), nullable=False,
        comment="what Stripe did before is known here; frozen when the life is first seen",
    ),
    Column(
        "margin", pg.INTERVAL, nullable=False,
        comment="longest lease ever + call timeout + clock skew: how long a worker of an earlier life may still send",
    ),
    Column(
        "verified_until", sa.DateTime(timezone=True), nullable=False, server_default=text("'-infinity'"),
        comment="sending is allowed until then; infinity: closed by a second listing",
    ),
    Column(
        "heartbeat_at", sa.DateTime(timezone=True),
        comment="a moment up to which this verified life surely remembers",
    ),
    Column("verifier", pg.UUID(as_uuid=True), comment="who lists now"),
    _time("verifier_until", default=False, nullable=True),
    Column("found", pg.JSONB, comment="what the listings brought back"),
    comment="One row per life of this database: from a start, promotion or restore of it to the next.",
)  # fmt: skip

orders = Table(
    "orders", metadata,
    _uuid("id", primary_key=True),
    _uuid("account_id"),
    Column("idempotency_key", _BYTEWISE, nullable=False),
    Column("fingerprint", sa.LargeBinary, nullable=False, comment="version byte + SHA-256 of the validated request"),
    Column("amount_minor", sa.BigInteger, nullable=False),
    Column("currency", sa.Text, nullable=False),
    Column("payment_method", sa.Text),  # null: brought back from Stripe, which did not say
    Column("customer", sa.Text),
    Column("description", sa.Text),
    Column("metadata", pg.JSONB, nullable=False, server_default=text("'{}'")),
    Column("status", sa.Text, nullable=False, server_default="pending"),
    Column("amount_refunded_minor", sa.BigInteger, nullable=False, server_default="0"),
    Column("payment_intent_id", sa.Text),
    Column("failure", pg.JSONB, comment='{"code","decline_code","message"} of the last definitive decline'),
    _time("created_at"),
    _time("updated_at"),
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
    CheckConstraint("amount_refunded_minor BETWEEN 0 AND amount_minor", name="refunded_within_amount"),
    _one_of("status", ORDER_STATUSES, "status_known"),
    # Room in the page, so that the two status updates of an order stay in it.
    postgresql_with={"fillfactor": "80"},
    comment="What a producer asked for, once per (account, idempotency key).",
)  # fmt: skip

order_aliases = Table(
    "order_aliases", metadata,
    _uuid("id", primary_key=True),
    _uuid("account_id"),
    Column("order_id", pg.UUID(as_uuid=True), ForeignKey("orders.id"), nullable=False),
    _time("created_at"),
    comment="Ids under which forgotten orders were known before their producer repeated them under the same key.",
)  # fmt: skip

outbox = Table(
    "outbox", metadata,
    _uuid("id", primary_key=True),
    _uuid("account_id"),
    _uuid("order_id"),
    Column("kind", sa.Text, nullable=False),
    Column("payload", pg.JSONB, nullable=False, server_default=text("'{}'")),
    Column("headers", pg.JSONB, nullable=False, server_default=text("'{}'")),
    _time("created_at"),
    _time("deliver_after"),
    # Above 0 the event is out: handed to the broker and not yet answered for. A worker's answer sets it back.
    Column(
        "published", sa.Integer, nullable=False, server_default="0",
        comment="times handed to the broker since the last answer",
    ),
    Column("deliveries", sa.Integer, nullable=False, server_default="0", comment="opens, not publishes (R10)"),
    Column(
        "opens_unsettled", sa.Integer, nullable=False, server_default="0",
        comment="opens since the last settle; a poison's count",
    ),
    Column(
        "opens_alone", sa.Integer, nullable=False, server_default="0",
        comment="of opens_unsettled, those in a process that had nothing else open",
    ),
    Column("last_error", sa.Text),
    _time("parked_at", default=False, nullable=True),
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
)  # fmt: skip

charges = Table(
    "charges", metadata,
    _uuid("id", primary_key=True),
    _uuid("account_id"),
    Column("order_id", pg.UUID(as_uuid=True), ForeignKey("orders.id"), nullable=False),
    Column("attempt", sa.SmallInteger, nullable=False),
    Column("idempotency_key", _BYTEWISE, nullable=False, comment="the key on the wire to Stripe (R1)"),
    Column("amount_minor", sa.BigInteger, nullable=False),
    Column("currency", sa.Text, nullable=False),
    Column("status", sa.Text, nullable=False),
    Column("next_call", sa.Text, nullable=False, server_default="send", comment="what the next delivery asks Stripe"),
    # `json` keeps bytes and order; every send is made from it, so a re-send can never drift from the first.
    Column("request", pg.JSON, nullable=False, comment="exact parameters in sending order"),
    Column(
        "stripe_version", sa.Text, nullable=False,
        comment="a re-send under another version is another request (R30)",
    ),
    Column("token", pg.UUID(as_uuid=True), comment="of the worker that may settle; fresh at every open (R13, R21)"),
    _time("lease_until", default=False, nullable=True),
    # True from the commit before a send until an answer proves that nothing ran (R16).
    Column("maybe_executed", sa.Boolean, nullable=False),
    _time("first_sent_at", default=False, nullable=True),
    _time("last_sent_at", default=False, nullable=True),
    Column(
        "unclear_in_a_row", sa.SmallInteger, nullable=False, server_default="0",
        comment="unclear answers in a row (R18)",
    ),
    # No default: an open that does not know its life (a worker of an older version) must fail (R31).
    Column(
        "life", sa.Integer, nullable=False,
        comment="the verified life of the database under which it was last opened",
    ),
    Column(
        "key_conflict", sa.Boolean, nullable=False, server_default=sa.false(),
        comment="Stripe has this key for another request: never posted again (R32)",
    ),
    Column("payment_intent_id", sa.Text),
    Column("stripe_charge_id", sa.Text),
    _time("stripe_created", default=False, nullable=True),
    Column(
        "charged_at", sa.DateTime(timezone=True), comment="Stripe's moment of the success; null before 0006",
    ),
    Column("balance_transaction_id", sa.Text, comment="set when the fee is booked (R24)"),
    Column("fee_look_at", sa.DateTime(timezone=True), comment="a late fee is asked for again then"),
    Column(
        "settlement_currency", sa.Text,
        comment="where it is not the charge's: its booking is not made yet",
    ),
    Column(
        "cancel_try", sa.SmallInteger, nullable=False, server_default="1",
        comment="number of the cancellation's key; grows when Stripe refuses",
    ),
    Column(
        "polls", sa.Integer, nullable=False, server_default="0",
        comment="calls since the last entry of history that brought the same answer",
    ),
    Column("failure", pg.JSONB),
    # One small entry per send and per answer that brought news.
    Column("history", pg.JSONB, nullable=False, server_default=text("'[]'"), comment="one small entry per call"),
    _time("created_at"),
    _time("updated_at"),
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
    # Fees that are still to come; empty when all are booked. Late ones leave for the second when they were asked for,
    # so that what will never come costs the others nothing.
    Index(
        "charges_fee_due", "charged_at",
        postgresql_where=text(
            f"status IN {in_sql(CHARGE_MONEY_MOVED)} AND balance_transaction_id IS NULL AND fee_look_at IS NULL"
        ),
    ),
    Index(
        "charges_fee_again", "fee_look_at",
        postgresql_where=text(
            f"status IN {in_sql(CHARGE_MONEY_MOVED)} AND balance_transaction_id IS NULL AND fee_look_at IS NOT NULL"
        ),
    ),
    CheckConstraint("amount_minor > 0", name="amount_positive"),
    _one_of("status", CHARGE_STATUSES, "status_known"),
    _one_of("next_call", NEXT_CALLS, "next_call_known"),
    postgresql_with={"fillfactor": "70"},
    comment="One row per attempt to charge; committed before the call, so a crash cannot forget that one may have run.",
)  # fmt: skip

ledger_accounts = Table(
    "ledger_accounts", metadata,
    Column("id", sa.Integer, sa.Identity(always=True), primary_key=True),
    _uuid("account_id"),
    Column("code", sa.Text, nullable=False),
    Column("currency", sa.Text, nullable=False),
    Column("type", sa.Text, nullable=False),
    UniqueConstraint("account_id", "code", "currency"),
    _one_of("type", LEDGER_TYPES, "type_known"),
    comment="The chart: one account per code and currency, made when first used, never changed.",
)  # fmt: skip

journal_entries = Table(
    "journal_entries", metadata,
    _uuid("id", primary_key=True),
    _uuid("account_id"),
    Column("reference", _BYTEWISE, nullable=False, comment="natural key of Stripe's object id, e.g. charge:ch_…"),
    Column("kind", sa.Text, nullable=False),
    Column("digest", sa.LargeBinary, nullable=False, comment="SHA-256 of the entry's content, compared on a repeat"),
    Column("order_id", pg.UUID(as_uuid=True)),
    Column("payment_intent_id", sa.Text),
    _time("occurred_at", default=False),
    _time("created_at"),
    Column("xid", Xid8, nullable=False, server_default=text("pg_current_xact_id()")),
    # P6, every movement booked once: this index, and it never expires.
    UniqueConstraint("account_id", "reference"),
    Index("journal_entries_by_order", "order_id"),
    comment="One balanced booking. Append-only: no grant and triggers.",
)  # fmt: skip

postings = Table(
    "postings", metadata,
    _uuid("entry_id", primary_key=True),
    Column("line", sa.SmallInteger, primary_key=True, autoincrement=False),
    Column("ledger_account_id", sa.Integer, nullable=False),
    Column("currency", sa.Text, nullable=False),
    Column("amount_minor", sa.BigInteger, nullable=False, comment="debit > 0, credit < 0"),
    _time("occurred_at", default=False),
    Column("xid", Xid8, nullable=False, server_default=text("pg_current_xact_id()")),
    # What came after the rollup's horizon. By transaction id: by time or max(id) a slow transaction would be missed.
    Index("postings_by_xid", "xid"),
    # A day's postings for a balance at an instant; they lie together on disk, so a tiny block-range index does.
    Index("postings_by_time", "occurred_at", postgresql_using="brin"),
    CheckConstraint("amount_minor <> 0", name="amount_not_zero"),
    comment="The legs of an entry. Their sum is zero per entry and currency; a trigger holds it.",
)  # fmt: skip

ledger_rollups = Table(
    "ledger_rollups", metadata,
    Column("ledger_account_id", sa.Integer, primary_key=True, autoincrement=False),
    Column("day", sa.Date, primary_key=True, comment="UTC day of occurred_at"),
    Column("debit_minor", sa.BigInteger, nullable=False),
    Column("credit_minor", sa.BigInteger, nullable=False, comment="a positive number"),
    comment="Sums of postings older than ledger_horizon, so that a balance read stays cheap. Derived; can be rebuilt.",
)  # fmt: skip

ledger_horizon = Table(
    "ledger_horizon", metadata,
    Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    Column(
        "xid", Xid8, nullable=False,
        comment="postings with a smaller xid are in ledger_rollups, all others are not",
    ),
    CheckConstraint("id = 1", name="one_row"),
    comment="One row: up to which transaction the rollups reach.",
)  # fmt: skip

undated_charges = Table(
    "undated_charges", metadata,
    _uuid("charge_id", primary_key=True),
    _time("look_at"),
    comment="Booked before 0006, perhaps under another moment than the charge's: to be asked for, and corrected.",
)  # fmt: skip

duties = Table(
    "duties", metadata,
    Column("name", sa.Text, primary_key=True),
    _uuid("holder"),
    _time("until", default=False),
    comment="What one process at a time should do; a lease that another takes over when it ends.",
)  # fmt: skip

reconciliation_runs = Table(
    "reconciliation_runs", metadata,
    _uuid("id", primary_key=True),
    _time("started_at"),
    _time("finished_at", default=False, nullable=True),
    _time("window_start", default=False),
    _time("window_end", default=False),
    Column("source", sa.Text, nullable=False, comment="api, or the name and SHA-256 of a report file"),
    Column("verdict", sa.Text, comment="null: the run did not finish, and says nothing"),
    Column("totals", pg.JSONB, nullable=False, server_default=text("'{}'")),
    _one_of("verdict", ("clean", "discrepancies", "incomplete"), "verdict_known"),
    comment="Every run of eo reconcile and what it concluded.",
)  # fmt: skip

discrepancies = Table(
    "discrepancies", metadata,
    # Class, object ids and currency, without run or time: the same difference found again is the same row.
    Column("fingerprint", sa.Text, primary_key=True),
    Column("class", sa.Text, nullable=False),
    Column("order_id", pg.UUID(as_uuid=True)),
    Column("payment_intent_id", sa.Text),
    Column("ours", pg.JSONB),
    Column("stripe", pg.JSONB),
    Column("amount_minor", sa.BigInteger),
    Column("currency", sa.Text),
    Column("first_run_id", pg.UUID(as_uuid=True), ForeignKey("reconciliation_runs.id"), nullable=False),
    Column("last_run_id", pg.UUID(as_uuid=True), ForeignKey("reconciliation_runs.id"), nullable=False),
    _time("first_seen_at"),
    _time("last_seen_at"),
    Column("account_id", pg.UUID(as_uuid=True)),
    Column("reference", sa.Text, comment="of the journal entry it is about"),
    Column(
        "opened_at", sa.DateTime(timezone=True), nullable=False, server_default=func.now(),
        comment="when it was found first, or again after it was resolved",
    ),
    Column(
        "resolved_at", sa.DateTime(timezone=True), comment="null: open, and examined again in each run",
    ),
    Index("discrepancies_by_last_run", "last_run_id"),
    Index("discrepancies_open", "first_seen_at", postgresql_where=text("resolved_at IS NULL")),
    comment="Differences found, with their age across runs.",
)  # fmt: skip

acknowledgements = Table(
    "acknowledgements", metadata,
    _uuid("id", primary_key=True),
    Column("fingerprint", sa.Text, ForeignKey("discrepancies.fingerprint"), nullable=False),
    _time("created_at"),
    Column("acknowledged_by", sa.Text, nullable=False),
    Column("reason", sa.Text, nullable=False),
    Column("amount_minor", sa.BigInteger, comment="of the discrepancy as it was acknowledged"),
    Column("ours", pg.JSONB),
    Column("stripe", pg.JSONB),
    Index("acknowledgements_by_fingerprint", "fingerprint"),
    comment="Who has accepted a discrepancy as it was, and why. Ends when the discrepancy changes; never rewritten.",
)  # fmt: skip
