"""One contender's world: its database, its Stripe stand-in and its processes, which a storm kills and pauses."""

import contextlib
import json
import os
import secrets
import signal
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from demo.stage import Stage
from sandbox.remote import Remote
from service.foundation.errors import Unavailable
from service.ops.installation import Installation

_TICK = os.sysconf("SC_CLK_TCK")
FEE_DELAY_S = "0.2"


class World(Installation):
    """Processes by name, on the servers of a stage."""

    def __init__(self, stage: Stage, name: str, *, with_schema: bool, **environ: str) -> None:
        self.stage = stage
        self.database = stage.new_database(name, with_schema=with_schema)
        secret = secrets.token_urlsafe(24)
        told = {
            "DATABASE_URL": self.database,
            "REDIS_URL": stage.redis.url,
            "STRIPE_API_KEY": "sk_test_" + "0" * 24,
            "EO_SANDBOX_SECRET": secret,
            **environ,
        }
        super().__init__(stage.folder / name, told)
        self._remote = Remote(self.embed_sandbox("--fee-delay-s", FEE_DELAY_S), secret)
        self._read: dict[Path, int] = {}
        self._counted: Counter[str] = Counter()
        self.bring_up("sandbox")

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a signal; does nothing where the part has ended, because parts die here at any moment."""
        with contextlib.suppress(Unavailable):
            super().send(name, number)

    # --- asking

    def control(self, method: str, path: str, body: object = None) -> Any:
        """Call the Stripe stand-in's control API; returns the answer. Raises Unavailable where none comes."""
        try:
            return self._remote.call(method, path, body)
        except OSError as error:
            raise Unavailable(f"the sandbox did not answer: {error}") from error

    def truth(self) -> Any:
        """What the stand-in has charged: `totals`, and `orders` one by one."""
        return self.control("GET", "truth?per=order")

    def rows(self, statement: str, *values: object) -> list[Any]:
        """Rows of one statement in this world's database."""
        return self.stage.rows(self.database, statement, *values)

    def counted(self) -> Counter[str]:
        """The sum of `count` by event over all lines that the processes have logged; killed ones included."""
        for part in self.parts.values():
            self._read_log(part.log)
        return self._counted

    def cpu_s(self) -> float:
        """CPU seconds so far of our processes and of the two servers, the Stripe stand-in left out."""
        pids = {**self.pids(), **self.stage.pids()}
        return sum(_cpu_s(pid, children=_children()) for name, pid in pids.items() if name != "sandbox")

    # --- below

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
    """CPU seconds of a process, of its ended children, and of its living ones, such as PostgreSQL's sessions."""
    try:
        fields = _stat(pid)
    except (OSError, IndexError):
        return 0.0
    own = sum(int(fields[n]) for n in range(11, 15)) / _TICK
    return own + sum(_cpu_s(child, children=children) for child in children.get(pid, ()))


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name, which may hold spaces: state, ppid, …"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
