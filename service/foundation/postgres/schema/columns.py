"""What the tables share: their metadata with its naming convention, and the kinds of column and check."""

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, Column, MetaData, func
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


def uuid_column(name: str, *, primary_key: bool = False) -> Column[object]:
    """A UUID that is never null."""
    return Column(name, pg.UUID(as_uuid=True), nullable=False, primary_key=primary_key)


def time_column(name: str, *, default: bool = True, nullable: bool = False) -> Column[object]:
    """An instant; by default the start of the transaction that inserts the row."""
    return Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=func.now() if default else None)


def one_of(column: str, words: tuple[str, ...], name: str) -> CheckConstraint:
    """The check that a column holds one of these words."""
    return CheckConstraint(f"{column} IN ({', '.join(repr(w) for w in words)})", name=name)
