"""Real servers for one run, and the product's own processes beside their rivals', each seen by name and pid.

Everything is durable as the product ships it, on a real disk, with the product's own settings of PostgreSQL.
"""

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import asyncpg
import msgspec

from benchmarks.load import END_S, Load, Outcome
from service.foundation.postgres import roles
from service.foundation.postgres.migrate import upgrade
from service.foundation.settings import Settings
from service.ops.child import Child, HttpPart, LoopPart
from service.ops.embedded import Postgres, Valkey, free_port
from service.ops.up import eo

ROOT = Path(__file__).parents[1]
API_KEY = "eo_test_" + "0" * 24
STRIPE_KEY = "sk_test_" + "0" * 24
READY_S = 60.0
SQL_S = 600.0
_TEMPLATE = "template"


class Stack:
    """PostgreSQL, Valkey and the sandbox, started once; databases and processes on demand. Use as a context manager."""

    def __init__(self, **postgres_settings: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="eo-bench-"))
        # The exact moment of each commit, for latency; costs a few bytes a transaction, for us and the rivals alike.
        told = {"track_commit_timestamp": "on", **postgres_settings}
        self.postgres = Postgres(self.folder / "postgres", log=self.folder / "postgres.log", settings=told)
        self.valkey = Valkey(self.folder / "valkey", password=secrets.token_urlsafe(24))
        self.sandbox = _sandbox(self.folder, free_port())
        self.parts: dict[str, Child] = {}

    def __enter__(self) -> Self:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the data is removed
        try:
            for name, server in (("postgres", self.postgres), ("valkey", self.valkey), ("sandbox", self.sandbox)):
                self.parts[name] = server
                server.start(within_s=READY_S)
            self.execute(f"CREATE DATABASE {_TEMPLATE}")
            upgrade(self.postgres.database_url(_TEMPLATE))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what runs, newest first, and remove the data."""
        for part in reversed(list(self.parts.values())):
            part.stop()
        self.postgres.discard_sockets()
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- databases

    def database(self, name: str) -> str:
        """URL of a fresh, migrated database."""
        self.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} STRATEGY file_copy")
        url = self.postgres.database_url(name)
        self.execute(";".join(roles.SETTLE), url)
        return url

    def settings(self, database: str) -> Settings:
        """What a process of ours is told about this run."""
        return Settings.from_env(self.environ(database))

    def execute(self, statement: str, database: str = "") -> None:
        """Run one statement as superuser, outside a transaction."""
        asyncio.run(self._run(database, lambda c: c.execute(statement, timeout=SQL_S)))

    def rows(self, database: str, statement: str, *values: object) -> list[Any]:
        """Rows of a statement, as superuser."""
        return list(asyncio.run(self._run(database, lambda c: c.fetch(statement, *values, timeout=SQL_S))))

    async def _run(self, database: str, run: Callable[[Any], Any]) -> Any:
        connection = await asyncpg.connect(database or self.postgres.url)
        try:
            return await run(connection)
        finally:
            await connection.close()

    # --- processes

    @contextmanager
    def running(self, database: str, *kinds: str, **environ: str) -> Iterator[dict[str, Child]]:
        """The product's processes of these kinds (`api`, `relay`, `worker`), ready; stopped afterwards."""
        with self.processes({kind: eo(kind) for kind in kinds}, database, **environ) as parts:
            yield parts

    @contextmanager
    def processes(
        self, commands: Mapping[str, Sequence[str]], database: str, **environ: str
    ) -> Iterator[dict[str, Child]]:
        """Processes by name. `api` is ready when it answers /health/ready, any other when it says `ready`."""
        told = {**self.environ(database), **environ}
        parts = {name: self._part(name, command, told) for name, command in commands.items()}
        self.parts |= parts
        try:
            for part in parts.values():
                part.start(within_s=READY_S)
            yield parts
        finally:
            for name, part in parts.items():
                part.stop()
                del self.parts[name]

    def pids(self, *names: str) -> dict[str, int]:
        """Pids by name: of these parts, or of all that run."""
        found = {name: part.pid for name, part in self.parts.items() if part.is_running}
        return {name: pid for name, pid in found.items() if pid is not None and (not names or name in names)}

    def _part(self, name: str, command: Sequence[str], environ: Mapping[str, str]) -> Child:
        log = self.folder / f"{name}.log"
        if name != "api":
            return LoopPart(name, command, log=log, environ=environ)
        part = HttpPart(name, command, log=log, environ=environ)
        part.url = f"http://127.0.0.1:{environ['EO_PORT']}/health/ready"
        return part

    def environ(self, database: str) -> dict[str, str]:
        """What a process is told: where everything is, and a port of its own."""
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "EO_DATA_DIR": str(self.folder / "data"),
            "EO_PORT": str(free_port()),
            "EO_API_KEY": API_KEY,
            "DATABASE_URL": database,
            "REDIS_URL": self.valkey.url,
            "STRIPE_API_BASE": f"http://127.0.0.1:{self.sandbox.url.split(':')[2].split('/')[0]}",
            "STRIPE_API_KEY": STRIPE_KEY,
        }


def port_of(part: Child) -> int:
    """The port of an API process."""
    return int((part.environ or {})["EO_PORT"])


def generate(load: Load) -> Outcome:
    """Run the load generator to its end. Raises RuntimeError when requests failed."""
    outcome: Outcome = answer_of("benchmarks.load", load, Outcome, within_s=load.seconds + END_S + 60)
    if outcome.failed:
        raise RuntimeError(f"{outcome.failed} requests failed, the first with: {outcome.first_failure}")
    return outcome


def answer_of(
    module: str, question: Any, kind: Any, *, within_s: float, environ: Mapping[str, str] | None = None
) -> Any:
    """Ask a module of ours, in a process of its own: one line of JSON in, one out."""
    done = subprocess.run(
        [sys.executable, "-m", module], input=msgspec.json.encode(question) + b"\n", capture_output=True, cwd=ROOT,
        env={**os.environ, **(environ or {})}, timeout=within_s, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{module} failed: {done.stderr.decode()[-2000:]}")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=kind)


def _sandbox(folder: Path, port: int) -> HttpPart:
    command = eo("sandbox", "--port", str(port), "--data", str(folder / "sandbox.sqlite3"))
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    part = HttpPart("sandbox", command, log=folder / "sandbox.log", environ=environ)
    part.url = f"http://127.0.0.1:{port}/_sandbox/health"
    return part
