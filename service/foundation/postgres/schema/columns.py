"""What the tables share: their metadata with its naming convention, and the kinds of column and check."""

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, Column, MetaData, func, text
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.types import UserDefinedType


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id; the only order in which a reader can know that no earlier row is missing."""

    cache_ok = True

    def get_col_spec(self, **_kw: object) -> str:
        """The type's name in DDL."""
        return "xid8"


ischema_names["xid8"] = Xid8  # so that `alembic check` recognises the column it reads back

# Keys compare bytewise: with a locale's collation "a" and "A" could sort, or even be, the same.
BYTEWISE = sa.Text(collation="C")

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
    }
)


def uuid_column(name: str, *, primary_key: bool = False, nullable: bool = False) -> Column[object]:
    """A UUID."""
    return Column(name, pg.UUID(as_uuid=True), nullable=nullable, primary_key=primary_key)


def time_column(name: str, *, default: bool = True, nullable: bool = False) -> Column[object]:
    """An instant; by default the start of the transaction that inserts the row."""
    return Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=func.now() if default else None)


def one_of(column: str, words: tuple[str, ...], name: str) -> CheckConstraint:
    """The check that a column holds one of these words."""
    return CheckConstraint(f"{column} IN ({', '.join(repr(w) for w in words)})", name=name)


def effect_columns() -> list[Column[object]]:
    """What every effect at Stripe stores so that no crash can forget that it may have run (R13, R16, R37).

    Charges have the same columns; they are older, and are made when they are opened instead of when they are asked for.
    """
    return [
        Column(
            "next_call", sa.Text, nullable=False, server_default="send", comment="what the next delivery asks Stripe"
        ),
        Column("request", pg.JSON, nullable=False, comment="exact parameters in sending order"),
        Column("stripe_version", sa.Text, nullable=False, comment="version of Stripe's API the request is meant for"),
        Column(
            "nth", sa.SmallInteger, nullable=False, server_default="1", comment="try; a refusal is saved, so it grows"
        ),
        Column("token", pg.UUID(as_uuid=True), comment="of the worker that may settle; fresh at every open (R13, R21)"),
        time_column("lease_until", default=False, nullable=True),
        Column("maybe_executed", sa.Boolean, nullable=False, server_default=sa.false()),
        time_column("first_sent_at", default=False, nullable=True),
        time_column("last_sent_at", default=False, nullable=True),
        Column("unclear_in_a_row", sa.SmallInteger, nullable=False, server_default="0"),
        Column("life", sa.Integer, nullable=False, server_default="0", comment="in which it was last opened; 0: never"),
        Column("key_conflict", sa.Boolean, nullable=False, server_default=sa.false()),
        Column("polls", sa.Integer, nullable=False, server_default="0"),
        Column("failure", pg.JSONB),
        Column("history", pg.JSONB, nullable=False, server_default=text("'[]'"), comment="one small entry per call"),
        time_column("created_at"),
        time_column("updated_at"),
    ]
