"""The machine of a measurement, and the CPU that each process used, both from /proc."""

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")
_FSYNCS = 200
ROOT = Path(__file__).parents[1]


@dataclass(slots=True)
class Usage:
    """What the processes of a run used between two moments."""

    seconds: float = 0.0
    cpu_s: dict[str, float] = field(default_factory=dict)
    others: float = 0.0  # cores that other programs of this machine kept busy

    def per_op_us(self, operations: int) -> dict[str, float]:
        """CPU in microseconds per operation, by process."""
        return {name: round(spent / max(operations, 1) * 1e6, 1) for name, spent in self.cpu_s.items()}


@contextmanager
def metered(pids: Mapping[str, int]) -> Iterator[Usage]:
    """Measure the CPU of these processes and their children while the block runs; `Usage` is complete after it."""
    usage = Usage()
    began, before, busy = time.monotonic(), {n: cpu_s(p) for n, p in pids.items()}, _busy_s()
    own = sum(os.times()[:2])
    try:
        yield usage
    finally:
        usage.seconds = time.monotonic() - began
        usage.cpu_s = {name: cpu_s(pid) - before[name] for name, pid in pids.items()}
        ours = sum(usage.cpu_s.values()) + sum(os.times()[:2]) - own
        usage.others = round(max(0.0, _busy_s() - busy - ours) / usage.seconds, 2)


def cpu_s(pid: int) -> float:
    """CPU seconds of a process, its living children and their children, and its children that have ended."""
    own, ended = _times(pid)
    return own + ended + sum(cpu_s(child) for child in _children(pid))


def peak_rss_mb(pid: int) -> float:
    """The most memory this process ever held, in MB (its resident set)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1000, 1)
    return 0.0


def facts(folder: Path) -> dict[str, Any]:
    """The machine, the versions and the commit."""
    return {
        "cpu": _first("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(int(_first("/proc/meminfo", "MemTotal").split()[0]) / 1e6, 1),
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
        "fsync_us": _fsync_us(folder),
        "load_at_start": round(os.getloadavg()[0], 2),
        "commit": _git("rev-parse", "--short", "HEAD"),
        "changed_files": len(_git("status", "--porcelain", "--", "service", "workers", "sandbox").splitlines()),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _times(pid: int) -> tuple[float, float]:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0, 0.0
    user, system, ended_user, ended_system = (int(f) / _TICKS for f in fields[11:15])
    return user + system, ended_user + ended_system


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    except (FileNotFoundError, ProcessLookupError):
        return found
    return found


def _busy_s() -> float:
    """CPU seconds of the whole machine since it started, but for idling and waiting for disks."""
    fields = [int(f) / _TICKS for f in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(fields) - fields[3] - fields[4]


def _first(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return "0"


def _fsync_us(folder: Path) -> float:
    """The median time in µs of one small durable write; no commit is faster."""
    taken = []
    with (folder / "fsync.probe").open("wb") as file:
        for _ in range(_FSYNCS):
            began = time.perf_counter()
            file.write(b"x" * 512)
            file.flush()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - began)
    return round(statistics.median(taken) * 1e6, 1)


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, timeout=10, check=False)  # noqa: S607
    return done.stdout.rstrip()
