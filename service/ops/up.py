"""`eo up`: which parts are started, with which environment, and what is printed.

A server that the environment names is used; one that it does not name is embedded. The data is in one folder:

    .eo/lock           locked while `eo up` runs: only one runs per folder
    .eo/secrets.json   made at first run
    .eo/webhook.json   the endpoint at the sandbox, with its secret
    .eo/run.json       exists while `eo up` runs; every other `eo` command finds the parts by it
    .eo/log/           one file per part
    .eo/chaos.sock     exists while `eo up` runs with the sandbox; on it the console's chaos page asks for faults
    .eo/postgres/ .eo/redis/ .eo/sandbox/   the data
"""

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from service.foundation.addresses.stripe import STRIPE_API
from service.foundation.errors import Misconfigured
from service.foundation.run_file import RUN_FILE
from service.foundation.settings import Settings
from service.foundation.settings import data_dir as named_data_dir
from service.ops import announcement, opening, webhooks
from service.ops.chaos import Chaos
from service.ops.embedded import write_private
from service.ops.installation import Installation, reached_at
from service.ops.isolation import close_to_others
from service.ops.kinds import KINDS, STOP_ORDER
from service.ops.port import refuse_busy_port
from service.ops.supervisor import StopRequested, Supervisor, say

# The sandbox answers in milliseconds, so what a killed worker left may be taken over soon: somebody is watching.
_AT_THE_SANDBOX = {"EO_STRIPE_TIMEOUT_S": "5", "EO_CHARGE_LEASE_S": "10", "EO_OUTBOX_LEASE_S": "12"}
LOCK_FILE, SECRETS_FILE = "lock", "secrets.json"


def up(*, as_json: bool = False) -> None:
    """Run everything in the foreground until SIGINT or SIGTERM. Raises Misconfigured or Unavailable."""
    began = time.monotonic()
    os.umask(0o077)  # the parts inherit it: only this user can read what they write
    data_dir = named_data_dir().absolute()
    with locked(data_dir):
        (data_dir / RUN_FILE).unlink(missing_ok=True)  # left by an `eo up` that was killed
        installation = plan(data_dir, os.environ)
        settings = installation.settings()
        refuse_busy_port(settings.host, settings.port)
        found: dict[str, object] = {"pid": os.getpid(), "environment": installation.told}

        def note(restarts: Mapping[str, int]) -> None:
            with contextlib.suppress(OSError):  # on a full disk the parts run on
                write_private(data_dir / RUN_FILE, json.dumps({**found, "restarts": restarts}, indent=2) + "\n")

        write_private(data_dir / RUN_FILE, json.dumps(found, indent=2) + "\n")
        try:
            run(installation, as_json=as_json, began=began, on_restart=note)
        finally:
            (data_dir / RUN_FILE).unlink(missing_ok=True)
            installation.discard()


def run(
    installation: Installation,
    *,
    as_json: bool,
    began: float,
    on_restart: Callable[[Mapping[str, int]], None] | None = None,
) -> None:
    """Start the parts, print where they are, and watch them; returns after a clean stop."""
    stages = installation.stages()
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.suppress(StopRequested))
        supervisor = stack.enter_context(Supervisor(stages, STOP_ORDER, on_restart))
        if "sandbox" in installation.parts and installation.settings().console:
            supervisor.beside = stack.enter_context(Chaos(installation, supervisor)).look
        supervisor.start()
        if on_restart is not None:
            on_restart({})  # the parts have been told more than was known before they started
        announcement.announce(installation, began=began, as_json=as_json)
        supervisor.watch()


def plan(data_dir: Path, environ: Mapping[str, str]) -> Installation:
    """Decide which servers are embedded, and all addresses and secrets. Starts nothing. Raises Misconfigured."""
    made = load_secrets(data_dir / SECRETS_FILE)
    named = {name: value for name, value in environ.items() if value}
    installation = Installation(data_dir, {"EO_API_KEY": named.get("EO_API_KEY") or made["api_key"]}, environ)
    told = installation.told
    _find_servers(installation, named, made["redis_password"])
    _find_stripe(installation, named, made)
    settings = installation.settings()
    told |= {"EO_HOST": settings.host, "EO_PORT": str(settings.port)}
    opening.turn_on(installation, named)
    if settings.stripe_is_live and {"postgres", "redis"} & set(installation.parts):
        raise Misconfigured("A live Stripe key needs DATABASE_URL and REDIS_URL: embedded parts are for trying out.")
    installation.add_migration()
    for kind in KINDS:
        installation.add(kind)
    if "sandbox" in installation.parts and "STRIPE_WEBHOOK_SECRET" not in named:
        installation.parts["api"].before_start.append(lambda: _hear(installation))
    return installation


def _hear(installation: Installation) -> None:
    """Have the sandbox send its events to the API. Without them the sweeps find everything, a little later."""
    told, api = installation.told, installation.parts["api"]
    try:
        secret = webhooks.registered(
            installation.folder,
            stripe=told["STRIPE_API_BASE"],
            key=told["STRIPE_API_KEY"],
            api=installation.url("api"),
        )
    except OSError as error:
        say("api", f"the sandbox could not be told where to send its events: {error}")
        return
    if secret is not None:
        told["STRIPE_WEBHOOK_SECRET"] = secret
        api.environ = {**(api.environ or {}), "STRIPE_WEBHOOK_SECRET": secret}


def _find_servers(installation: Installation, named: Mapping[str, str], redis_password: str) -> None:
    if "DATABASE_URL" in named:
        installation.told["DATABASE_URL"] = named["DATABASE_URL"]
    else:
        installation.embed_postgres()
    if "REDIS_URL" in named:
        installation.told["REDIS_URL"] = named["REDIS_URL"]
    else:
        installation.embed_redis(redis_password, persistent=True)


def _find_stripe(installation: Installation, named: Mapping[str, str], made: Mapping[str, str]) -> None:
    told = installation.told
    if names_stripe(named):
        told["STRIPE_API_KEY"] = named["STRIPE_API_KEY"]
        told["STRIPE_API_BASE"] = named.get("STRIPE_API_BASE", STRIPE_API)
        return
    told["STRIPE_API_KEY"] = made["stripe_api_key"]
    told["EO_SANDBOX_SECRET"] = named.get("EO_SANDBOX_SECRET") or made["sandbox_secret"]
    if not _AT_THE_SANDBOX.keys() & named.keys():
        told |= _AT_THE_SANDBOX
    installation.embed_sandbox()


def names_stripe(named: Mapping[str, str]) -> bool:
    """Whether the environment names a Stripe. Raises Misconfigured where it names an address without a key."""
    if "STRIPE_API_BASE" in named and "STRIPE_API_KEY" not in named:
        raise Misconfigured("STRIPE_API_BASE is set without STRIPE_API_KEY. Set both, or neither for the sandbox.")
    return "STRIPE_API_KEY" in named


def api_url(settings: Settings) -> str:
    """The URL under which this machine reaches the API."""
    return reached_at(settings.host, settings.port)


def load_secrets(path: Path) -> dict[str, str]:
    """Read this installation's secrets; the first run makes them. Raises Misconfigured where they are unreadable."""
    try:
        kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{path} cannot be read ({error}). Run as the user who made it, or `eo reset`.") from error
    made = {
        "api_key": "eo_test_" + secrets.token_urlsafe(24),
        "stripe_api_key": "sk_test_" + secrets.token_hex(16),
        "redis_password": secrets.token_hex(16),
        "sandbox_secret": secrets.token_urlsafe(24),
    } | kept
    if made != kept:
        write_private(path, json.dumps(made, indent=2) + "\n")
    return made


@contextlib.contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Lock the data folder, made if missing. Raises Misconfigured where another `eo up` has locked it."""
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
    """Let only this user read `.eo` and what `eo up` keeps in it. The servers do the same for their folders."""
    data_dir.chmod(0o700)
    for path in data_dir.glob("*"):
        if path.name in ("log", "sandbox"):
            close_to_others(path)
        elif path.is_file() and not path.is_symlink():
            path.chmod(0o600)


def try_lock(descriptor: int) -> bool:
    """Take the lock if it is free; returns whether it was. The kernel releases it when this process ends."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
