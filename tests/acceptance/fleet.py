"""A fleet: every part of the service as a real process, to be counted, killed, paused and asked.

    with Fleet(folder) as fleet:                     # PostgreSQL and Redis of its own, the schema, a sandbox; 2 s
        fleet.start("api")
        fleet.start("relay", 2)
        fleet.start("worker", 2, EO_CHARGE_LEASE_S="5")     # more environment for these two alone
        order = fleet.post("/v1/orders", ORDER, key="k").body
        fleet.kill("worker-1")                       # kill -9; also pause (SIGSTOP), resume, stop (SIGTERM), restart
        fleet.until(lambda: fleet.order(order["id"])["status"] == "paid", within_s=5)
        fleet.settle(within_s=30)                    # until the outbox is empty
        fleet.truth(per_order=True)                  # the sandbox's books: what was really charged
        fleet.eo("reconcile", "--json")              # any `eo` command, in the fleet's environment

Names: `postgres`, `redis`, `sandbox`, and `api-1`, `relay-1`, `worker-1`, `worker-2`, … in the order they were started.
Parts are started from the main thread only: the kernel ends a child with its starting thread (service.ops.child).
Every wait has a bound, and says what the parts logged when it is reached. Leaving ends every process by its pid.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import asyncpg

from service.foundation.postgres.migrate import upgrade
from service.ops.child import Child, HttpPart, LoopPart, wait_until
from service.ops.embedded import Postgres, Valkey, free_port
from service.ops.supervisor import is_warning
from service.ops.up import eo
from tests.described import Received, check

ORDER: dict[str, Any] = {"amount": 1999, "currency": "usd", "payment_method": "pm_card_visa"}
READY_S = 30.0  # four Python processes starting at once on a busy machine
CALL_S = 40.0  # above the longest `Prefer: wait`
COMMAND_S = 60.0
SQL_S = 30.0
LOG_LINES = 8
ROOT = Path(__file__).parents[2]
SERVER_SETTINGS = {"shared_buffers": "64MB", "max_wal_size": "512MB"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status, the headers in lower case, the body as JSON (or None)."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Fleet:
    """Processes by name. `environ` is added to what every part is told."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.folder = folder
        self.logs = folder / "log"
        self.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.api_key = "eo_test_" + "0" * 24
        self.postgres = Postgres(folder / "postgres", log=self.logs / "postgres.log", settings=SERVER_SETTINGS)
        self.redis = Valkey(folder / "redis", password="0" * 32, persistent=False, log=self.logs / "redis.log")
        self._parts: dict[str, Child] = {"postgres": self.postgres, "redis": self.redis}
        self.stripe = f"http://127.0.0.1:{free_port()}"
        self.environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),  # a test's own program may stand in for a part
            "EO_DATA_DIR": str(folder / "data"),
            "DATABASE_URL": self.postgres.owner_url,
            "REDIS_URL": self.redis.url,
            "STRIPE_API_BASE": self.stripe,
            "STRIPE_API_KEY": "sk_test_" + "0" * 24,
            "EO_API_KEY": self.api_key,
            "EO_SANDBOX_SECRET": "of-the-control-api-in-tests",
            **environ,
        }

    # --- processes

    def __enter__(self) -> Self:
        try:
            self.postgres.start(within_s=READY_S)
            self.redis.start(within_s=READY_S)
            upgrade(self.postgres.owner_url)
            self._start({"sandbox": self._sandbox()})
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """End everything, paused or not, and show what was logged as a warning (pytest prints it of a failed test)."""
        for part in reversed(self._parts.values()):
            if part.is_running and part.pid is not None:
                os.kill(part.pid, signal.SIGCONT)
                part.kill()
        self.postgres.discard_sockets()
        print(self.warnings(ended=False))

    def start(self, kind: str, count: int = 1, *, argv: Sequence[str] = (), **environ: str) -> list[str]:
        """Start `count` more of `api`, `relay` or `worker` and wait until they are ready; returns their names.

        `argv` replaces the command, say by a program that publishes twice.
        """
        taken = sum(name.startswith(f"{kind}-") for name in self._parts)
        names = [f"{kind}-{taken + n}" for n in range(1, count + 1)]
        self._start({name: self._part(kind, name, argv, environ) for name in names})
        return names

    def restart(self, *names: str) -> None:
        """Start parts again that have ended, with the address and environment they had."""
        for name in names:
            assert not self._parts[name].is_running, f"{name} still runs"
        self._start({name: self._parts[name] for name in names})

    def kill(self, *names: str) -> None:
        """`kill -9`, at once and without a word."""
        for name in names:
            self.send(name, signal.SIGKILL)
        for name in names:
            process = self._parts[name].process
            assert process
            process.wait(10)

    def stop(self, name: str, *, within_s: float = 10.0) -> int | None:
        """SIGTERM (PostgreSQL: its fast shutdown); returns the exit status. Fails where it does not end in time."""
        part = self._parts[name]
        self.send(name, part.stop_signal)
        self.until(lambda: not part.is_running, within_s=within_s, what=f"{name} has stopped")
        return part.exit_status

    def pause(self, *names: str) -> None:
        """SIGSTOP: it holds what it holds, and does nothing."""
        for name in names:
            self.send(name, signal.SIGSTOP)

    def resume(self, *names: str) -> None:
        """SIGCONT."""
        for name in names:
            self.send(name, signal.SIGCONT)

    def send(self, name: str, number: signal.Signals) -> None:
        """Any signal."""
        pid = self._parts[name].pid
        assert pid is not None
        assert self._parts[name].is_running, f"{name} has ended: {self._parts[name].exit_reason()}"
        os.kill(pid, number)

    def dead(self) -> list[str]:
        """Names of the parts that have ended (a crash point, a kill)."""
        return [name for name, part in self._parts.items() if not part.is_running]

    def running(self) -> list[str]:
        """Names of the parts that have not ended."""
        return [name for name, part in self._parts.items() if part.is_running]

    def part(self, name: str) -> Child:
        """A part: its pid, log and exit status."""
        return self._parts[name]

    # --- asking

    def url(self, name: str = "api-1") -> str:
        """Address of an API process."""
        part = self._parts[name]
        assert isinstance(part, HttpPart)
        return part.url.removesuffix("/health/ready")

    def get(self, path: str, *, api: str = "api-1", api_key: str | None = None) -> Answer:
        """GET from an API process."""
        return _described("GET", self.url(api), path, {"Authorization": f"Bearer {api_key or self.api_key}"})

    def post(
        self, path: str, body: object, *, key: str, api: str = "api-1", api_key: str | None = None, **headers: str
    ) -> Answer:
        """POST with an Idempotency-Key; more headers with `_` for `-`, say prefer="wait=10"."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        told = {"Authorization": f"Bearer {api_key or self.api_key}", "Idempotency-Key": key, **more}
        return _described("POST", self.url(api), path, told, body)

    def order(self, order_id: str, **options: str) -> dict[str, Any]:
        """The order as the API shows it now."""
        answer = self.get(f"/v1/orders/{order_id}", **options)
        assert answer.status == 200, answer
        return dict(answer.body)

    def control(self, method: str, path: str, body: object = None) -> Any:
        """The sandbox's control API (sandbox/control.py): faults, clock, latency, complete_action, …"""
        headers = {"Authorization": f"Bearer {self.environ['EO_SANDBOX_SECRET']}"}
        answer = http(method, f"{self.stripe}/_sandbox/{path}", headers, body)
        assert answer.status == 200, answer
        return answer.body

    def truth(self, *, order: str | None = None, per_order: bool = False) -> Any:
        """What was really charged: one order's, every order's, or the totals."""
        query = f"?order={order}" if order else "?per=order" if per_order else ""
        return self.control("GET", f"truth{query}")

    def rows(self, statement: str, *values: object) -> list[Any]:
        """Rows of a statement, as the database's superuser."""
        return asyncio.run(self._rows(statement, values))

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

    # --- waiting

    def until(
        self,
        condition: Callable[[], bool],
        *,
        within_s: float,
        every_s: float = 0.02,
        what: str = "the condition holds",
    ) -> float:
        """Wait until `condition` holds; returns how long that took. Fails with what the parts said."""
        began = time.monotonic()
        if not wait_until(condition, within_s=within_s, pause=lambda _: time.sleep(every_s)):
            raise AssertionError(f"not within {within_s:.0f} s: {what}\n{self.warnings()}")
        return time.monotonic() - began

    def settle(self, *, within_s: float) -> float:
        """Wait until the outbox is empty: every promise is on the books. Parked rows count as not settled."""
        return self.until(lambda: self.outbox() == 0, within_s=within_s, every_s=0.1, what="the outbox is empty")

    def outbox(self) -> int:
        """How many promises are open."""
        count: int = self.rows("SELECT count(*) FROM outbox")[0][0]
        return count

    def warnings(self, *, ended: bool = True) -> str:
        """The last lines of every log that warn, and (unless the fleet itself has `ended` them) how parts ended."""
        said = []
        for name, part in self._parts.items():
            lines = part.log.read_text(errors="replace").splitlines() if part.log.exists() else []
            said += [f"{name}: {line}" for line in lines if is_warning(line)][-LOG_LINES:]
            if ended and not part.is_running:
                said.append(f"{name}: {part.exit_reason()}")
        return "\n".join(said)

    # --- below

    def _start(self, parts: Mapping[str, Child]) -> None:
        self._parts |= parts
        for part in parts.values():
            part.spawn()
        for name, part in parts.items():
            self._await_ready(name, part)

    def _await_ready(self, name: str, part: Child) -> None:
        self.until(lambda: part.is_ready() or not part.is_running, within_s=READY_S, what=f"{name} is ready")
        assert part.is_running, f"{name} stopped at start: {part.last_words()}"

    def _part(self, kind: str, name: str, argv: Sequence[str], environ: Mapping[str, str]) -> Child:
        told = {**self.environ, **environ}
        command, log = list(argv) or eo(kind), self.logs / f"{name}.log"
        if kind != "api":
            return LoopPart(name, command, log=log, environ=told)
        port = free_port()
        part = HttpPart(name, command, log=log, environ={**told, "EO_PORT": str(port)})
        part.url = f"http://127.0.0.1:{port}/health/ready"
        return part

    def _sandbox(self) -> HttpPart:
        port = self.stripe.rpartition(":")[2]
        command = eo("sandbox", "--port", port, "--data", str(self.folder / "sandbox.sqlite3"), "--fee-delay-s", "0.2")
        part = HttpPart("sandbox", command, log=self.logs / "sandbox.log", environ=self.environ)
        part.url = f"{self.stripe}/_sandbox/health"
        return part

    async def _rows(self, statement: str, values: Sequence[object]) -> list[Any]:
        connection = await asyncpg.connect(self.postgres.url, timeout=SQL_S)
        try:
            return list(await connection.fetch(statement, *values, timeout=SQL_S))
        finally:
            await connection.close(timeout=SQL_S)


def _described(method: str, url: str, path: str, headers: Mapping[str, str], body: object = None) -> Answer:
    """A request to the API, whose answer is held against its own description."""
    answer = http(method, url + path, headers, body)
    data = b"" if answer.body is None else json.dumps(answer.body).encode()
    check(Received(method, urlsplit(path).path, answer.status, answer.headers, data))
    return answer


def http(method: str, url: str, headers: Mapping[str, str], body: object = None) -> Answer:
    """One request on a connection of its own, as curl does it. `body` is sent as JSON, text (a form) as it is.

    Raises OSError where nobody answers.
    """
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=CALL_S)
    data = None if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    told = {"Content-Type": "application/json", **headers} if data is not None else dict(headers)
    try:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), data, told)
        answer = connection.getresponse()
        text = answer.read()
        found = {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()
    return Answer(answer.status, found, json.loads(text) if text else None)


def python(module: str) -> list[str]:
    """The command line of a test's own program."""
    return [sys.executable, "-m", module]
