"""The processes of one installation: what each is told, how it is started, seen to be ready, stopped, killed, ended.

    installation = Installation(folder, {"STRIPE_API_KEY": "sk_test_…"})
    installation.embed_postgres()                       # also a Redis and the Stripe stand-in: what nobody named
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

READY_S = 60.0  # several Python processes starting at once on a busy machine
COMMAND_S = 60.0
SANDBOX_HEALTH = "/_sandbox/health"
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}  # noqa: S104  only recognised, not bound


def python(module: str, *words: str) -> list[str]:
    """The command line of a module, by this very Python. -P: never import from the working directory."""
    return [sys.executable, "-P", "-m", module, *words]


def eo(*words: str) -> list[str]:
    """The command line of another `eo` command."""
    return python("service", *words)


def reached_at(host: str, port: int | str) -> str:
    """Where this machine reaches what listens on that host and port."""
    return f"http://{_EVERYWHERE.get(host, f'[{host}]' if ':' in host else host)}:{port}"


class Installation:
    """Parts by name, in a folder of their own: `postgres`, `redis`, `sandbox`, and processes by their kind.

    A name is a kind, or a kind with a number: `worker-2` is a worker. `told` is what all are told beside `inherited`,
    which is the PATH alone where nothing else is given.
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
        """What a process of ours makes of it. Raises Misconfigured."""
        return Settings.from_env({**self.environ, **environ})

    # --- what there is

    def embed_postgres(self, **settings: str) -> Postgres:
        """A PostgreSQL of its own; what is made from now on is told where it is. Not started yet."""
        postgres = Postgres(self.folder / "postgres", log=self.logs / "postgres.log", settings=settings)
        self.told["DATABASE_URL"] = postgres.owner_url
        self.parts[postgres.name] = postgres
        return postgres

    def embed_redis(self, password: str = "", *, persistent: bool = False) -> Valkey:
        """A Redis of its own, as above."""
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
        """The Stripe stand-in with its books in a folder of its own, as above; returns its address."""
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
        """The command that brings the database's schema to this code's, as a part that ends."""
        self.parts["migrate"] = OneShot("migrate", eo("migrate"), log=self._log("migrate"), environ=self.environ)

    def add(self, name: str, argv: Sequence[str] = (), **environ: str) -> Child:
        """A process by its name, not started yet.

        `argv` replaces its command, say by a program that publishes twice; `environ` is for this one alone. Added
        again under its name, it keeps its address.
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
        """The parts in the order of a start: a stage waits for the one before it."""
        stages = ([self.parts[name] for name in stage if name in self.parts] for stage in START_ORDER)
        return [stage for stage in stages if stage]

    def part(self, name: str) -> Child:
        """A part: its pid, log and exit status."""
        return self.parts[name]

    def url(self, name: str) -> str:
        """The address of a part that is reached by HTTP."""
        part = self.parts[name]
        if not isinstance(part, HttpPart):
            raise TypeError(f"{name} has no address")
        return "/".join(part.url.split("/")[:3])

    def alive(self) -> list[str]:
        """Names of the parts that have not ended."""
        return [name for name, part in self.parts.items() if part.is_running]

    def dead(self) -> list[str]:
        """Names of the parts that have ended (a crash point, a kill)."""
        return [name for name, part in self.parts.items() if not part.is_running]

    def pids(self, *names: str) -> dict[str, int]:
        """Pids by name: of these parts, or of all; of those that run."""
        found = {name: self.parts[name].pid for name in self.alive()}
        return {name: pid for name, pid in found.items() if pid is not None and (not names or name in names)}

    # --- life and death

    def bring_up(self, *names: str) -> None:
        """Start these together, anew or again, and wait until all are ready. Raises Unavailable with the last words."""
        for name in names:
            self.parts[name].spawn()
        self.await_ready(*names)

    def await_ready(self, *names: str) -> None:
        """Wait until these can be used. Raises Unavailable with the last words of one that cannot."""
        for name in names:
            self.parts[name].await_ready(within_s=READY_S)

    def start(self, kind: str, count: int = 1, argv: Sequence[str] = (), **environ: str) -> list[str]:
        """Start `count` more of a kind and wait until they are ready; their names."""
        names = self.numbered(kind, count)
        for name in names:
            self.add(name, argv, **environ)
        self.bring_up(*names)
        return names

    def numbered(self, kind: str, count: int) -> list[str]:
        """Names for `count` more of a kind, as in `worker-1`."""
        taken = sum(name.startswith(f"{kind}-") for name in self.parts)
        return [f"{kind}-{taken + n}" for n in range(1, count + 1)]

    def restart(self, *names: str) -> None:
        """Start parts again that have ended, with the address and environment they had."""
        if still := [name for name in names if self.parts[name].is_running]:
            raise ValueError(f"{', '.join(still)} still runs")
        self.bring_up(*names)

    def send(self, name: str, number: signal.Signals) -> None:
        """Any signal. Raises Unavailable where the part has ended."""
        part = self.parts[name]
        if part.pid is None or not part.is_running:
            raise Unavailable(f"{name} has ended: {part.exit_reason()}")
        os.kill(part.pid, number)

    def kill(self, *names: str) -> None:
        """`kill -9`, at once and without a word. Raises Unavailable where one of them has ended before."""
        for name in names:
            self.send(name, signal.SIGKILL)
        for name in names:
            self.parts[name].kill()

    def pause(self, *names: str) -> None:
        """SIGSTOP: it holds what it holds, and does nothing."""
        for name in names:
            self.send(name, signal.SIGSTOP)

    def resume(self, *names: str) -> None:
        """SIGCONT."""
        for name in names:
            self.send(name, signal.SIGCONT)

    def end(self) -> None:
        """End everything at once, the newest first, paused or not."""
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
        """Run an `eo` command to its end."""
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
