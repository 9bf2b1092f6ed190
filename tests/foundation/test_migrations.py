"""The schema in code, the migrations, and the databases they are run on agree; what does not is refused by name."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.errors import Misconfigured, Unavailable
from service.foundation.postgres import migrate
from service.foundation.postgres.db import bare_engine, create_engine
from service.foundation.postgres.schema import metadata
from service.foundation.settings import Settings
from service.ops.embedded import Postgres, postgres_programs

pytestmark = pytest.mark.slow


@pytest.fixture(params=[18, 16, 15], scope="module")
def server(request: pytest.FixtureRequest, servers_folder: Path) -> Iterator[Postgres]:
    """Every PostgreSQL that can be had here."""
    try:
        postgres_programs(request.param)
    except Misconfigured as error:
        pytest.skip(str(error))
    with Postgres(servers_folder / f"postgres{request.param}", version=request.param) as server:
        yield server


def execute(url: str, statement: str) -> None:
    async def run() -> None:
        engine = bare_engine(url, isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            await connection.execute(text(statement))
        await engine.dispose()

    asyncio.run(run())


def test_up_down_up_and_the_result_is_the_schema_in_code(server: Postgres) -> None:
    execute(server.url, "CREATE DATABASE up_down_up")
    url = server.database_url("up_down_up")
    migrate.upgrade(url)
    migrate.downgrade(url, "base")
    migrate.upgrade(url)
    command.check(migrate._alembic(url))


CHECKS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
 WHERE contype = 'c' AND connamespace = 'public'::regnamespace
"""


async def checks(url: str, *, made_of_the_code: bool = False) -> set[tuple[str, str, str]]:
    engine = bare_engine(url)
    async with engine.begin() as connection:
        if made_of_the_code:
            await connection.run_sync(metadata.create_all)
        found = {(row[0], row[1], row[2]) for row in await connection.execute(text(CHECKS))}
    await engine.dispose()
    return found


def test_the_migrated_checks_are_those_of_the_code(database: str, postgres: Postgres) -> None:
    """Alembic compares no CHECK: a new state without its migration would be refused by the first order in it."""
    execute(postgres.url, "CREATE DATABASE made_of_the_code")
    migrated = asyncio.run(checks(database))
    assert migrated == asyncio.run(checks(postgres.database_url("made_of_the_code"), made_of_the_code=True))
    assert any("paid" in definition for _, _, definition in migrated)


KEY = """
INSERT INTO api_keys (id, account_id, hmac, last4) SELECT 'key', id, 'x', 'last' FROM accounts
"""
MAY_ALL = "SELECT count(*) FROM api_keys WHERE scopes = '{admin}'"
ORDER = """
INSERT INTO orders (id, account_id, idempotency_key, fingerprint, amount_minor, currency, payment_method, status)
SELECT gen_random_uuid(), id, 'k', decode(repeat('00', 33), 'hex'), 1999, 'usd', 'pm_card_visa', 'pending' FROM accounts
"""
WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'"


def test_a_database_with_keys_and_orders_goes_down_and_up_again(server: Postgres) -> None:
    execute(server.url, "CREATE DATABASE down_with_rows")
    url = server.database_url("down_with_rows")
    migrate.upgrade(url)
    execute(url, KEY)
    execute(url, ORDER)
    for revision in ("0004", "0002", "0001"):
        migrate.downgrade(url, revision)
    execute(url, KEY.replace("'key', id, 'x'", "'old', id, 'y'"))
    migrate.upgrade(url)
    execute(url, "DO $$ BEGIN ASSERT (SELECT count(*) FROM orders, accounts) = 1; END $$")
    execute(url, f"DO $$ BEGIN ASSERT ({MAY_ALL}) = 2, 'a key of before may do what it could'; END $$")
    migrate.downgrade(url, "base")


GIVEN_BACK = """
INSERT INTO ledger_accounts (account_id, code, currency, type)
SELECT id, 'contra:refunds', 'usd', 'contra_income' FROM accounts
"""


def test_once_a_refund_is_booked_its_migration_stays_and_nothing_is_half_undone(postgres: Postgres) -> None:
    execute(postgres.url, "CREATE DATABASE given_back")
    url = postgres.database_url("given_back")
    migrate.upgrade(url)
    migrate.downgrade(url, "0008")
    migrate.upgrade(url)
    execute(url, GIVEN_BACK)
    with pytest.raises(Unavailable, match="ledger_accounts_type_known_check"):
        migrate.downgrade(url, "0008")
    migrate.upgrade(url)  # 0010 alone was undone
    command.check(migrate._alembic(url))


def test_a_migration_that_waits_for_a_lock_holds_up_no_reader(postgres: Postgres) -> None:
    """Who wants a lock that a long transaction holds stands before all who come later: so it must not stand long."""
    execute(postgres.url, "CREATE DATABASE busy")
    url = postgres.database_url("busy")
    migrate.upgrade(url, "0007")

    async def run() -> None:
        holder, reader = [await asyncpg.connect(url) for _ in range(2)]
        async with holder.transaction():
            await holder.execute("LOCK orders, instance, charges, discrepancies IN ACCESS SHARE MODE")
            migration = asyncio.create_task(asyncio.to_thread(migrate.upgrade, url))
            for _ in range(2):  # it came, gave up, and came again
                while not await reader.fetchval(WAITS):
                    assert not migration.done()
                await reader.execute("SET lock_timeout = '2s'")
                await reader.fetch("SELECT count(*) FROM orders, instance, charges, discrepancies")
                while await reader.fetchval(WAITS):
                    await asyncio.sleep(0.01)
        await migration
        for connection in (holder, reader):
            await connection.close()

    asyncio.run(run())


def test_a_migration_that_was_chosen_to_end_a_deadlock_comes_again(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen beside workers of 0.1 under load: `eo migrate` ended, and said that PostgreSQL could not be reached."""
    execute(postgres.url, "CREATE DATABASE deadlocks")
    url = postgres.database_url("deadlocks")
    upgrade, tried = command.upgrade, list[str]()

    def deadlocks_once(config: Config, revision: str) -> None:
        tried.append(revision)
        if len(tried) == 1:
            raise DBAPIError("ALTER TABLE", None, asyncpg.DeadlockDetectedError("deadlock detected"))
        upgrade(config, revision)

    monkeypatch.setattr(command, "upgrade", deadlocks_once)
    migrate.upgrade(url)
    assert len(tried) == 2
    monkeypatch.setattr(migrate, "LOCKS_S", -1.0)
    tried.clear()
    with pytest.raises(Unavailable, match=r"held a lock.*Run it again"):
        migrate.upgrade(url)


def test_two_migrations_at_once_are_safe(postgres: Postgres) -> None:
    execute(postgres.url, "CREATE DATABASE two_at_once")
    url = postgres.database_url("two_at_once")
    program = [sys.executable, "-m", "service", "migrate"]
    both = [subprocess.Popen(program, env={"DATABASE_URL": url}, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert all(migrate.head() in words for words in said)
    command.check(migrate._alembic(url))


def test_the_newest_revision_is_the_one_alembic_names() -> None:
    assert ScriptDirectory(str(migrate.FOLDER)).get_current_head() == migrate.head()


async def test_an_empty_database_is_refused_and_the_message_names_the_command(
    settings: Settings, postgres: Postgres
) -> None:
    engine = create_engine(replace(settings, database_url=postgres.url), name="test")
    with pytest.raises(Misconfigured, match=r"has no schema yet.*`eo migrate`"):
        await migrate.check(engine)
    await engine.dispose()


@pytest.mark.parametrize(("found", "words"), [("0001", "`eo migrate`"), ("9999", "is newer")])
async def test_another_schema_is_refused_older_or_newer(
    database: str, engine: AsyncEngine, found: str, words: str
) -> None:
    owner = bare_engine(database)
    async with owner.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": found})
    await owner.dispose()
    with pytest.raises(Misconfigured, match=words):
        await migrate.check(engine)


def test_a_database_that_is_away_is_said_to_be_so() -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        migrate.upgrade("postgresql://nobody:x@127.0.0.1:9/none")


def test_an_address_that_is_none_is_said_to_be_so() -> None:
    with pytest.raises(Misconfigured, match="DATABASE_URL"):
        migrate.upgrade("nonsense")
