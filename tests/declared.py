"""What PostgreSQL cannot be asked beforehand: whether a column is ever null, and which values a statement is given."""

from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from types import NoneType
from typing import Any, get_args, get_type_hints

from service.foundation.postgres.sql import Connection, Statement

Rows = Callable[..., Awaitable[list[Any]]]


def watched(rows: Rows, wrong: list[str]) -> Rows:
    """`Connection.rows`, which notes in `wrong` whatever contradicts a declaration."""

    async def asked(connection: Connection, statement: Statement[Any], values: Mapping[str, object] = {}) -> list[Any]:
        found = await rows(connection, statement, values)
        if surplus := values.keys() - set(statement.names):
            wrong.append(f"{sorted(surplus)} have no place in {statement.template}")
        wrong.extend(
            f"{name} is null in {statement.template}"
            for name in _never_null(statement)
            if any(row[name] is None for row in found)
        )
        return found

    return asked


@cache
def _never_null(statement: Statement[Any]) -> list[str]:
    return [name for name, hint in get_type_hints(statement.record).items() if NoneType not in get_args(hint)]
