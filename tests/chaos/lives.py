"""What makes a database forget: an older copy of its folder, a dump loaded over it, a standby that was behind.

A memory is kept at one moment and put in force at a later one. Whatever was committed in between is forgotten by the
database alone: Stripe, the producers and the processes of ours remember it.

    memory = Folder(fleet.postgres, folder)     # also Dump, Standby
    ...
    memory.put_in_force()                       # the server of before runs again, in another life
"""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Protocol

from service.ops.child import wait_until
from service.ops.embedded import Postgres

READY_S = 30.0
COMMAND_S = 60.0
# A dump locks one table after the other, and each may be in use for as long as a statement of ours may take.
LOADED_WITHIN_S = 240.0
REPEATS = 20  # of a dump that is loaded while processes use the database: one of the two is a deadlock's victim
STANDBY_SETTINGS = {"shared_buffers": "64MB", "max_wal_size": "512MB"}
DUMP_STYLES = ("clean", "new schema", "data only")


class Memory(Protocol):
    """What the database knew at one moment. `age` is a statement that makes stored times older before anybody looks."""

    def put_in_force(self, *, age: str = "") -> None:
        """From now on the database knows that, and nothing later."""

    def discard(self) -> None:
        """End what runs for it."""


class Folder:
    """A copy of the data directory, taken while the server runs (or, with `stopped`, while it does not)."""

    def __init__(self, postgres: Postgres, folder: Path, *, stopped: bool = False) -> None:
        self._postgres = postgres
        self._copy = Postgres(folder, version=postgres.version, settings=STANDBY_SETTINGS)
        _own_folder(postgres, folder)
        if stopped:
            shutil.copytree(postgres.data, self._copy.data, copy_function=_copy)
            _own(postgres, self._copy.data)
        else:
            _base_backup(postgres, self._copy.data)

    def put_in_force(self, *, age: str = "") -> None:
        """Stop the server at once and start it on the copy."""
        if age:
            self._copy.start(within_s=READY_S)
            sql(self._copy, age)
            self._copy.stop()
        _swap(self._postgres, self._copy)

    def discard(self) -> None:
        """Nothing runs."""
        self._copy.discard_sockets()


class Dump:
    """What pg_dump says, loaded into the running server as one transaction; its processes go on meanwhile."""

    def __init__(self, postgres: Postgres, folder: Path, *, style: str = "clean") -> None:
        self._postgres = postgres
        self._style = style
        self._file = folder.with_suffix(".dump")
        run(postgres, "pg_dump", "-Fc", to=self._file)

    def put_in_force(self, *, age: str = "") -> None:
        """Load it over what is there."""
        # In a deadlock with processes that read meanwhile, the first to look for one gives way: they, after a second in
        # which they wait. So all is locked at once: else they look before there is one, and then stand in the way of
        # one table after the other for as long as a statement may take.
        script = f"SET LOCAL deadlock_timeout = '10s'; {_LOCK} {self.script()} SET search_path = public; {age}"
        for left in reversed(range(REPEATS)):
            try:
                sql(self._postgres, script, within_s=LOADED_WITHIN_S)
            except subprocess.CalledProcessError as error:
                if not left or "deadlock detected" not in error.stderr:
                    raise
            else:
                return

    def load_elsewhere(self, name: str) -> None:
        """Load it into a new database of the same server."""
        sql(self._postgres, f'CREATE DATABASE "{name}"', transaction=False)
        sql(self._postgres, self._restore(), database=name)

    def script(self) -> str:
        """The statements that load it."""
        if self._style == "clean":
            return self._restore("--clean", "--if-exists")
        if self._style == "new schema":
            rights = "GRANT USAGE ON SCHEMA public TO PUBLIC;\n"
            return f"DROP SCHEMA public CASCADE; CREATE SCHEMA public; {rights}" + self._restore()
        return _TRUNCATE + self._restore("--data-only", "--disable-triggers")

    def discard(self) -> None:
        """Nothing runs."""

    def _restore(self, *words: str) -> str:
        return run(self._postgres, "pg_restore", *words, "-f", "-", stdin=self._file, connects=False)


class Standby:
    """An asynchronous standby. It follows until `fall_behind`, and is promoted when put in force."""

    def __init__(self, postgres: Postgres, folder: Path) -> None:
        self._postgres = postgres
        self.server = Postgres(folder, version=postgres.version, settings=STANDBY_SETTINGS)
        _own_folder(postgres, folder)
        _base_backup(postgres, self.server.data, "-R", "-X", "stream")
        self.server.start(within_s=READY_S)

    def fall_behind(self) -> None:
        """What is committed from now on never reaches it."""
        with (self.server.data / "postgresql.auto.conf").open("a") as settings:
            settings.write("primary_conninfo = ''\n")
        assert self.server.process is not None
        self.server.process.send_signal(signal.SIGHUP)
        assert wait_until(lambda: not self._follows(), within_s=READY_S), "the standby still follows"

    def promote(self) -> None:
        """Make it a primary: another timeline. A query that asked for it could be what the replay has to cancel."""
        assert self.server.process is not None
        (self.server.data / "promote").touch()
        self.server.process.send_signal(signal.SIGUSR1)
        assert wait_until(lambda: "in production" in self._control(), within_s=READY_S), self._control()

    def put_in_force(self, *, age: str = "") -> None:
        """Promote it, and let it take the address of the primary, which is stopped at once."""
        self._postgres.kill()
        self.promote()
        if age:
            sql(self.server, age)
        self.server.stop()
        _swap(self._postgres, self.server)

    def discard(self) -> None:
        """End the standby where it still runs."""
        self.server.kill()
        self.server.discard_sockets()

    def _control(self) -> str:
        return run(self.server, "pg_controldata", str(self.server.data), connects=False)

    def _follows(self) -> bool:
        return sql(self.server, "SELECT count(*) FROM pg_stat_wal_receiver").strip() != "0"


def run(
    postgres: Postgres,
    program: str,
    *words: str,
    connects: bool = True,
    stdin: Path | None = None,
    to: Path | None = None,
    within_s: float = COMMAND_S,
) -> str:
    """Run one of PostgreSQL's own programs for its superuser; what it wrote, unless that goes `to` a file."""
    where = ["-h", str(postgres.sockets), "-U", "postgres"] if connects else []
    done = subprocess.run(
        [str(postgres.programs / program), *where, *words],
        input=stdin.read_bytes() if stdin else b"",
        capture_output=True,
        cwd="/",
        timeout=within_s,
        check=False,
        env={**os.environ, "PGPASSWORD": postgres.password},
    )
    if done.returncode != 0:
        error = subprocess.CalledProcessError(done.returncode, program, stderr=done.stderr.decode())
        error.add_note(error.stderr[-2000:])
        raise error
    if to is None:
        return done.stdout.decode()
    to.write_bytes(done.stdout)
    return ""


_SESSIONS = """
SELECT pid, application_name, state, wait_event, pg_blocking_pids(pid), now() - xact_start AS since, left(query, 200)
  FROM pg_stat_activity WHERE xact_start IS NOT NULL ORDER BY xact_start"""


def sql(
    postgres: Postgres,
    script: str,
    *,
    database: str = "postgres",
    transaction: bool = True,
    within_s: float = COMMAND_S,
) -> str:
    """Run statements by psql, all or nothing; the last rows, unadorned."""
    file = postgres.folder / "script.sql"
    file.write_text(script)
    one = ["-1"] if transaction else []
    try:
        return run(postgres, "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *one, "-d", database, "-f", "-",
                   stdin=file, within_s=within_s)  # fmt: skip
    except subprocess.TimeoutExpired as error:
        error.add_note(sessions(postgres, database))
        raise
    finally:
        file.unlink()


def sessions(postgres: Postgres, database: str = "postgres") -> str:
    """Who is in a transaction, since when, and who keeps whom waiting."""
    return run(postgres, "psql", "-X", "-A", "-d", database, "-c", _SESSIONS)


def _base_backup(postgres: Postgres, to: Path, *words: str) -> None:
    run(postgres, "pg_basebackup", "-D", str(to), "--checkpoint=fast", "--no-sync", *words)
    _own(postgres, to)


def _swap(postgres: Postgres, other: Postgres) -> None:
    """The data of `other`, which is stopped, becomes the data of `postgres`, which is stopped at once and started."""
    postgres.kill()
    shutil.rmtree(postgres.data)
    other.data.rename(postgres.data)
    other.discard_sockets()
    postgres.start(within_s=READY_S)


def _own_folder(postgres: Postgres, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    _own(postgres, folder)


def _own(postgres: Postgres, path: Path) -> None:
    if postgres.user:
        for one in (path, *path.rglob("*")):
            os.chown(one, postgres.user.uid, postgres.user.gid)


def _copy(source: str, to: str) -> None:
    if source.endswith("/postmaster.pid"):
        return
    shutil.copy2(source, to)


_LOCK = """
DO $$
DECLARE
  tables text := (SELECT string_agg(CAST(oid::regclass AS text), ', ') FROM pg_class
                   WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace);
BEGIN
  EXECUTE 'LOCK TABLE ' || tables;
END $$;
"""
# The guards of the ledger refuse to be emptied; loading the data alone enables them again.
_TRUNCATE = """
DO $$
DECLARE
  tables regclass[] := ARRAY(SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace);
  one regclass;
BEGIN
  FOREACH one IN ARRAY tables LOOP
    EXECUTE format('ALTER TABLE %s DISABLE TRIGGER ALL', one);
  END LOOP;
  EXECUTE 'TRUNCATE ' || array_to_string(tables, ', ');
END $$;
"""
