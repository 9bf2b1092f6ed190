"""Which parts of an `eo up` run, seen by another process: run.json has the addresses, /proc has the processes."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from service.foundation.addresses.postgres import shown
from service.foundation.errors import Misconfigured
from service.foundation.run_file import RUN_FILE
from service.foundation.settings import Settings
from service.monitoring.overview import Overview, overview
from service.ops.child import http_get
from service.ops.kinds import PARTS
from service.ops.up import LOCK_FILE, SECRETS_FILE, api_url, try_lock
from service.ops.webhooks import ENDPOINT_FILE, EVENTS_PATH

_PATIENCE_S = 5.0  # /health/ready answers within two seconds, whatever is away
_TITLES = {"valkey-server": "redis", "postgres": "postgres"} | {f"eo {name}": name for name in PARTS}
_OURS = {"lock", "log", "postgres", "redis", "sandbox", "secrets.json", "run.json", ENDPOINT_FILE}


@dataclass(frozen=True, slots=True)
class Status:
    """`parts`: name → pid; None where that part is down, or is a server that the environment names.

    `ready` and `reasons`: the answer of /health/ready; None where the API does not answer. `uptimes_s`, `restarts`: of
    the parts that run here. `fleet`: what Redis and PostgreSQL know of all machines; None where one of them is not
    named.
    """

    running: bool
    pid: int | None
    parts: dict[str, int | None]
    addresses: dict[str, str]
    ready: str | None = None
    reasons: tuple[str, ...] = ()
    uptimes_s: dict[str, float] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    fleet: Overview | None = None

    def as_dict(self) -> dict[str, object]:
        """All fields as JSON values, for --json."""
        return {
            **{f.name: getattr(self, f.name) for f in fields(self)},
            "fleet": self.fleet.as_dict() if self.fleet else None,
        }


def status(data_dir: Path) -> Status:
    """The status of the `eo up` on this data folder. Raises Misconfigured where run.json is damaged."""
    if not is_locked(data_dir):
        fleet = _fleet(os.environ)
        return Status(running=False, pid=None, parts=dict.fromkeys(PARTS), addresses={}, fleet=fleet)
    found = _run_file(data_dir)
    pid = int(found["pid"]) if found else None
    children = _children(pid) if pid else {}
    known = ("DATABASE_URL", "REDIS_URL", "STRIPE_API_BASE", "EO_HOST", "EO_PORT")
    addresses = {name: shown(found["environment"][name]) for name in known} if found else {}
    if found and found["environment"].get("STRIPE_WEBHOOK_SECRET"):
        addresses["webhooks"] = api_url(Settings.from_env(found["environment"])) + EVENTS_PATH
    ready, reasons = _readiness(found["environment"]) if found else (None, ())
    parts = {name: children.get(name) for name in PARTS}
    return Status(
        running=True,
        pid=pid,
        parts=parts,
        addresses=addresses,
        ready=ready,
        reasons=reasons,
        uptimes_s={name: uptime_s(child) for name, child in children.items()},
        restarts=dict.fromkeys(children, 0) | (found or {}).get("restarts", {}),
        fleet=_fleet(found["environment"]) if found else None,
    )


def _fleet(environment: Mapping[str, str]) -> Overview | None:
    if not (environment.get("DATABASE_URL") and environment.get("REDIS_URL")):
        return None
    return overview(Settings.from_env(environment))


def uptime_s(pid: int) -> float:
    """For how many seconds a process has been running; 0 where it has ended meanwhile."""
    try:
        began = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        now = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return 0.0
    return max(0.0, round(now - began / os.sysconf("SC_CLK_TCK"), 1))


def is_locked(data_dir: Path) -> bool:
    """Whether an `eo up` runs on the folder."""
    try:
        with (data_dir / LOCK_FILE).open() as lock:
            return not try_lock(lock.fileno())
    except FileNotFoundError:
        return False


def refuse_reset(data_dir: Path) -> None:
    """Raises Misconfigured where an `eo up` runs on the folder, or it holds files that `eo up` did not make."""
    if is_locked(data_dir):
        raise Misconfigured(f"An `eo up` runs on {data_dir}. Stop it first.")
    if not (data_dir / SECRETS_FILE).exists() or {entry.name for entry in data_dir.iterdir()} - _OURS:
        raise Misconfigured(f"{data_dir} holds things that `eo up` did not make. Delete it by hand if that is meant.")


def _readiness(environment: dict[str, str]) -> tuple[str | None, tuple[str, ...]]:
    """The status and the reasons that /health/ready answers; None and no reasons where it does not answer."""
    answer = http_get(f"{api_url(Settings.from_env(environment))}/health/ready", timeout_s=_PATIENCE_S)
    try:
        said = json.loads(answer[1]) if answer else {}
        return said.get("status"), tuple(said.get("reasons", ()))
    except (ValueError, AttributeError):
        return None, ()


def _run_file(data_dir: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((data_dir / RUN_FILE).read_text())
    except FileNotFoundError:
        return None  # `eo up` is just starting or stopping
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{data_dir / RUN_FILE} cannot be read ({error}). Start `eo up` again.") from error
    return found


def _children(parent: int) -> dict[str, int]:
    """The parts among the direct children of `parent`, by name."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            ppid = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            title = (process / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
        except OSError:
            continue  # the process ended meanwhile
        name = _TITLES.get(os.path.basename(title)) or _TITLES.get(os.path.basename(title.split(" ")[0]))  # noqa: PTH119
        if ppid == parent and name:
            found[name] = int(process.name)
    return found
