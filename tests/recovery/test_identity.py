"""Every way in which a database can come to forget gives it another identity; nothing else does (R31)."""

import asyncio
import shutil
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import asyncpg
import pytest

from service.foundation.errors import Misconfigured
from service.foundation.postgres import migrate, roles
from service.ops.embedded import Postgres, postgres_programs
from tests.chaos.lives import DUMP_STYLES, Dump, Folder, Standby, sql

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

IDENTITY = "SELECT database_identity()"
CALLS = 5_000

_numbers = count(1)


@pytest.fixture(params=[18, 16, 15], scope="module")
def server(request: pytest.FixtureRequest, servers_folder: Path) -> Iterator[Postgres]:
    """Every PostgreSQL that can be had here, with the schema."""
    try:
        postgres_programs(request.param)
    except Misconfigured as error:
        pytest.skip(str(error))
    with Postgres(servers_folder / f"identity{request.param}", version=request.param) as server:
        migrate.upgrade(server.url)
        yield server


@pytest.fixture
def folder(servers_folder: Path) -> Iterator[Path]:
    """A name for what a test keeps."""
    folder = servers_folder / f"kept{next(_numbers)}"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def identity(server: Postgres, *, before: str = "SELECT 1", database: str = "postgres") -> str:
    """As a connection of its own sees it, which has executed `before`."""

    async def ask() -> str:
        connection = await asyncpg.connect(server.database_url(database))
        try:
            await connection.execute(before)
            return str(await connection.fetchval(IDENTITY))
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_it_stays_the_same_while_the_server_runs(server: Postgres) -> None:
    first = identity(server)
    sql(server, "CREATE TABLE another (id int); ALTER TABLE another ADD COLUMN more text; DROP TABLE another")
    sql(server, "CREATE INDEX passing ON orders (updated_at); REINDEX TABLE orders; DROP INDEX passing; ANALYZE orders")
    sql(server, "VACUUM", transaction=False)
    sql(server, "VACUUM (FREEZE) orders", transaction=False)
    sql(server, "CHECKPOINT; SELECT pg_switch_wal()", transaction=False)
    assert identity(server) == first
    assert identity(server, before=roles.BECOME) == first


def test_it_is_another_after_a_plain_restart(server: Postgres) -> None:
    first = identity(server)
    server.stop()
    server.start()
    assert identity(server) != first


def test_it_is_another_after_a_crash(server: Postgres) -> None:
    first = identity(server)
    server.kill()
    server.start()
    assert identity(server) != first


@pytest.mark.parametrize("style", DUMP_STYLES)
def test_it_is_another_when_a_dump_was_loaded_over_it(style: str, server: Postgres, folder: Path) -> None:
    first = identity(server)
    dump = Dump(server, folder, style=style)
    dump.put_in_force()
    second = identity(server)
    dump.put_in_force()
    assert len({first, second, identity(server)}) == 3, "each loading is another life"


def test_it_is_another_in_a_new_database_made_of_a_dump(server: Postgres, folder: Path) -> None:
    first = identity(server)
    Dump(server, folder).load_elsewhere("elsewhere")
    assert identity(server, database="elsewhere") != first
    assert identity(server) == first
    sql(server, "DROP DATABASE elsewhere", transaction=False)


def test_it_is_another_in_a_database_copied_by_the_server(server: Postgres) -> None:
    sql(server, "CREATE DATABASE original", transaction=False)
    migrate.upgrade(server.database_url("original"))
    sql(server, "CREATE DATABASE copied TEMPLATE original", transaction=False)
    assert identity(server, database="copied") != identity(server, database="original")
    for name in ("copied", "original"):
        sql(server, f"DROP DATABASE {name}", transaction=False)


def test_it_is_another_under_a_promoted_standby_which_was_never_restarted(server: Postgres, folder: Path) -> None:
    first = identity(server)
    standby = Standby(server, folder)
    try:
        started = sql(standby.server, "SELECT pg_postmaster_start_time()")
        standby.promote()
        promoted = identity(standby.server)
        assert sql(standby.server, "SELECT pg_postmaster_start_time()") == started
    finally:
        standby.discard()
    assert promoted != first
    assert promoted.split("/")[0] == first.split("/")[0], "the cluster is the same"
    assert promoted.split("/")[1] != first.split("/")[1], "the timeline is not"


def test_two_standbys_promoted_from_one_primary_are_told_apart(server: Postgres, folder: Path) -> None:
    identities = []
    for _ in range(2):
        standby = Standby(server, folder)
        try:
            standby.promote()
            identities.append(identity(standby.server))
        finally:
            standby.discard()
            shutil.rmtree(folder)
    assert identities[0] != identities[1]


@pytest.mark.parametrize("stopped", [True, False], ids=["copied while stopped", "by pg_basebackup"])
def test_it_is_another_after_the_folder_was_put_back(stopped: bool, server: Postgres, folder: Path) -> None:
    identities = [identity(server)]
    if stopped:
        server.stop()
    memory = Folder(server, folder, stopped=stopped)
    if stopped:
        server.start()
        identities.append(identity(server))
    memory.put_in_force()
    identities.append(identity(server))
    assert len(set(identities)) == len(identities)


@pytest.mark.parametrize(
    ("refused", "parts"),
    [
        ("pg_control_system()", {0}),
        ("pg_walfile_name(pg_lsn)", {1}),
        ("pg_current_wal_lsn()", {1}),
    ],
)
def test_where_a_part_is_refused_the_rest_still_tells_lives_apart(
    refused: str, parts: set[int], server: Postgres, folder: Path
) -> None:
    whole = identity(server, before=roles.BECOME).split("/")
    sql(server, f"REVOKE EXECUTE ON FUNCTION {refused} FROM PUBLIC")
    try:
        rest = identity(server, before=roles.BECOME)
        assert rest.split("/") == ["-" if n in parts else part for n, part in enumerate(whole)]
        Dump(server, folder).put_in_force()
        assert identity(server, before=roles.BECOME) != rest
    finally:
        sql(server, f"GRANT EXECUTE ON FUNCTION {refused} TO PUBLIC")


def test_it_is_asked_for_once_however_many_lives_there_were(server: Postgres) -> None:
    plan = sql(server, "SET enable_seqscan = off; EXPLAIN SELECT id FROM lives WHERE identity = database_identity()")
    assert "Index Cond: (identity = database_identity())" in plan


def test_what_it_costs(server: Postgres) -> None:
    async def measure() -> float:
        connection = await asyncpg.connect(server.url)
        try:
            began = time.perf_counter()
            await connection.fetchval(f"SELECT count(database_identity()) FROM generate_series(1, {CALLS})")
            return (time.perf_counter() - began) / CALLS
        finally:
            await connection.close()

    print(f"PostgreSQL {server.version}: {1e6 * asyncio.run(measure()):.0f} µs per call")
