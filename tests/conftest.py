"""What every test may ask for: real servers, once per test process, and a database of its own per test.

postgres, valkey, sandbox   servers, started at first use, once per pytest process, gone with it
database                    URL of a fresh database at the newest schema (a clone of a migrated template: ~30 ms)
settings                    Settings for that database, an emptied Redis, and a sandbox address nobody answers at
engine                      the application's engine on that database
Async tests need no mark: an `async def test_…` runs on asyncio.
"""

import asyncio
import gc
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.db import create_engine
from service.foundation.postgres.migrate import upgrade
from service.foundation.postgres.sql import Connection
from service.foundation.settings import Settings
from service.ops.embedded import Postgres, Valkey, free_port
from tests.cluster import give_data, run_folder, servers_parent
from tests.declared import watched
from tests.sandbox.process import SandboxProcess

NOBODY = "http://127.0.0.1:9"  # the discard port: a test that forgets its sandbox is refused at once
# The major version of most tests' server: 18 and 16 are in the wheel, 15 is looked for where Debian puts it.
VERSION = int(os.environ.get("EO_TEST_POSTGRES") or 18)
SHARED = {"shared_buffers": "64MB", "max_wal_size": "256MB"}

# Of each test's database: with both the same, its role is the one that the template has given its rights to.
NAME, OID = "test", 1_000_000

# The present life, closed: what a second listing leaves behind.
VERIFIED = """
INSERT INTO lives (identity, bound, margin, verified_until, heartbeat_at)
VALUES (database_identity(), now(), '6 minutes', 'infinity', now())
"""

# The files that take longest come first, then all other slow ones: no worker of pytest ends alone with one of them.
LONGEST = (
    "test_crash_matrix.py",
    "test_books.py",
    "test_chaos.py",
    "test_a_database_that_forgot.py",
    "test_up.py",
    "test_demo.py",
    "test_forgetting_model.py",
    "test_ten_thousand_orders_with_fifteen_percent_duplicates.py",
    "test_connections_fall_silent.py",
    "test_storm.py",
    "test_api_fuzz.py",
    "test_orders.py",
    "test_conformance.py",
    "test_pages.py",
    "test_protocol_model.py",
    "test_embedded.py",
    "test_redis_elsewhere.py",
    "test_zombie.py",
)

# Of the tests of a file that speak to one of these, `make test-fast` runs the first few, and of each its first case.
SERVERS = {"postgres", "valkey", "sandbox", "shared_sandbox", "own_sandbox", "shared_stripe", "own_stripe"}
FIRST_FEW = 3


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what `make test-fast` leaves out, so that no file is left out; sort by `LONGEST`."""
    met: dict[Path, set[str]] = {}
    for item in items:
        asks_for = set(getattr(item, "fixturenames", ()))
        if "browser" in asks_for:
            item.add_marker(pytest.mark.slow)
        elif isinstance(item, pytest.Function) and asks_for & SERVERS and not item.get_closest_marker("slow"):
            promises = met.setdefault(item.path, set())
            if len(promises) >= FIRST_FEW or item.originalname in promises:
                item.add_marker(pytest.mark.slow)
            promises.add(item.originalname)
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (place.get(item.path.name, len(LONGEST)), item.get_closest_marker("slow") is None))


def pytest_collection_finish() -> None:
    """What was collected stays to the end, so the garbage collector need not look through it again and again."""
    gc.freeze()


def pytest_unconfigure() -> None:
    """The process that ends last takes along what all shared."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        shutil.rmtree(run_folder(), ignore_errors=True)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The one event loop this code is written for."""
    return "asyncio"


@pytest.fixture(autouse=True)
def as_declared() -> Iterator[None]:
    """No statement of a test answers a null where none is declared, or is given a value that it does not name."""
    wrong: list[str] = []
    with pytest.MonkeyPatch.context() as patch:  # its own: a test's patches end before the servers of the test do
        patch.setattr(Connection, "rows", watched(Connection.rows, wrong))
        yield
    assert wrong == []


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """Where this test process's servers live; in memory where there is room."""
    parent = servers_parent()
    for left in parent.glob("eo-tests-*-*"):  # by a test process that was killed
        if not Path("/proc", left.name.split("-")[2]).exists():
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"eo-tests-{os.getpid()}-", dir=parent))
    folder.chmod(0o711)  # a standby of one server enters the folder of another
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(servers_folder: Path) -> Iterator[Postgres]:
    """PostgreSQL of the version asked for, with a template of the tests' databases."""
    server = Postgres(servers_folder / "postgres", version=VERSION, settings=SHARED)
    give_data(server, f"template-{VERSION}", _make_template)
    with server:
        yield server


def _make_template(server: Postgres) -> None:
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(server.url))
        runner.run(connection.execute(f"CREATE DATABASE {NAME} OID {OID}"))
        upgrade(server.database_url(NAME))
        runner.run(connection.execute(f"CREATE DATABASE template TEMPLATE {NAME} STRATEGY file_copy"))
        runner.run(connection.execute(f"DROP DATABASE {NAME}"))
        runner.run(connection.close())


@pytest.fixture(scope="session")
def admin(postgres: Postgres) -> Iterator[Callable[[str], object]]:
    """Runs a statement outside a transaction, on a connection that is kept: half of a clone's price was connecting."""
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(postgres.url))

        def execute(statement: str) -> object:
            return runner.run(connection.execute(statement))

        yield execute
        runner.run(connection.close())


@pytest.fixture(scope="session")
def valkey(servers_folder: Path) -> Iterator[Valkey]:
    """Valkey without persistence."""
    with Valkey(servers_folder / "valkey", password=secrets.token_urlsafe(24), persistent=False) as server:
        yield server


@pytest.fixture(scope="session")
def sandbox(servers_folder: Path) -> Iterator[str]:
    """Address of a Stripe stand-in of this test process. Its books are shared: use keys of your own."""
    process = SandboxProcess(servers_folder / "sandbox.sqlite3").start()
    yield process.base
    process.kill()


@pytest.fixture
def database(postgres: Postgres, admin: Callable[[str], object]) -> Iterator[str]:
    """URL of a database of this test alone."""
    admin(f"CREATE DATABASE {NAME} TEMPLATE template STRATEGY file_copy OID {OID}")
    asyncio.run(as_if_just_made(postgres.database_url(NAME)))
    yield postgres.database_url(NAME)
    admin(f"DROP DATABASE {NAME} WITH (FORCE)")


async def as_if_just_made(url: str) -> None:
    """A clone is an installation of its own, born now, whose first life Stripe was already asked about."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("UPDATE instance SET uuid = gen_random_uuid(), created_at = now()")
        await connection.execute(VERIFIED)
    finally:
        await connection.close()


@pytest.fixture
def settings(database: str, valkey: Valkey, tmp_path: Path) -> Settings:
    """For this test's database and an emptied Redis. `dataclasses.replace` for everything else."""
    valkey.command("FLUSHALL")
    return Settings(
        database_url=database,
        redis_url=valkey.url,
        stripe_api_key="sk_test_" + "0" * 24,
        stripe_api_base=NOBODY,
        api_key="eo_test_" + "0" * 24,
        port=free_port(),
        data_dir=tmp_path / ".eo",
    )


@pytest.fixture
def full_redis(settings: Settings, valkey: Valkey) -> Iterator[None]:
    """Redis has reached maxmemory: it is read, and takes no writes."""
    del settings  # it empties Redis, and that first
    valkey.command("CONFIG SET maxmemory 1")
    yield
    valkey.command("CONFIG SET maxmemory 0")


@pytest.fixture
async def engine(settings: Settings) -> AsyncIterator[AsyncEngine]:
    """The application's own engine: its role, its time limits."""
    engine = create_engine(settings, name="test")
    yield engine
    await engine.dispose()
