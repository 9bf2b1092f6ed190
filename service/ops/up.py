"""`eo up`: which parts there are, what each is told, and what a person is shown.

What the environment names is used; what it does not name is embedded. Data lives in one folder:

    .eo/lock           held while `eo up` runs: one per folder
    .eo/secrets.json   made at first run
    .eo/run.json       while it runs: where every other `eo` command finds the parts
    .eo/log/           one file per part
    .eo/postgres/ .eo/redis/ .eo/sandbox/   the data
"""

import contextlib
import fcntl
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import service
from service.foundation.addresses.postgres import shown
from service.foundation.addresses.stripe import STRIPE_API
from service.foundation.errors import Misconfigured
from service.foundation.settings import RUN_FILE, Settings
from service.foundation.settings import data_dir as named_data_dir
from service.ops.child import Child, HttpPart, LoopPart, OneShot, http_get, wait_until
from service.ops.embedded import Postgres, Valkey, free_port, postgres_programs, valkey_program, write_private
from service.ops.isolation import close_to_others
from service.ops.port import refuse_busy_port
from service.ops.supervisor import StopRequested, Supervisor, pause

STOP_ORDER = ("api", "relay", "worker", "sandbox", "redis", "postgres", "migrate")
_PAYABLE_S, _LOOK_S = 5.0, 0.25
LOCK_FILE, SECRETS_FILE = "lock", "secrets.json"
EMBEDDED_PG = 18


@dataclass(frozen=True, slots=True)
class Stack:
    """The parts of one installation. A part is None where the environment names another one."""

    settings: Settings
    environ: dict[str, str]  # what the parts are told, on top of the environment
    postgres: Postgres | None
    redis: Valkey | None
    sandbox: HttpPart | None
    api: HttpPart

    def stages(self) -> list[list[Child]]:
        """The start order; a stage waits for the one before it. The API is last: its first 200 means all is there."""
        logs = self.api.log.parent
        migrate = OneShot("migrate", eo("migrate"), log=logs / "migrate.log")
        relay, worker = (LoopPart(name, eo(name), log=logs / f"{name}.log") for name in ("relay", "worker"))
        for part in (migrate, self.sandbox, relay, worker, self.api):
            if part:
                part.environ = {**os.environ, **self.environ}
        stages = [(self.postgres,), (migrate, self.redis, self.sandbox), (relay, worker), (self.api,)]
        return [[part for part in stage if part] for stage in stages]


def up(*, as_json: bool = False) -> None:
    """Run everything in the foreground until SIGINT or SIGTERM. Raises Misconfigured or Unavailable."""
    began = time.monotonic()
    os.umask(0o077)  # of the parts, too: what they write is ours alone
    data_dir = named_data_dir().absolute()
    with locked(data_dir):
        (data_dir / RUN_FILE).unlink(missing_ok=True)  # of a predecessor that was killed
        stack = plan(data_dir, os.environ)
        refuse_busy_port(stack.settings.host, stack.settings.port)
        found: dict[str, object] = {"pid": os.getpid(), "environment": stack.environ}

        def note(restarts: Mapping[str, int]) -> None:
            with contextlib.suppress(OSError):  # a full disk ends nothing
                write_private(data_dir / RUN_FILE, json.dumps({**found, "restarts": restarts}, indent=2) + "\n")

        write_private(data_dir / RUN_FILE, json.dumps(found, indent=2) + "\n")
        try:
            run(stack, as_json=as_json, began=began, on_restart=note)
        finally:
            (data_dir / RUN_FILE).unlink(missing_ok=True)
            if stack.postgres:
                stack.postgres.discard_sockets()


def run(
    stack: Stack, *, as_json: bool, began: float, on_restart: Callable[[Mapping[str, int]], None] | None = None
) -> None:
    """Start, show, watch; return after a clean stop."""
    with contextlib.suppress(StopRequested), Supervisor(stack.stages(), STOP_ORDER, on_restart) as supervisor:
        supervisor.start()
        waits = why_charges_wait(stack.api.url)
        show(stack, took_s=time.monotonic() - began, as_json=as_json, waits=waits)
        supervisor.watch()


def plan(data_dir: Path, environ: Mapping[str, str]) -> Stack:
    """Decide what is embedded, and with which addresses and secrets. Starts nothing. Raises Misconfigured."""
    made = load_secrets(data_dir / SECRETS_FILE)
    named = {name: value for name, value in environ.items() if value}
    logs = data_dir / "log"
    postgres = redis = sandbox = None
    told = {"EO_DATA_DIR": str(data_dir), "EO_API_KEY": named.get("EO_API_KEY") or made["api_key"]}
    if "DATABASE_URL" not in named:
        postgres = Postgres(data_dir / "postgres", version=EMBEDDED_PG, log=logs / "postgres.log")
    if "REDIS_URL" not in named:
        redis = Valkey(data_dir / "redis", password=made["redis_password"], log=logs / "redis.log")
    if not names_stripe(named):
        sandbox = sandbox_part(data_dir / "sandbox", logs / "sandbox.log", port=free_port())
        told["EO_SANDBOX_SECRET"] = named.get("EO_SANDBOX_SECRET") or made["sandbox_secret"]
        told["STRIPE_WEBHOOK_SECRET"] = named.get("STRIPE_WEBHOOK_SECRET") or made["webhook_secret"]
    told["DATABASE_URL"] = postgres.owner_url if postgres else named["DATABASE_URL"]
    told["REDIS_URL"] = redis.url if redis else named["REDIS_URL"]
    told["STRIPE_API_KEY"] = made["stripe_api_key"] if sandbox else named["STRIPE_API_KEY"]
    told["STRIPE_API_BASE"] = origin(sandbox.url) if sandbox else named.get("STRIPE_API_BASE", STRIPE_API)
    settings = Settings.from_env({**environ, **told})
    told |= {"EO_HOST": settings.host, "EO_PORT": str(settings.port)}
    if settings.stripe_is_live and (postgres or redis):
        raise Misconfigured("A live Stripe key needs DATABASE_URL and REDIS_URL: embedded parts are for trying out.")
    api = HttpPart("api", eo("api"), log=logs / "api.log")
    api.url = f"{api_url(settings)}/health/ready"
    return Stack(settings, told, postgres, redis, sandbox, api)


def eo(*words: str) -> list[str]:
    """The command line of another `eo` command, by this very Python. -P: never import from the working directory."""
    return [sys.executable, "-P", "-m", "service", *words]


def names_stripe(named: Mapping[str, str]) -> bool:
    """Whether the environment names a Stripe. Raises Misconfigured where it does so by half."""
    if "STRIPE_API_BASE" in named and "STRIPE_API_KEY" not in named:
        raise Misconfigured("STRIPE_API_BASE is set without STRIPE_API_KEY. Set both, or neither for the sandbox.")
    return "STRIPE_API_KEY" in named


def sandbox_part(folder: Path, log: Path, *, port: int) -> HttpPart:
    """The Stripe stand-in, with its books in `folder`."""
    folder.mkdir(mode=0o700, exist_ok=True)
    books = str(folder / "sandbox.sqlite3")
    part = HttpPart("sandbox", eo("sandbox", "--host", "127.0.0.1", "--port", str(port), "--data", books), log=log)
    part.url = f"http://127.0.0.1:{port}/_sandbox/health"
    return part


def origin(url: str) -> str:
    """Scheme, host and port of a URL."""
    return "/".join(url.split("/")[:3])


def api_url(settings: Settings) -> str:
    """Where this machine reaches the API."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}  # noqa: S104  only recognised, not bound
    host = everywhere.get(settings.host, f"[{settings.host}]" if ":" in settings.host else settings.host)
    return f"http://{host}:{settings.port}"


def load_secrets(path: Path) -> dict[str, str]:
    """The secrets of this installation, made at first run. Raises Misconfigured where they cannot be read."""
    try:
        kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{path} cannot be read ({error}). Run as the user who made it, or `eo reset`.") from error
    made = {
        "api_key": "eo_test_" + secrets.token_urlsafe(24),
        "stripe_api_key": "sk_test_" + secrets.token_hex(16),
        "webhook_secret": "whsec_" + secrets.token_hex(16),
        "redis_password": secrets.token_hex(16),
        "sandbox_secret": secrets.token_urlsafe(24),
    } | kept
    if made != kept:
        write_private(path, json.dumps(made, indent=2) + "\n")
    return made


@contextlib.contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold the data folder, made if missing. Raises Misconfigured where another `eo up` holds it."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        (data_dir / "log").mkdir(mode=0o700, exist_ok=True)
        close_folder(data_dir)
        lock = (data_dir / LOCK_FILE).open("a+")
    except OSError as error:
        raise Misconfigured(f"EO_DATA_DIR {data_dir} cannot be used: {error.strerror}.") from error
    with lock:
        if not try_lock(lock.fileno()):
            lock.seek(0)
            raise Misconfigured(f"An `eo up` (pid {lock.read().strip()}) already runs on {data_dir}. Stop it first.")
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def close_folder(data_dir: Path) -> None:
    """`.eo` and what is ours in it, also what version 0.1 made. The servers close their own folders."""
    data_dir.chmod(0o700)
    for path in data_dir.glob("*"):
        if path.name in ("log", "sandbox"):
            close_to_others(path)
        elif path.is_file() and not path.is_symlink():
            path.chmod(0o600)


def try_lock(descriptor: int) -> bool:
    """Take the lock if it is free. The kernel gives it back when this process ends, however it ends."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def why_charges_wait(ready_url: str) -> list[str]:
    """The reasons of /health/ready; none where an order can be paid now, which may take a few seconds to be known."""
    reasons: list[str] = []

    def is_ok() -> bool:
        answer = http_get(ready_url, timeout_s=_PAYABLE_S)
        with contextlib.suppress(ValueError):
            reasons[:] = json.loads(answer[1])["reasons"] if answer else ["The API does not answer."]
        return not reasons

    wait_until(is_ok, within_s=_PAYABLE_S, pause=lambda _: pause(_LOOK_S))
    return reasons


def show(stack: Stack, *, took_s: float, as_json: bool, waits: Sequence[str] = ()) -> None:
    """The block that says where everything is. Data, so on stdout."""
    rows = {name: words for name, words in block(stack).items() if words}
    if as_json:
        values = {name.lower(): words for name, words in rows.items()}
        text = json.dumps({"ready": True, "took_s": round(took_s, 2), **values, "waits": list(waits)})
    else:
        lines = [f"  {name:<9} {words}" for name, words in rows.items()]
        lines += [f"  {'Attention':<9} {reason}" for reason in waits]
        last = f"ready in {took_s:.1f} s{', with reservations (see above)' if waits else ''}, Ctrl-C stops everything"
        text = "\n".join([f"effectively-once {service.__version__}", *lines, last])
    with contextlib.suppress(OSError):
        print(text, flush=True)


def block(stack: Stack) -> dict[str, str]:
    """What is shown, by name. A secret that came from the environment is not repeated."""
    api, told = api_url(stack.settings), stack.environ
    return {
        "API": api,
        "Docs": f"{api}/docs",
        "Key": "from EO_API_KEY" if os.environ.get("EO_API_KEY") else told["EO_API_KEY"],
        "Postgres": f"{version_of(postgres_programs(EMBEDDED_PG) / 'postgres')} embedded, {told['DATABASE_URL']}"
        if stack.postgres
        else shown(told["DATABASE_URL"]),
        "Redis": f"Valkey {version_of(valkey_program())} embedded, 127.0.0.1:{stack.redis.port}"
        if stack.redis
        else shown(told["REDIS_URL"]),
        "Stripe": f"sandbox, {told['STRIPE_API_BASE']}" if stack.sandbox else told["STRIPE_API_BASE"],
        "Logs": str(stack.api.log.parent),
    }


def version_of(program: Path) -> str:
    """The version a server's program reports, e.g. 18.4."""
    words = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=False).stdout.split()
    return next((word for word in (word.removeprefix("v=") for word in words) if word[:1].isdigit()), "")
