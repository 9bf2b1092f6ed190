"""Bringing the schema to where this code expects it, and refusing to work where it is not (R30).

Two migrations at once are safe: the second waits on an advisory lock and finds nothing left to do.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from random import uniform
from typing import TYPE_CHECKING

from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.errors import EffectivelyOnceError, Misconfigured, Unavailable
from service.foundation.postgres import roles
from service.foundation.postgres.db import (
    DEADLOCK,
    DRIVER_ERRORS,
    LOCK_TIMEOUT,
    as_unavailable,
    is_unreachable,
    sqlstate,
)
from service.foundation.postgres.driver import in_words
from service.foundation.postgres.sql import Record, Statement, connect

if TYPE_CHECKING:
    from alembic.config import Config

# Beside `service` both in a checkout and in an installed wheel.
FOLDER = Path(__file__).parents[3] / "migrations"
LOCKS_S = 60.0  # how long locks are asked for, a moment each time, before somebody must look who holds them
_PAUSE_S = (0.5, 1.5)  # between two tries, so that those who queued behind the first get through
_HELD = (LOCK_TIMEOUT, DEADLOCK)  # somebody works here, and has what the migration needs
_NOT_ALLOWED = "42501"
_REFUSALS = (OSError, TimeoutError, DBAPIError, *DRIVER_ERRORS)  # of the migrations', and of our own way
_NO_SUCH_ROLE = "42704"  # undefined_object
_REVISION = re.compile(r"""^(revision|down_revision)\b[^=]*=\s*["'](\w+)["']""", re.MULTILINE)


def upgrade(database_url: str, revision: str = "head", *, grant_to: str = "") -> None:
    """Apply what is missing, each revision in a transaction of its own, and give the application's role its rights.

    `grant_to` is a login that may act as that role from now on. Not to be called inside an event loop.
    """
    from alembic import command  # noqa: PLC0415  a third of a second that only migrations pay

    config = _alembic(database_url)
    config.attributes |= {"settle_roles": revision == "head", "grant_to": grant_to}
    deadline = time.monotonic() + LOCKS_S
    with _words_for_errors():
        while True:
            try:
                return command.upgrade(config, revision)
            except DBAPIError as error:
                if sqlstate(error) not in _HELD or time.monotonic() > deadline:
                    raise
            time.sleep(uniform(*_PAUSE_S))  # noqa: S311  jitter


def downgrade(database_url: str, revision: str) -> None:
    """Undo revisions down to `revision` (`base`: all). For tests and emergencies: it drops data."""
    from alembic import command  # noqa: PLC0415

    with _words_for_errors():
        command.downgrade(_alembic(database_url), revision)


class WrongSchema(Misconfigured):
    """The database is not as `eo migrate` leaves it. The message names nobody and no address."""


async def check(engine: AsyncEngine) -> None:
    """Return where the schema is the one this code was written for. Raises Misconfigured or Unavailable."""
    found = await current(engine)
    if found == head():
        return await _check_role(engine)
    if found is None or found in _revisions():
        state = "has no schema yet" if found is None else f"is at revision {found}, this code needs {head()}"
        raise WrongSchema(f"The database {state}. Run `eo migrate`, then start again.")
    raise WrongSchema(
        f"The database is at revision {found}, which this code (at {head()}) does not know: it is newer. "
        "Deploy the newer code; `eo migrate` cannot go back."
    )


class _Is(Record):
    migrated: bool


class _At(Record):
    version_num: str


_MIGRATED = Statement("SELECT to_regclass('alembic_version') IS NOT NULL AS migrated").returning(_Is)
_VERSION = Statement("SELECT version_num FROM alembic_version").returning(_At)


async def current(engine: AsyncEngine) -> str | None:
    """The revision the database is at, or None where nothing was ever migrated. Raises Unavailable."""
    try:
        async with connect(engine) as connection:
            # Asked first, because a statement that fails would be an ERROR in the server's log.
            if not (await connection.one(_MIGRATED)).migrated:
                return None
            found = await connection.row(_VERSION)
    except _REFUSALS as error:
        raise _in_words(error) from error
    return None if found is None else found.version_num


class _Role(Record):
    app_role: str | None


_APP_ROLE = Statement("SELECT app_role FROM instance").returning(_Role)


async def app_role(engine: AsyncEngine) -> str | None:
    """The role that processes act as, which may not rewrite the ledger; None where it could not be made."""
    async with connect(engine) as connection:
        return (await connection.one(_APP_ROLE)).app_role


class _Rights(Record):
    """For whom rights were given, whether that is this database, and what we may do."""

    app_role: str | None
    mine: str
    login: str
    may_write: bool
    has_role: bool
    is_member: bool


_RIGHTS = Statement(roles.STATE).returning(_Rights)


async def _check_role(engine: AsyncEngine) -> None:
    """Refuse a database whose rights were given under another name or oid, and a login that may do nothing here."""
    try:
        async with connect(engine) as connection:
            state = await connection.one(_RIGHTS)
    except _REFUSALS as error:
        raise _in_words(error) from error
    if state.app_role is not None and (state.app_role != state.mine or not state.has_role):
        raise WrongSchema(
            "The rights here were given to a role of another database: this one was restored, copied or renamed. "
            "Run `eo migrate` as the owner (with `--grant-to LOGIN` where the processes log in as another), then start."
        )
    if not state.may_write or (state.app_role is not None and not state.is_member):
        raise Misconfigured(_no_rights(state.login))


def _no_rights(login: str) -> str:
    return f"The login {login} has no rights here. Run `eo migrate --grant-to {login}` as the owner of the database."


def head() -> str:
    """The newest revision of this code. Read from the files: importing Alembic would cost every process its start."""
    revisions = _revisions()
    (newest,) = set(revisions) - set(revisions.values())
    return newest


@cache
def _revisions() -> dict[str, str]:
    """Each revision with the one before it ("" for the first)."""
    found = (dict(_REVISION.findall(file.read_text())) for file in (FOLDER / "versions").glob("*.py"))
    return {names["revision"]: names.get("down_revision", "") for names in found if "revision" in names}


def _alembic(database_url: str) -> "Config":
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["database_url"] = database_url
    return config


@contextmanager
def _words_for_errors() -> Iterator[None]:
    try:
        yield
    except ArgumentError as error:
        raise Misconfigured("DATABASE_URL is not of the form postgresql://user:password@host/name.") from error
    except _REFUSALS as error:
        raise _in_words(error) from error


def _in_words(error: Exception) -> EffectivelyOnceError:
    if sqlstate(error) in _HELD:
        return Unavailable("Another process held a lock this migration needs, so nothing was changed. Run it again.")
    if sqlstate(error) == _NOT_ALLOWED:
        return Misconfigured(
            f"PostgreSQL refused: {_cause(error)}. Migrations run as the owner of the database, who lets the login of "
            "the processes in by `eo migrate --grant-to LOGIN`."
        )
    if sqlstate(error) == _NO_SUCH_ROLE:
        return Misconfigured(f"PostgreSQL refused: {_cause(error)}. `CREATE ROLE … LOGIN` makes a login.")
    if is_unreachable(error):
        return as_unavailable(error)
    return Unavailable(f"PostgreSQL refused: {_cause(error)}.")


def _cause(error: Exception) -> str:
    return in_words(getattr(error, "orig", error))
