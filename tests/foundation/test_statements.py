"""PostgreSQL is asked, for every statement of the service, whether it answers what the code declares."""

import ast
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.effects import Kind
from service.effects.model import Rules
from service.foundation.postgres.db import connector_of
from service.foundation.postgres.sql import Batch, Connection, Record, SmallInt, Statement, UuidText
from service.foundation.settings import Settings
from service.reconcile import compare, movement_tables, store
from service.reconcile.window import Window

ROOT = Path(__file__).parents[2]
# What the driver makes of PostgreSQL's types.
DECODED = {
    "bool": bool,
    "bytea": bytes,
    "date": date,
    "float8": float,
    "int2": int,
    "int4": int,
    "int8": int,
    "interval": timedelta,
    "numeric": Decimal,
    "text": str,
    "timestamptz": datetime,
    "uuid": UUID,
    "varchar": str,
}


def _calls(tree: ast.AST) -> int:
    """How many statements a piece of source makes."""
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return sum(isinstance(name, ast.Name) and name.id == "Statement" for name in called)


# Every process of pytest reads this list, and few of them the trees.
SOURCES = {
    ".".join(source.relative_to(ROOT).with_suffix("").parts): source
    for folder in ("service", "workers")
    for source in (ROOT / folder).rglob("*.py")
    if "Statement(" in source.read_text()
}


def _made(held: object) -> Iterator[Statement[Any]]:
    """Statements in a module's variable, or in what it holds; of a class, in its own attributes."""
    if isinstance(held, Statement):
        yield held
    elif isinstance(held, type) and issubclass(held, Kind):
        yield from _all_made(vars(held).values())
    elif isinstance(held, dict):
        yield from _all_made(held.values())
    elif isinstance(held, list | tuple):
        yield from _all_made(held)


def _all_made(held: Iterable[object]) -> Iterator[Statement[Any]]:
    for one in held:
        yield from _made(one)


def _statements() -> dict[Statement[Any], str]:
    """Every statement, and a module that has it."""
    return {made: name for name in SOURCES for made in _all_made(vars(import_module(name)).values())}


@pytest.mark.parametrize("name", SOURCES)
def test_every_statement_is_made_where_the_next_test_finds_it(name: str) -> None:
    """By an assignment at the top of the module or of a kind of effect, in something that `_made` looks into."""
    module, tree = import_module(name), ast.parse(SOURCES[name].read_text())
    making = list(_assignments(tree, module))
    assert sum(_calls(node) for node, _ in making) == _calls(tree)
    assert all(
        list(_made(vars(holder)[target.id]))
        for node, holder in making
        for target in node.targets
        if isinstance(target, ast.Name)
    )


def _assignments(tree: ast.Module, module: object) -> Iterator[tuple[ast.Assign, object]]:
    """Those that make statements, each with the module or class that holds what is assigned."""
    for node in tree.body:
        holder = vars(module)[node.name] if isinstance(node, ast.ClassDef) else module
        for assigned in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(assigned, ast.Assign) and _calls(assigned):
                yield assigned, holder


def _declared(record: type[Record]) -> dict[str, object]:
    return {name: _without_none(hint) for name, hint in get_type_hints(record).items()}


def _without_none(hint: Any) -> object:
    if get_origin(hint) in (Union, UnionType):
        (hint,) = {*get_args(hint)} - {NoneType}
    if get_origin(hint) is Literal:
        (hint,) = {type(word) for word in get_args(hint)}
    return (list, *map(_without_none, get_args(hint))) if get_origin(hint) is list else hint


def _answered(attribute: asyncpg.Attribute) -> object:
    name = attribute.type.name.removesuffix("[]")
    return (list, DECODED[name]) if attribute.type.kind == "array" else DECODED[name]


async def _differences(connection: asyncpg.Connection, made: Statement[Any]) -> object:
    """What PostgreSQL answers, and what is declared, where they differ."""
    attributes = (await connection.prepare(made.sql)).get_attributes()
    answered = sorted((a.name, str(_answered(a))) for a in attributes)
    declared = sorted((n, str(t)) for n, t in _declared(made.record).items())
    return None if answered == declared else (made.template, answered, declared)


async def _stage(connection: asyncpg.Connection, rules: Rules) -> None:
    """The temporary tables that a reconciliation's statements are about."""
    now = datetime.now(UTC)
    window = Window(since=now, until=now, now=now, cut_off=now)
    await compare.open_staging(connection)
    await compare.note_known(connection, window, rules, carry=True)
    await compare.note_failures(connection, window)
    await compare.find_edges(connection, window, carry=True)
    await compare.compare(connection, window, rules, compare.Read("nothing was"), carry=True)
    edges = {"since": now, "until": now}
    for statement, values in (
        (movement_tables.KNOWN, edges),
        (movement_tables.EDGES, {}),
        (movement_tables.OURS, edges),
    ):
        await Connection(connection).run(statement, values)
    await store.keep(connection, UUID(int=1), window, complete=False, proven=False)


async def test_postgresql_answers_the_columns_that_each_statement_declares(
    engine: AsyncEngine, settings: Settings
) -> None:
    connection = await connector_of(engine)()
    try:
        await _stage(connection, Rules.of(settings))
        wrong = [(name, await _differences(connection, made)) for made, name in _statements().items()]
    finally:
        await connection.close()
    assert [(name, difference) for name, difference in wrong if difference] == []


class Known(Record):
    id: UUID
    name: str


class Misspelt(Record):
    id: UUID
    title: str


class Mistyped(Record):
    id: str
    name: str


class Curtailed(Record):
    id: UUID


@pytest.mark.parametrize(("record", "holds"), [(Known, True), (Misspelt, False), (Mistyped, False), (Curtailed, False)])
async def test_a_column_that_postgresql_does_not_answer_is_noticed(
    database: str, record: type[Record], holds: bool
) -> None:
    connection = await asyncpg.connect(database)
    statement = Statement("SELECT id, name FROM accounts").returning(record)
    assert (await _differences(connection, statement) is None) == holds
    await connection.close()


if TYPE_CHECKING:

    def _a_misspelt_column_is_an_error_of_types(row: Known) -> object:
        """mypy fails here where it would let it pass: the comment is then without use."""
        return row.title  # type: ignore[attr-defined]


class Lines(Batch, frozen=True):
    alias = "line"
    id: Sequence[UUID]
    number: Sequence[SmallInt]
    note: Sequence[str | None]
    about: Sequence[UuidText | None]


def test_a_batch_is_declared_once_and_is_a_table_to_its_statement() -> None:
    assert Lines.unnest() == (
        "unnest(CAST(:line_id AS uuid[]), CAST(:line_number AS smallint[]), CAST(:line_note AS text[]),"
        " CAST(:line_about AS uuid[])) AS line (id, number, note, about)"
    )
    assert Lines.unnest(numbered=True).endswith(") WITH ORDINALITY AS line (id, number, note, about, nth)")
    assert Lines.columns() == "id, number, note, about"
    lines = Lines(id=[UUID(int=1)], number=[1], note=[None], about=[str(UUID(int=2))])
    assert set(lines.bound()) == set(Statement(f"SELECT FROM {Lines.unnest()}").names)


def test_a_batch_whose_columns_are_not_equally_long_is_refused() -> None:
    """PostgreSQL would fill the shorter one up with nulls."""
    with pytest.raises(ValueError, match="equally long"):
        Lines(id=[UUID(int=1)], number=[], note=[None], about=[None]).bound()
