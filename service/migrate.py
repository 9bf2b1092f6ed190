"""Bringing the schema to where this code expects it, and refusing to work where it is not (R30).

Two migrations at once are safe: the second waits on an advisory lock and finds nothing left to do.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from service.db import APP_ROLE, LOCK_TIMEOUT, as_unavailable, is_unreachable, sqlstate
from service.driver import in_words
from service.errors import EffectivelyOnceError, Misconfigured, Unavailable

if TYPE_CHECKING:
    from alembic.config import Config

# Beside `service` both in a checkout and in an installed wheel.
FOLDER = Path(__file__).parent.parent / "migrations"
_REVISION = re.compile(r"""^(revision|down_revision)\b[^=]*=\s*["'](\w+)["']""", re.MULTILINE)


def upgrade(database_url: str, revision: str = "head") -> None:
    """Apply what is missing, each revision in a transaction of its own. Not to be called inside an event loop."""
    from alembic import command  # noqa: PLC0415  a third of a second that only migrations pay

    with _words_for_errors():
        command.upgrade(_alembic(database_url), revision)


def downgrade(database_url: str, revision: str) -> None:
    """Undo revisions down to `revision` (`base`: all). For tests and emergencies: it drops data."""
    from alembic import command  # noqa: PLC0415

    with _words_for_errors():
        command.downgrade(_alembic(database_url), revision)


async def check(engine: AsyncEngine) -> None:
    """Return where the schema is the one this code was written for. Raises Misconfigured or Unavailable."""
    found = await current(engine)
    if found == head():
        return
    if found is None or found in _revisions():
        state = "has no schema yet" if found is None else f"is at revision {found}, this code needs {head()}"
        raise Misconfigured(f"The database {state}. Run `eo migrate`, then start again.")
    raise Misconfigured(
        f"The database is at revision {found}, which this code (at {head()}) does not know: it is newer. "
        "Deploy the newer code; `eo migrate` cannot go back."
    )


async def current(engine: AsyncEngine) -> str | None:
    """The revision the database is at, or None where nothing was ever migrated. Raises Unavailable."""
    try:
        async with engine.connect() as connection:
            # Asked first, because a statement that fails would be an ERROR in the server's log.
            if (await connection.execute(text("SELECT to_regclass('alembic_version')"))).scalar() is None:
                return None
            found: str | None = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()
            return found
    except (OSError, TimeoutError, DBAPIError) as error:
        raise _in_words(error) from error


async def has_app_role(engine: AsyncEngine) -> bool:
    """Whether connections can act as the role that may not rewrite the ledger."""
    question = text("SELECT count(*) FROM pg_roles WHERE rolname = :r AND pg_has_role(session_user, oid, 'MEMBER')")
    async with engine.connect() as connection:
        return bool((await connection.execute(question, {"r": APP_ROLE})).scalar_one())


def head() -> str:
    """The newest revision of this code. Read from the files: importing Alembic would cost every process its start."""
    revisions = _revisions()
    (newest,) = set(revisions) - set(revisions.values())
    return newest


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
    except (OSError, TimeoutError, DBAPIError) as error:
        raise _in_words(error) from error


def _in_words(error: Exception) -> EffectivelyOnceError:
    if sqlstate(error) == LOCK_TIMEOUT:
        return Unavailable("Another process held a lock this migration needs, so nothing was changed. Run it again.")
    if is_unreachable(error):
        return as_unavailable(error)
    return Unavailable(f"PostgreSQL refused: {in_words(getattr(error, 'orig', error))}.")
