"""Real servers for one run, and the product's own processes beside their rivals', each seen by name and pid.

Everything is durable as the product ships it, on a real disk, with the product's own settings of PostgreSQL.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import asyncpg
import msgspec

from benchmarks.load import END_S, Load, Outcome
from service.foundation.postgres import roles
from service.foundation.postgres.migrate import upgrade
from service.ops.installation import Installation

ROOT = Path(__file__).parents[1]
API_KEY = "eo_test_" + "0" * 24
SQL_S = 600.0
_TEMPLATE = "template"
_NOTHING: Mapping[str, Sequence[str]] = MappingProxyType({})


class Stack(Installation):
    """PostgreSQL, Valkey and the sandbox, started once; databases and processes on demand. Use as a context manager."""

    def __init__(self, **postgres_settings: str) -> None:
        told = {"PYTHONPATH": str(ROOT), "EO_API_KEY": API_KEY, "STRIPE_API_KEY": "sk_test_" + "0" * 24}
        super().__init__(Path(tempfile.mkdtemp(prefix="eo-bench-")), told)
        # Stores the moment of each commit, for latency. It costs a few bytes per transaction, for all contenders alike.
        self.postgres = self.embed_postgres(track_commit_timestamp="on", **postgres_settings)
        self.redis = self.embed_redis(persistent=True)
        self.embed_sandbox()

    def __enter__(self) -> Self:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the data is removed
        try:
            self.bring_up(*self.parts)
            self.execute(f"CREATE DATABASE {_TEMPLATE}")
            upgrade(self.postgres.database_url(_TEMPLATE))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- databases

    def database(self, name: str) -> str:
        """URL of a fresh, migrated database."""
        self.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} STRATEGY file_copy")
        url = self.postgres.database_url(name)
        self.execute(";".join(roles.SETTLE), url)
        return url

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
    def running(
        self, database: str, *names: str, instead: Mapping[str, Sequence[str]] = _NOTHING, **environ: str
    ) -> Iterator[None]:
        """The product's processes by name (`api`, `relay`, `worker`), ready; stopped afterwards.

        `instead`: a rival's command line by the name of the process that it stands for.
        """
        started = (*names, *instead)
        for name in started:
            self.add(name, instead.get(name, ()), DATABASE_URL=database, **environ)
        try:
            self.bring_up(*started)
            yield
        finally:
            for name in started:
                self.parts.pop(name).stop()

    def port(self) -> int:
        """The port of the API process."""
        return int(self.url("api").rpartition(":")[2])


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
        [sys.executable, "-m", module],
        input=msgspec.json.encode(question) + b"\n",
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, **(environ or {})},
        timeout=within_s,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{module} failed: {done.stderr.decode()[-2000:]}")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=kind)
