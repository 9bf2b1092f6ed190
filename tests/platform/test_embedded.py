"""The embedded servers start where a user is: below closed folders, as root or not, after any kind of death."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from service import child
from service.child import become_user, unprivileged_user, wait_until
from service.embedded import SOCKET_PATH_MAX, Postgres, Valkey, postgres_programs
from service.errors import Misconfigured

pytestmark = pytest.mark.slow

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


@as_root
def test_postgres_of_root_is_not_root_and_keeps_at_most_one_capability(closed: Path) -> None:
    with Postgres(closed / "postgres") as postgres:
        status = Path(f"/proc/{postgres.pid}/status").read_text()
    assert "\nUid:\t0\t" not in status
    held = next(line for line in status.splitlines() if line.startswith("CapPrm:")).split()[1]
    assert int(held, 16).bit_count() <= 1


@as_root
def test_postgres_starts_for_a_user_who_is_not_root(closed: Path) -> None:
    os.chown(closed, 65534, 65534)
    program = (
        "import os, sys; from pathlib import Path; from service.embedded import Postgres\n"
        "assert os.geteuid() == 65534\n"
        "with Postgres(Path(sys.argv[1])) as postgres: print('up', postgres.user)"
    )
    # The interpreter, this code and the wheel may be installed below root's home: the way there is opened as the
    # product opens it, by one capability that access(2) counts, too.
    user = unprivileged_user(closed, postgres_programs(18), Path(sys.executable), Path(child.__file__))
    assert user is not None
    done = subprocess.run(
        [sys.executable, "-c", program, str(closed / "postgres")],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: become_user(user),
    )
    assert done.stdout == "up None\n", done.stderr


@pytest.mark.parametrize("version", [18, 16, 15])
def test_every_supported_version_starts_and_is_durable(closed: Path, version: int) -> None:
    try:
        postgres_programs(version)
    except Misconfigured as error:
        pytest.skip(str(error))
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
        "import sys, time; from pathlib import Path; from service.embedded import Postgres, Valkey\n"
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
