"""One contender's world: a database, a Stripe of its own, and processes to be started, killed, paused and asked."""

import contextlib
import json
import os
import secrets
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from demo.stage import Stage
from service.foundation.errors import Unavailable
from service.ops.child import Child, HttpPart, LoopPart, wait_until
from service.ops.embedded import free_port
from service.ops.up import eo

_READY_S = 40.0  # several Python processes starting at once on a busy machine
_CALL_S = 20.0
_TICK = os.sysconf("SC_CLK_TCK")
FEE_DELAY_S = "0.2"


class World:
    """Processes by name. Started from the main thread only: the kernel ends a child with the thread that made it."""

    def __init__(self, stage: Stage, name: str, *, with_schema: bool, **environ: str) -> None:
        self.stage = stage
        self.name = name
        self.database = stage.new_database(name, with_schema=with_schema)
        self.stripe = f"http://127.0.0.1:{free_port()}"
        self.parts: dict[str, Child] = {}
        self._read: dict[Path, int] = {}
        self._counted: Counter[str] = Counter()
        self.environ = {
            "PATH": os.environ["PATH"],
            "EO_DATA_DIR": str(stage.folder / name),
            "DATABASE_URL": self.database,
            "REDIS_URL": stage.redis.url,
            "STRIPE_API_BASE": self.stripe,
            "STRIPE_API_KEY": "sk_test_" + "0" * 24,
            "EO_SANDBOX_SECRET": secrets.token_urlsafe(24),
            **environ,
        }
        self._start_stripe()

    # --- processes

    def start(self, name: str, argv: Sequence[str], environ: Mapping[str, str] | None = None, *, port: int = 0) -> None:
        """Start a part, new or again; `await_ready` tells when it can be used."""
        told = {**self.environ, **(environ or {})}
        log = self.stage.logs / f"{self.name}-{name}.log"
        if port:
            part: Child = HttpPart(name, argv, log=log, environ={**told, "EO_PORT": str(port)})
            part.url = f"http://127.0.0.1:{port}/health/ready"  # type: ignore[attr-defined]
        else:
            part = LoopPart(name, argv, log=log, environ=told)
        self.parts[name] = part
        part.spawn()

    def await_ready(self, *names: str) -> None:
        """Wait until these can be used. Raises Unavailable with the last words of one that cannot."""
        for name in names:
            part = self.parts[name]
            wait_until(lambda p=part: p.is_ready() or not p.is_running, within_s=_READY_S)  # type: ignore[misc]
            if not part.is_running or not part.is_ready():
                raise Unavailable(f"{self.name}'s {name} did not become ready: {part.last_words()}")

    def kill(self, name: str) -> None:
        """`kill -9`, at once and without a word."""
        self.parts[name].kill()

    def send(self, name: str, number: signal.Signals) -> None:
        """Any signal, to a part that runs."""
        pid = self.parts[name].pid
        if pid is not None and self.parts[name].is_running:
            os.kill(pid, number)

    def end(self) -> None:
        """End every process, paused or not."""
        for part in self.parts.values():
            with contextlib.suppress(OSError):
                part.kill()

    # --- asking

    def control(self, method: str, path: str, body: object = None) -> Any:
        """The Stripe stand-in's control API. Raises Unavailable where it does not answer."""
        parts = urlsplit(self.stripe)
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=_CALL_S)
        try:
            headers = {"Authorization": f"Bearer {self.environ['EO_SANDBOX_SECRET']}"}
            connection.request(method, f"/_sandbox/{path}", None if body is None else json.dumps(body), headers)
            return json.loads(connection.getresponse().read())
        except (OSError, HTTPException, ValueError) as error:
            raise Unavailable(f"the sandbox did not answer: {error}") from error
        finally:
            connection.close()

    def truth(self) -> Any:
        """What was really charged: `totals`, and `orders` one by one."""
        return self.control("GET", "truth?per=order")

    def rows(self, statement: str, *values: object) -> list[Any]:
        """Rows of one statement in this world's database."""
        return self.stage.rows(self.database, statement, *values)

    def counted(self) -> Counter[str]:
        """What the processes have logged so far: each event's `count`, summed. A kill -9 takes back no line."""
        for part in self.parts.values():
            self._read_log(part.log)
        return self._counted

    def cpu_s(self) -> float:
        """CPU seconds so far of our processes and of the two servers, the Stripe stand-in left out."""
        parts = [part for name, part in self.parts.items() if name != "sandbox"]
        pids = {part.pid for part in (*parts, self.stage.postgres, self.stage.redis) if part.pid and part.is_running}
        return sum(_cpu_s(pid, children=_children()) for pid in pids)

    # --- below

    def _start_stripe(self) -> None:
        port = self.stripe.rpartition(":")[2]
        books = str(self.stage.folder / f"{self.name}.sqlite3")
        argv = eo("sandbox", "--port", port, "--data", books, "--fee-delay-s", FEE_DELAY_S)
        part = HttpPart("sandbox", argv, log=self.stage.logs / f"{self.name}-sandbox.log", environ=self.environ)
        part.url = f"{self.stripe}/_sandbox/health"
        self.parts["sandbox"] = part
        part.start(within_s=_READY_S)

    def _read_log(self, path: Path) -> None:
        with path.open("rb") as log:
            log.seek(self._read.get(path, 0))
            for line in log:
                if not line.endswith(b"\n"):
                    return  # still being written: read whole next time
                self._read[path] = self._read.get(path, 0) + len(line)
                if b'"count"' in line:
                    self._count(line)

    def _count(self, line: bytes) -> None:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            said: Mapping[str, Any] = json.loads(line)
            self._counted[said["event"]] += said["count"]


def _children() -> dict[int, list[int]]:
    """Every process's children."""
    found: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                found.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    return found


def _cpu_s(pid: int, *, children: Mapping[int, list[int]]) -> float:
    """Of a process, of the children it has waited for, and of those that live: PostgreSQL's sessions are such."""
    try:
        fields = _stat(pid)
    except (OSError, IndexError):
        return 0.0
    own = sum(int(fields[n]) for n in range(11, 15)) / _TICK
    return own + sum(_cpu_s(child, children=children) for child in children.get(pid, ()))


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name, which may hold spaces: state, ppid, …"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
