"""Getting a connection: host by host, each within its bound, with a session that is ours whatever the defaults."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

import asyncpg
import pytest
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.errors import Unavailable
from service.foundation.postgres import driver, migrate
from service.foundation.postgres.db import as_unavailable, close, connector_of, create_engine, is_unreachable
from service.foundation.postgres.sql import Record, Statement, begin, connect
from service.foundation.settings import Settings
from service.ops.embedded import Postgres
from tests.ops.test_cli import eo


class Named(Record):
    """An account's name."""

    name: str


NAMES = Statement("SELECT name FROM accounts ORDER BY name")
MAKE = Statement("INSERT INTO accounts (id, name) VALUES (gen_random_uuid(), :name)")
PID = Statement("SELECT pg_backend_pid() AS pid")
SET = Statement("SELECT set_config(:name, :value, false)")
READ = Statement("SELECT current_setting(:name) AS value")


@contextmanager
def silent_host() -> Iterator[str]:
    """It accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def black_hole() -> Iterator[str]:
    """Its queue of connections is full, so that the kernel drops whoever comes: no answer at all."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, ExitStack() as stack:
        for _ in range(3):
            filling = stack.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex(server.getsockname())
        yield f"127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def closed_port() -> Iterator[str]:
    """Nobody listens there."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture
def short_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "CONNECT_S", 1.0)


def with_first(host: str, url: str) -> str:
    """The same database, with another host to try before it. A socket's folder is a host, too."""
    parts = urlsplit(url)
    name, port = host.split(":")
    folder = parts.query.removeprefix("host=")
    return f"postgresql://{parts.netloc}/{parts.path[1:]}?host={name},{folder}&port={port},5432"


@pytest.mark.usefixtures("short_connects")
@pytest.mark.parametrize("first", [silent_host, black_hole, closed_port])
async def test_a_first_host_that_is_gone_costs_its_bound_once(settings: Settings, first: Callable[[], object]) -> None:
    with first() as host:  # type: ignore[attr-defined]
        engine = create_engine(replace(settings, database_url=with_first(host, settings.database_url)), name="hosts")
        async with asyncio.timeout(10):
            async with connect(engine) as connection:
                assert await connection.column(NAMES, {}) == ["default"]
            found = connector_of(engine)._in_turn()
            assert host not in found[0]  # the next connection goes to the one that answered
        await close(engine)


@pytest.mark.usefixtures("short_connects")
async def test_when_no_host_answers_each_is_named_with_its_reason() -> None:
    with silent_host() as silent, closed_port() as closed:
        url = f"postgresql://eo:secret-word@{silent},{closed}/orders"
        engine = create_engine(Settings(database_url=url), name="hosts")
        with pytest.raises(Unavailable) as away:
            await migrate.check(engine)
        await close(engine)
    said = str(away.value)
    assert f"{silent}: no answer within 1 s" in said
    assert closed in said
    assert "Connect call failed" in said
    assert "secret-word" not in said
    assert said.count("PostgreSQL cannot be reached") == 1


def test_migrate_check_with_several_hosts_says_why_and_exits_3() -> None:
    with closed_port() as one, closed_port() as other:
        done = eo("migrate", "--check", DATABASE_URL=f"postgresql://eo:pw@{one},{other}/orders")
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert one in done.stderr
    assert other in done.stderr


@pytest.fixture(scope="module")
def reading_only(servers_folder: object) -> Iterator[Postgres]:
    """A server that takes no writes, as a standby does."""
    from pathlib import Path

    assert isinstance(servers_folder, Path)
    with Postgres(servers_folder / "read-only", settings={"default_transaction_read_only": "on"}) as server:
        yield server


async def test_a_host_that_takes_no_writes_is_passed_over(reading_only: Postgres, postgres: Postgres) -> None:
    both = f"postgresql://eo@/postgres?host={reading_only.sockets},{postgres.sockets}"
    engine = create_engine(Settings(database_url=both), name="hosts", as_app=False)
    async with connect(engine) as connection:
        assert await connection.column(READ, {"name": "default_transaction_read_only"}) == ["off"]
    await close(engine)
    alone = f"postgresql://eo@/postgres?host={reading_only.sockets}&target_session_attrs=read-write"
    engine = create_engine(Settings(database_url=alone), name="hosts", as_app=False)
    with pytest.raises(Unavailable, match="read-write"):
        async with connect(engine):
            pass
    await close(engine)


async def test_connections_of_a_server_that_became_read_only_are_thrown_away(engine: AsyncEngine) -> None:
    """A role change without closed connections: each of them would say 25006 for ever."""
    async with connect(engine) as connection:
        await connection.rows(SET, {"name": "default_transaction_read_only", "value": "on"})
        pid = (await connection.column(PID, {}))[0]
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError) as refused:
        async with connect(engine) as connection:
            await connection.rows(MAKE, {"name": "a"})
    assert is_unreachable(refused.value)
    async with connect(engine) as connection:
        assert (await connection.column(PID, {}))[0] != pid
        await connection.rows(MAKE, {"name": "a"})
    async with engine.begin() as cold:
        await cold.exec_driver_sql("SELECT set_config('default_transaction_read_only', 'on', false)")
    with pytest.raises(Exception, match="read-only"):
        await _write_cold(engine)
    await _write_cold(engine)


async def _write_cold(engine: AsyncEngine) -> None:
    async with engine.begin() as cold:
        await cold.exec_driver_sql("INSERT INTO accounts (id, name) VALUES (gen_random_uuid(), 'b')")


DEFAULTS = {
    "default_transaction_isolation": ("serializable", "read committed"),
    "default_transaction_deferrable": ("on", "off"),
    "statement_timeout": ("2s", "9s"),
    "lock_timeout": ("2s", "0"),
    "idle_session_timeout": ("2s", "0"),
    "transaction_timeout": ("2s", "30s"),
    "client_min_messages": ("error", "warning"),
    "timezone": ("Asia/Tokyo", "UTC"),
    "datestyle": ("SQL, DMY", "ISO, MDY"),
}


async def test_where_no_connection_stays_trusted_until_it_is_used_the_database_is_away(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the moment of a demotion, when each new connection is distrusted before its turn comes."""
    monkeypatch.setattr(driver.Driver, "is_trusted", False)
    with pytest.raises(InvalidRequestError) as refused:
        async with begin(engine):
            pass
    assert is_unreachable(refused.value)
    assert "PostgreSQL cannot be reached" in str(as_unavailable(refused.value))


async def test_the_session_is_ours_whatever_the_database_has_for_defaults(
    settings: Settings, admin: Callable[[str], object]
) -> None:
    name = urlsplit(settings.database_url).path[1:]
    for setting, (theirs, _) in DEFAULTS.items():
        await asyncio.to_thread(admin, f"ALTER DATABASE {name} SET {setting} = '{theirs}'")
    engine = create_engine(settings, name="session")
    async with connect(engine) as connection:
        found = {setting: (await connection.column(READ, {"name": setting}))[0] for setting in DEFAULTS}
    assert found == {setting: ours for setting, (_, ours) in DEFAULTS.items()}
    async with begin(engine) as tx:
        assert await tx.column(READ, {"name": "transaction_isolation"}) == ["read committed"]
    await close(engine)


async def test_a_client_that_falls_silent_in_the_middle_of_a_statement_keeps_no_lock(settings: Settings) -> None:
    """Between preparing and running it the server waits for more of the statement, for ever, and keeps its locks."""
    silent, owner = (
        create_engine(settings, name="silent", statement_s=0.5),
        create_engine(settings, name="owner", as_app=False),
    )
    borrowed = await silent.connect()
    held = (await borrowed.get_raw_connection()).driver_connection
    assert held is not None
    await held.prepare("SELECT name FROM accounts")
    async with asyncio.timeout(8), owner.begin() as other:
        await other.exec_driver_sql("LOCK TABLE accounts")
    await borrowed.invalidate()
    await close(silent)
    await close(owner)


async def test_who_finds_the_server_full_waits_for_a_connection(
    settings: Settings, admin: Callable[[str], object]
) -> None:
    name = urlsplit(settings.database_url).path[1:]
    await asyncio.to_thread(admin, f"CREATE ROLE {name} LOGIN PASSWORD 'pw' CONNECTION LIMIT 1")
    url = settings.database_url.replace(urlsplit(settings.database_url).netloc, f"{name}:pw@")
    first, second = (create_engine(replace(settings, database_url=url), name=n, as_app=False) for n in "ab")
    async with connect(first):
        waiting = asyncio.create_task(_pid(second))
        await asyncio.sleep(0.3)
        assert not waiting.done()
    await close(first)
    async with asyncio.timeout(10):
        await waiting
    await close(second)
    await asyncio.to_thread(admin, f"DROP ROLE {name}")


async def _pid(engine: AsyncEngine) -> int:
    async with connect(engine) as connection:
        return int((await connection.column(PID, {}))[0])


async def test_a_column_whose_type_changed_is_read_as_before(
    settings: Settings, engine: AsyncEngine, database: str
) -> None:
    """The driver's own second try would return rows of another class, of a statement that may have committed."""
    pooled = create_engine(settings, name="types", pool=1, as_app=False)
    statement = Statement("UPDATE accounts SET name = name RETURNING name").returning(Named)
    owner = await asyncpg.connect(database)
    async with connect(pooled) as connection:
        assert [row.name for row in await connection.rows(statement, {})] == ["default"]
    for kind in ("varchar(90)", "varchar(91)"):
        await owner.execute(f"ALTER TABLE accounts ALTER name TYPE {kind}")
        async with connect(pooled) as connection:
            rows = await connection.rows(statement, {})
        assert [(type(row), row.name) for row in rows] == [(Named, "default")]
    await owner.close()
    await close(pooled)


STATES = ["08006", "28000", "28P01", "3D000", "40001", "53300", "53100", "57014", "57P01", "57P03", "58030", "25006"]


@pytest.mark.parametrize("state", STATES)
def test_these_states_mean_try_again(state: str) -> None:
    assert is_unreachable(asyncpg.PostgresError.new({"C": state, "M": "m"}))


@pytest.mark.parametrize("state", ["23505", "22P02", "42601", "42P01", "55P03"])
def test_these_states_mean_that_the_statement_was_refused(state: str) -> None:
    assert not is_unreachable(asyncpg.PostgresError.new({"C": state, "M": "m"}))


@pytest.mark.parametrize("error", [TimeoutError(), OSError(), asyncpg.InterfaceError("closed"), ConnectionError()])
def test_no_reason_is_empty_and_none_is_doubled(error: Exception) -> None:
    said = str(as_unavailable(error))
    assert ": ." not in said
    assert str(as_unavailable(as_unavailable(error))) == said
