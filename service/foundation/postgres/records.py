"""What PostgreSQL answers and what it is given, declared once: the columns of a query's rows and those of a batch.

A declaration costs nothing while the service runs: a record is the driver's own row, a batch one list per column. That
PostgreSQL answers what the records declare is asked of PostgreSQL itself, for every query, by
`tests/foundation/test_statements.py`.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from functools import cache
from inspect import get_annotations
from operator import itemgetter
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec

if TYPE_CHECKING:

    class _DriverRow:
        """The driver has no types. Of its rows only this is used, beside the columns that are declared."""

        def items(self) -> Iterable[tuple[str, Any]]:
            """Name and value of each column."""
            ...
else:
    from asyncpg import Record as _DriverRow

Integer = Annotated[int, "integer"]
SmallInt = Annotated[int, "smallint"]
UuidText = Annotated[str, "uuid"]  # a UUID in its text form, which the driver takes as it is

_TYPES = {
    UUID: "uuid",
    bool: "boolean",
    bytes: "bytea",
    date: "date",
    datetime: "timestamptz",
    int: "bigint",
    str: "text",
    timedelta: "interval",
}


class Record(_DriverRow):
    """A row of a query; each annotation of a subclass is a column: `class Found(Record): id: UUID`."""

    def __init_subclass__(cls) -> None:
        """Make each annotation an attribute that reads the column of its name."""
        super().__init_subclass__()
        for name in get_annotations(cls):
            setattr(cls, name, property(itemgetter(name)))

    @classmethod
    def columns(cls) -> str:
        """The names that it declares, for a SELECT of columns that are called so."""
        return ", ".join(get_annotations(cls))


class Batch(msgspec.Struct, frozen=True):
    """Rows for one statement, a list per column: `id: Sequence[UUID]`. All lists are equally long.

    The statement is the same for one row and for 500. In it the batch is a table named `alias`.
    """

    alias: ClassVar[str]

    @classmethod
    def unnest(cls, *, numbered: bool = False) -> str:
        """The batch in a FROM clause. `numbered`: with a last column `nth`, which counts its rows from 1."""
        casts = ", ".join(f"CAST(:{parameter} AS {_type(cls, name)}[])" for parameter, name in _parameters(cls))
        names = ", ".join([*cls.__struct_fields__, *(["nth"] if numbered else [])])
        return f"unnest({casts}){' WITH ORDINALITY' if numbered else ''} AS {cls.alias} ({names})"

    @classmethod
    def columns(cls) -> str:
        """The names of its columns, for an INSERT and its SELECT."""
        return ", ".join(cls.__struct_fields__)

    def bound(self) -> dict[str, object]:
        """The values of the statement's parameters. Raises ValueError where a list is shorter than another."""
        lists = msgspec.structs.astuple(self)
        if len({len(values) for values in lists}) != 1:
            raise ValueError(f"the columns of {type(self).__name__} are not equally long")
        return {parameter: values for (parameter, _), values in zip(_parameters(type(self)), lists, strict=True)}


@cache
def _parameters(batch: type[Batch]) -> Sequence[tuple[str, str]]:
    """The parameter of each column, and the column."""
    return [(f"{batch.alias}_{name}", name) for name in batch.__struct_fields__]


def _type(batch: type[Batch], name: str) -> str:
    """PostgreSQL's type of a column: of what its `Sequence` is declared to hold, None aside."""
    (held,) = get_args(get_type_hints(batch, include_extras=True)[name])
    (hint,) = {*(get_args(held) if get_origin(held) in (Union, UnionType) else (held,))} - {NoneType}
    return str(hint.__metadata__[0]) if get_origin(hint) is Annotated else _TYPES[hint]
