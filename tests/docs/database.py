"""The tables of the database as a page shows them: `service/foundation/postgres/schema/` with its comments."""

import ast
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from service.foundation.postgres import schema
from service.foundation.postgres.schema import (
    accepting,
    booking,
    changing,
    charging,
    installation,
    noticing,
    reconciling,
    telling,
    watching,
)
from tests.docs.parts import comments, table

_DIALECT = make_url("postgresql+asyncpg://").get_dialect()()
# In the order in which the page shows them.
_SUBJECTS = (installation, accepting, charging, changing, booking, telling, noticing, reconciling, watching)
# By the texts that a call in the schema has for arguments: ("orders_by_time", "created_at").
Reasons = Mapping[tuple[str, ...], str]


def tables() -> str:
    """Every table: its columns, keys, indexes and checks, each with its reason where the schema gives one."""
    found = [_table(schema.metadata.tables[name], reasons) for one in _SUBJECTS for name, reasons in _reasons(one)]
    assert len(found) == len(schema.metadata.tables)
    return "\n\n".join(found)


def _reasons(subject: ModuleType) -> Iterator[tuple[str, Reasons]]:
    """Each table of a file by name, with what the comments at its columns, keys and indexes say."""
    said = comments(subject)
    for node in ast.walk(ast.parse(inspect.getsource(subject))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Table":
            calls = [part for part in node.args if isinstance(part, ast.Call)]
            yield _texts(node)[0], {_texts(call): said.get(call.lineno, "") for call in calls}


def _texts(call: ast.Call) -> tuple[str, ...]:
    return tuple(one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str))


def _table(one: sa.Table, reasons: Reasons) -> str:
    columns = table(("column", "type", "default", "what"), (_column(column, reasons) for column in one.columns))
    keys = "\n".join(f"- {line}" for line in (*_keys(one, reasons), *_indexes(one, reasons)))
    return f"## {one.name}\n\n{one.comment}\n\n{columns}\n\n{keys}"


def _column(column: sa.Column[object], reasons: Reasons) -> tuple[str, str, str, str]:
    kind = re.sub(r"\b[A-Z]{2,}\b", lambda word: word[0].lower(), column.type.compile(dialect=_DIALECT))
    above = next((text for texts, text in reasons.items() if texts[:1] == (column.name,)), "")
    leads = "".join(f"→ `{key.target_fullname}`" for key in column.foreign_keys)
    what = ". ".join(said.rstrip(".") for said in (leads, column.comment or "", above) if said)
    return f"`{column.name}`", kind + (", or null" if column.nullable else ""), _default(column), what


def _default(column: sa.Column[object]) -> str:
    default = column.server_default
    if isinstance(default, sa.Identity):
        return "identity"
    return f"`{_sql(default.arg)}`" if isinstance(default, sa.DefaultClause) else ""


def _sql(clause: object) -> str:
    if isinstance(clause, str):
        return f"'{clause}'"
    assert isinstance(clause, sa.ClauseElement)
    return str(clause.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True}))


def _keys(one: sa.Table, reasons: Reasons) -> Iterator[str]:
    yield f"primary key {_names(one.primary_key.columns)}"
    for key in sorted(one.constraints, key=lambda key: (type(key).__name__, str(key.name))):
        if isinstance(key, sa.UniqueConstraint):
            names = tuple(column.name for column in key.columns)
            yield f"unique {_names(key.columns)}" + _because(reasons.get(names, ""))
        elif isinstance(key, sa.CheckConstraint):
            yield f"check `{_sql(key.sqltext)}`"


def _indexes(one: sa.Table, reasons: Reasons) -> Iterator[str]:
    for index in sorted(one.indexes, key=lambda index: str(index.name)):
        options = index.dialect_options["postgresql"]
        using = f" using {options['using']}" if options["using"] else ""
        where = f" where `{_sql(options['where'])}`" if options["where"] is not None else ""
        kind = "unique index" if index.unique else "index"
        reason = next((text for texts, text in reasons.items() if texts[:1] == (index.name,)), "")
        yield f"{kind} `{index.name}` on {_names(index.columns)}{using}{where}" + _because(reason)


def _names(columns: Iterable[sa.Column[Any]]) -> str:
    return ", ".join(f"`{column.name}`" for column in columns)


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""
