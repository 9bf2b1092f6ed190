"""The processes of one installation: their environment, and how they are started, awaited, stopped and killed.

    installation = Installation(folder, {"STRIPE_API_KEY": "sk_test_…"})
    installation.embed_postgres()                       # embed_redis and embed_sandbox do the same for their servers
    installation.bring_up("postgres")
    installation.start("worker", 2)                     # worker-1 and worker-2; ready when it returns
    installation.kill("worker-1")
    installation.end()

`eo up` runs one process of each kind under its supervisor. Tests, benchmarks and the demonstration run any number.
Parts are started from the main thread only: the kernel ends a child with the thread that started it (child).
"""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from service.foundation.errors import Unavailable
from service.foundation.settings import Settings
from service.ops.child import Child, HttpPart, LoopPart, OneShot
from service.ops.embedded import Postgres, Valkey, free_port, private_folder
from service.ops.kinds import KINDS, START_ORDER

READY_S = 60.0  # enough for several Python processes that start at once on a busy machine
COMMAND_S = 60.0
SANDBOX_HEALTH = "/_sandbox/health"
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}  # noqa: S104  only recognised, not bound


def python(module: str, *words: str) -> list[str]:
    """The command line that runs a module with this Python. -P: never import from the working directory."""
    return [sys.executable, "-P", "-m", module, *words]


def eo(*words: str) -> list[str]:
    """The command line that runs an `eo` command with this Python."""
    return python("service", *words)


def reached_at(host: str, port: int | str) -> str:
    """The URL under which this machine reaches a server that listens on that host and port."""
    return f"http://{_EVERYWHERE.get(host, f'[{host}]' if ':' in host else host)}:{port}"


class Installation:
    """Parts by name, in a folder of their own: `postgres`, `redis`, `sandbox`, and processes by their kind.

    A name is a kind, or a kind with a number: `worker-2` is a worker. Every part gets the variables in `told` and in
    `inherited`, which holds PATH only where none is given.
    """

    http_part: type[HttpPart] = HttpPart  # what a server of ours is made of
    loop_part: type[LoopPart] = LoopPart

    def __init__(self, folder: Path, told: Mapping[str, str], inherited: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.logs = folder / "log"
        private_folder(self.logs)
        self.parts: dict[str, Child] = {}
        self.told = {"EO_DATA_DIR": str(folder), **told}
        self._inherited = dict({"PATH": os.environ["PATH"]} if inherited is None else inherited)

    @property
    def environ(self) -> dict[str, str]:
        """The environment of every part."""
        return {**self._inherited, **self.told}

    def settings(self, **environ: str) -> Settings:
        """The settings that a process reads from this environment. Raises Misconfigured."""
        return Settings.from_env({**self.environ, **environ})

    # --- the parts

    def embed_postgres(self, **settings: str) -> Postgres:
        """Add a PostgreSQL of its own, not started yet; parts that are added later are told its URL."""
        postgres = Postgres(self.folder / "postgres", log=self.logs / "postgres.log", settings=settings)
        self.told["DATABASE_URL"] = postgres.owner_url
        self.parts[postgres.name] = postgres
        return postgres

    def embed_redis(self, password: str = "", *, persistent: bool = False) -> Valkey:
        """Add a Redis of its own, not started yet; parts that are added later are told its URL."""
        redis = Valkey(
            self.folder / "redis",
            password=password or secrets.token_hex(16),
            persistent=persistent,
            log=self.logs / "redis.log",
        )
        self.told["REDIS_URL"] = redis.url
        self.parts[redis.name] = redis
        return redis

    def embed_sandbox(self, *options: str) -> str:
        """Add the Stripe stand-in, not started yet; returns its address, which parts added later are told."""
        address = reached_at("127.0.0.1", free_port())
        self.told["STRIPE_API_BASE"] = address
        private_folder(self.folder / "sandbox")
        books = str(self.folder / "sandbox" / "sandbox.sqlite3")
        port = address.rpartition(":")[2]
        command = eo("sandbox", "--host", "127.0.0.1", "--port", port, "--data", books, *options)
        self.parts["sandbox"] = self.http_part(
            "sandbox", command, log=self._log("sandbox"), environ=self.environ, url=address + SANDBOX_HEALTH
        )
        return address

    def add_migration(self) -> None:
        """Add the command that brings the database's schema to this code's, as a part that ends."""
        self.parts["migrate"] = OneShot("migrate", eo("migrate"), log=self._log("migrate"), environ=self.environ)

    def add(self, name: str, argv: Sequence[str] = (), **environ: str) -> Child:
        """Add a process by its name, not started yet.

        `argv` replaces its command, for instance by a program that publishes twice. `environ` is for this process
        only. A process that is added again under its name keeps its address.
        """
        kind, before = KINDS[name.partition("-")[0]], self.parts.get(name)
        command, told = list(argv) or eo(kind.name), {**self.environ, **environ}
        if before:
            before.written.close()
        if not kind.health:
            self.parts[name] = self.loop_part(name, command, log=self._log(name), environ=told)
        else:
            told.setdefault("EO_PORT", ((before and before.environ) or {}).get("EO_PORT") or str(free_port()))
            url = reached_at(told.get("EO_HOST", ""), told["EO_PORT"]) + kind.health
            self.parts[name] = self.http_part(name, command, log=self._log(name), environ=told, url=url)
        return self.parts[name]

    def stages(self) -> list[list[Child]]:
        """The parts in the order of starting: each stage waits for the one before it."""
        stages = ([self.parts[name] for name in stage if name in self.parts] for stage in START_ORDER)
        return [stage for stage in stages if stage]

    def part(self, name: str) -> Child:
        """The part of this name, with its pid, log and exit status."""
        return self.parts[name]

    def url(self, name: str) -> str:
        """The address of a part that is reached by HTTP."""
        part = self.parts[name]
        if not isinstance(part, HttpPart):
            raise TypeError(f"{name} has no address")
        return "/".join(part.url.split("/")[:3])

    def alive(self) -> list[str]:
        """Names of the parts that run."""
        return [name for name, part in self.parts.items() if part.is_running]

    def dead(self) -> list[str]:
        """Names of the parts that have ended, for instance at a crash point."""
        return [name for name, part in self.parts.items() if not part.is_running]

    def pids(self, *names: str) -> dict[str, int]:
        """Pids by name of the parts that run: of these, or of all where no name is given."""
        found = {name: self.parts[name].pid for name in self.alive()}
        return {name: pid for name, pid in found.items() if pid is not None and (not names or name in names)}

    # --- starting, stopping, signals

    def bring_up(self, *names: str) -> None:
        """Start these together and wait until all are ready. Raises Unavailable with the last line of a log."""
        for name in names:
            self.parts[name].spawn()
        self.await_ready(*names)

    def await_ready(self, *names: str) -> None:
        """Wait until these are ready. Raises Unavailable with the last line of the log of one that is not."""
        for name in names:
            self.parts[name].await_ready(within_s=READY_S)

    def start(self, kind: str, count: int = 1, argv: Sequence[str] = (), **environ: str) -> list[str]:
        """Start `count` more processes of a kind and wait until they are ready; returns their names."""
        names = self.numbered(kind, count)
        for name in names:
            self.add(name, argv, **environ)
        self.bring_up(*names)
        return names

    def numbered(self, kind: str, count: int) -> list[str]:
        """Names for `count` more processes of a kind: `worker-1`, `worker-2`, …"""
        taken = sum(name.startswith(f"{kind}-") for name in self.parts)
        return [f"{kind}-{taken + n}" for n in range(1, count + 1)]

    def restart(self, *names: str) -> None:
        """Start ended parts again, with the same address and environment."""
        if still := [name for name in names if self.parts[name].is_running]:
            raise ValueError(f"{', '.join(still)} still runs")
        self.bring_up(*names)

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a part. Raises Unavailable where it has ended."""
        part = self.parts[name]
        if part.pid is None or not part.is_running:
            raise Unavailable(f"{name} has ended: {part.exit_reason()}")
        os.kill(part.pid, number)

    def kill(self, *names: str) -> None:
        """Send SIGKILL to these and wait until they have ended. Raises Unavailable where one had ended before."""
        for name in names:
            self.send(name, signal.SIGKILL)
        for name in names:
            self.parts[name].kill()

    def pause(self, *names: str) -> None:
        """Send SIGSTOP: the process keeps its connections and locks, and does nothing until it is resumed."""
        for name in names:
            self.send(name, signal.SIGSTOP)

    def resume(self, *names: str) -> None:
        """Send SIGCONT to paused parts."""
        for name in names:
            self.send(name, signal.SIGCONT)

    def end(self) -> None:
        """Kill all parts, also paused ones, the newest first, and remove what they keep outside the folder."""
        for name, part in reversed(self.parts.items()):
            if part.is_running:
                self.resume(name)
                part.kill()
        self.discard()

    def discard(self) -> None:
        """Remove what an embedded server keeps outside the folder."""
        for part in self.parts.values():
            if isinstance(part, Postgres):
                part.discard_sockets()

    def eo(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run an `eo` command in this environment until it ends, for at most COMMAND_S seconds."""
        return subprocess.run(
            eo(*words),
            env={**self.environ, **environ},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )

    def _log(self, name: str) -> Path:
        return self.logs / f"{name}.log"
