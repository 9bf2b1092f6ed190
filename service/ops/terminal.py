"""What the commands of `eo` share: a question to the database, and rows printed as a table or as JSON."""

import asyncio
import dataclasses
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from service.foundation.addresses.postgres import shown
from service.foundation.errors import EffectivelyOnceError
from service.foundation.guard import is_of_output
from service.foundation.settings import Settings
from service.ops import table

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

T = TypeVar("T")


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

_SECRET = ("KEY", "SECRET", "PASSWORD")
_PLAIN = (str, int, float, bool, type(None))


def ask(
    question: Callable[["AsyncEngine"], Awaitable[T]],
    *,
    checked: bool = True,
    is_long: bool = False,
    as_app: bool = True,
) -> T:
    """Await `question(engine)` on the configured database, `checked`: at this code's schema. `is_long`: it reads whole
    books. Not `as_app`: with the login's own rights, whatever the processes' role may do.

    Raises Misconfigured or Unavailable.
    """
    return asyncio.run(_ask(question, checked=checked, is_long=is_long, as_app=as_app))


async def _ask(question: Callable[["AsyncEngine"], Awaitable[T]], *, checked: bool, is_long: bool, as_app: bool) -> T:
    # Imported here so that commands without a database start fast.
    from service.foundation.deadlines import COMMAND_S, LONG_STATEMENT_S  # noqa: PLC0415
    from service.foundation.postgres.db import as_unavailable, close, create_engine, is_unreachable  # noqa: PLC0415
    from service.foundation.postgres.migrate import check  # noqa: PLC0415

    engine = create_engine(
        Settings.from_env(),
        name="cli",
        pool=1,
        as_app=as_app,
        statement_s=LONG_STATEMENT_S if is_long else COMMAND_S,
    )
    try:
        if checked:
            await check(engine)
        return await question(engine)
    except EffectivelyOnceError:
        raise  # it says what happened; another sentence around it would say it twice
    except Exception as error:
        if is_of_output(error) or not is_unreachable(error):
            raise
        raise as_unavailable(error) from error
    finally:
        await close(engine)


def print_json(value: Any) -> None:
    """Print the value as one line of JSON on stdout."""
    click.echo(json.dumps(value, default=str))


def print_rows(rows: Iterable[Any], *, as_json: bool) -> None:
    """Print rows (mappings or dataclasses) as a JSON list, or as a table with the first row's names as its head."""
    found = [_mapping(row) for row in rows]
    if as_json:
        print_json(found)
    elif found:
        click.echo("\n".join(table.lines(found, table.width())))


def masked(variable: str, value: Any) -> Any:
    """A setting's value with its secrets hidden."""
    if variable.endswith("_URL"):
        return shown(str(value))
    return "***" if value and variable.endswith(_SECRET) else plain(value)


def plain(value: Any) -> Any:
    """The value as JSON can hold it; a value of any other type as text."""
    return value if isinstance(value, _PLAIN) else str(value)


def _mapping(row: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(row) and not isinstance(row, type):
        return {knob.name: getattr(row, knob.name) for knob in dataclasses.fields(row)}
    return dict(row if isinstance(row, Mapping) else row._mapping)  # noqa: SLF001  the public name of a SQLAlchemy row
