"""The embedded servers start where a user is: below closed folders, as root or not, after any kind of death."""

import asyncio
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from service.foundation.errors import Misconfigured
from service.foundation.postgres.migrate import upgrade
from service.ops import isolation
from service.ops.child import wait_until
from service.ops.embedded import OWNER, SOCKET_PATH_MAX, SUPERUSER_FILE, Postgres, Valkey, postgres_programs
from service.ops.embedded import postgres as embedded
from service.ops.isolation import User, give

pytestmark = pytest.mark.slow

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def closed(servers_folder: Path) -> Iterator[Path]:
    """A folder that only its owner may enter."""
    folder = Path(tempfile.mkdtemp(dir=servers_folder))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    yield folder
    shutil.rmtree(folder)


def ask(url: str, question: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(question)
        finally:
            await connection.close()

    return asyncio.run(run())


def test_postgres_starts_below_a_closed_folder_and_opens_none(closed: Path) -> None:
    with Postgres(closed / "deep" / "postgres") as postgres:
        assert str(ask(postgres.url, "SHOW server_version")).startswith("18.")
        assert ask(postgres.url, "SHOW listen_addresses") == ""
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert stat.S_IMODE((closed / "deep" / "postgres").stat().st_mode) == 0o700


def forked(work: Callable[[], str], uid: int) -> str:
    """What `work` answers as another user. A fork, because the interpreter may lie where that user may not enter."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            said = work()
        except BaseException as error:  # noqa: BLE001  the parent shows it
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode()[:4000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answers:
        said = answers.read()
    os.waitpid(child, 0)
    return said


@as_root
def test_a_server_of_root_has_a_user_that_nobody_else_is_and_no_capability(closed: Path) -> None:
    servers: list[Postgres | Valkey] = [Postgres(closed / "postgres"), Valkey(closed / "valkey", password="p" * 20)]
    for server in servers:
        with server:
            status = dict(line.split(":\t", 1) for line in Path(f"/proc/{server.pid}/status").read_text().splitlines())
            assert server.user
            uid = server.user.uid
            assert status["Uid"].split() == status["Gid"].split() == [str(uid)] * 4
            assert status["Groups"].strip() == ""
            assert [int(status[f"Cap{which}"], 16) for which in ("Inh", "Prm", "Eff", "Amb")] == [0] * 4
            assert status["NoNewPrivs"] == "1"
        with pytest.raises(KeyError):
            pwd.getpwuid(uid)
        with server:
            assert server.user == User(uid, uid)  # kept over a restart


@as_root
@pytest.mark.parametrize("who", [OWNER, "postgres"])
def test_another_user_is_refused_even_where_every_folder_is_open(closed: Path, who: str) -> None:
    with Postgres(closed / "postgres") as postgres:
        for folder in (closed, postgres.folder, postgres.sockets):
            folder.chmod(0o777)
        (postgres.sockets / ".s.PGSQL.5432").chmod(0o777)
        url = f"postgresql://{who}@/postgres?host={postgres.sockets}"
        said = forked(lambda: str(ask(url, "SELECT 1")), NOBODY)
        assert "authentication failed" in said or "needs a password" in said


def test_the_service_owns_its_database_and_nothing_of_the_machine(closed: Path) -> None:
    with Postgres(closed / "postgres") as postgres:
        assert ask(postgres.owner_url, "SELECT rolsuper FROM pg_roles WHERE rolname = session_user") is False
        upgrade(postgres.owner_url)
        assert ask(postgres.owner_url, "SELECT count(*) FROM accounts") == 1
        for forbidden in (
            "SELECT pg_read_file('/etc/hostname')",
            "COPY accounts TO PROGRAM 'cat'",
            "SET ROLE postgres",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                ask(postgres.owner_url, forbidden)


MIGRATED = "eo_app_01234567"  # made by `eo migrate` while version 0.1 was running, so of the superuser


@pytest.fixture
def of_0_1(closed: Path) -> Path:
    """Data as version 0.1 left it: of `nobody` where root made it, the socket trusted, all of it the superuser's."""
    folder = closed / "postgres"
    with Postgres(folder) as postgres:
        ask(postgres.url, "CREATE TABLE kept (n int)")
        ask(postgres.url, "CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        ask(postgres.url, f"CREATE ROLE {MIGRATED} NOLOGIN")
        ask(postgres.url, "ALTER DATABASE postgres OWNER TO postgres")
        ask(postgres.url, f"DROP ROLE {OWNER}")
    (postgres.data / SUPERUSER_FILE).unlink()
    (postgres.data / "pg_hba.conf").write_text("local all all trust\n")
    (postgres.data / "pg_ident.conf").write_text("")
    if os.geteuid() == 0:
        give(folder, User(NOBODY, NOBODY))
    return folder


def test_data_of_0_1_goes_on_under_the_new_rules(of_0_1: Path) -> None:
    for _ in range(2):
        with Postgres(of_0_1) as postgres:
            assert ask(postgres.owner_url, "SELECT count(*) FROM kept") == 0
            assert ask(postgres.owner_url, "SELECT one()") == 1
            assert ask(postgres.owner_url, f"SELECT pg_has_role('{MIGRATED}', 'MEMBER')")
            assert ask(postgres.owner_url, "ALTER TABLE kept ADD COLUMN IF NOT EXISTS more int") is None
            with pytest.raises(asyncpg.PostgresError, match="password"):
                ask(f"postgresql://postgres@/postgres?host={postgres.sockets}", "SELECT 1")
            owners = {path.lstat().st_uid for path in (of_0_1, *of_0_1.rglob("*"))}
            assert owners == {postgres.user.uid if postgres.user else os.geteuid()}
            assert NOBODY not in owners


@as_root
def test_programs_below_a_closed_folder_run_as_a_copy(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = postgres_programs(18).parent.parent
    programs = closed / package.name / "programs"
    shutil.copytree(postgres_programs(18).parent, programs, ignore=shutil.ignore_patterns("include"))
    shutil.copytree(package.with_suffix(".libs"), closed / f"{package.name}.libs")
    with tempfile.TemporaryDirectory() as passable:
        Path(passable).chmod(0o755)
        monkeypatch.setattr(isolation, "_COPIES", Path(passable) / "copies")
        monkeypatch.setattr(embedded, "postgres_programs", lambda _version: programs / "bin")
        for _ in range(2):
            with Postgres(closed / "postgres") as postgres:
                assert Path(f"/proc/{postgres.pid}/exe").resolve().is_relative_to(passable)
                assert ask(postgres.owner_url, "SELECT 1") == 1
        assert len(list((Path(passable) / "copies").iterdir())) == 1


@as_root
def test_the_servers_start_for_a_user_who_is_not_root(servers_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the packages lie below a folder that only root may enter."""
    programs = isolation.reachable(postgres_programs(18).parent, "bin/postgres", User(NOBODY, NOBODY)) / "bin"
    folder = servers_folder / "of-nobody"
    folder.mkdir(mode=0o700)
    os.chown(folder, NOBODY, NOBODY)

    monkeypatch.setattr(embedded, "postgres_programs", lambda _version: programs)

    def work() -> str:
        with Postgres(folder / "postgres") as postgres:
            return f"{ask(postgres.owner_url, 'SELECT session_user')} {postgres.user}"

    assert forked(work, NOBODY) == f"{OWNER} None"


@pytest.mark.parametrize("version", [18, 16, 15])
def test_every_supported_version_starts_and_is_durable(closed: Path, version: int) -> None:
    try:
        postgres_programs(version)
    except Misconfigured as error:
        pytest.skip(str(error))
    if version < 16:
        closed.chmod(0o711)  # it changes back to its folder by name
    with Postgres(closed / "postgres", version=version) as postgres:
        assert str(ask(postgres.url, "SHOW server_version")).startswith(f"{version}.")
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            assert ask(postgres.url, f"SHOW {name}") == "on"


def test_data_of_another_version_is_refused_with_both_named(closed: Path) -> None:
    with Postgres(closed / "postgres", version=16):
        pass
    with pytest.raises(Misconfigured, match=r"PostgreSQL 16, this is 18"):
        Postgres(closed / "postgres", version=18).start()


def test_what_was_committed_survives_kill_9_and_the_next_start_is_ours(closed: Path) -> None:
    first = Postgres(closed / "postgres")
    first.start()
    ask(first.url, "CREATE TABLE kept (n int)")
    assert first.pid
    os.kill(first.pid, signal.SIGKILL)
    assert wait_until(lambda: not first.is_running, within_s=5)
    with Postgres(closed / "postgres") as second:
        assert ask(second.url, "SELECT count(*) FROM kept") == 0


def test_a_pid_file_that_names_a_stranger_does_not_prevent_the_start(closed: Path) -> None:
    with Postgres(closed / "postgres") as postgres:
        lines = (postgres.data / "postmaster.pid").read_text().splitlines()
    stranger = subprocess.Popen(["sleep", "60"])  # noqa: S607
    try:
        (postgres.data / "postmaster.pid").write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        (postgres.sockets / ".s.PGSQL.5432.lock").write_text(f"{stranger.pid}\n")
        with Postgres(closed / "postgres") as again:
            assert ask(again.url, "SELECT 1") == 1
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_first_start_that_was_killed_half_way_is_begun_anew(closed: Path) -> None:
    half = closed / "postgres" / "data.new" / "base"
    half.mkdir(parents=True)
    with Postgres(closed / "postgres") as postgres:
        assert ask(postgres.url, "SELECT 1") == 1


def test_a_path_too_long_for_a_socket_is_no_obstacle(closed: Path) -> None:
    with Postgres(closed / ("long" * 25) / "postgres") as postgres:
        assert len(str(postgres.sockets)) < SOCKET_PATH_MAX
        assert ask(postgres.url, "SELECT 1") == 1
        sockets = postgres.sockets
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    assert not sockets.exists()


def test_valkey_keeps_its_data_over_a_restart_and_never_evicts(closed: Path) -> None:
    for expected in ("$-1", "$4"):
        with Valkey(closed / "valkey", password="p" * 20) as valkey:
            assert valkey.command("GET key") == expected
            assert valkey.command("SET key kept") == "+OK"
            assert "maxmemory_policy:noeviction" in info(valkey)


def test_valkey_asks_for_its_password_and_shows_it_to_nobody(closed: Path) -> None:
    with Valkey(closed / "valkey", password="p" * 20) as valkey:
        command = Path(f"/proc/{valkey.pid}/cmdline").read_text()
        assert "p" * 20 not in command
        assert stat.S_IMODE((closed / "valkey" / "valkey.conf").stat().st_mode) == 0o600
        valkey._password = "wrong"
        assert valkey.command("PING").startswith("-NOAUTH")
        valkey._password = "p" * 20


@pytest.mark.parametrize("kind", ["Postgres(folder)", "Valkey(folder, password='p' * 20)"])
def test_a_server_dies_with_its_parent_even_by_kill_9(closed: Path, kind: str) -> None:
    program = (
        "import sys, time; from pathlib import Path; from service.ops.embedded import Postgres, Valkey\n"
        f"folder = Path(sys.argv[1]); server = {kind}; server.start()\n"
        "print(server.pid, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", program, str(closed / "server")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        parent.kill()
    assert wait_until(lambda: not Path(f"/proc/{pid}").exists(), within_s=10)


def info(valkey: Valkey) -> str:
    import redis

    with redis.Redis.from_url(valkey.url) as client:
        return f"maxmemory_policy:{client.info('memory')['maxmemory_policy']}"
