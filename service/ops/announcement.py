"""What `eo up` prints once all parts run: where each is, a link that opens the console, and why charges would wait."""

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

import service
from service.foundation.addresses.postgres import shown
from service.ops import opening, webhooks
from service.ops.child import http_get, wait_until
from service.ops.embedded import PG_VERSION, Valkey, postgres_programs, valkey_program
from service.ops.installation import Installation
from service.ops.supervisor import pause

_PAYABLE_S, _LOOK_S = 5.0, 0.25
_REVOKED = "The API key of this installation is revoked. `eo keys create --account default` makes another one."


def announce(installation: Installation, *, began: float, as_json: bool) -> None:
    """Find out what can be used now, make a link that opens the console, and print all of it."""
    waits = why_charges_wait(f"{installation.url('api')}/health/ready")
    has_key, console = key_opens(installation), opening.link(installation)
    took_s = time.monotonic() - began
    show(installation, took_s=took_s, as_json=as_json, waits=waits, has_key=has_key, console=console)


def show(
    installation: Installation,
    *,
    took_s: float,
    as_json: bool,
    waits: Sequence[str] = (),
    has_key: bool = True,
    console: str = "",
) -> None:
    """Print the addresses of all parts on stdout, with what stands in the way of a payment."""
    rows = {name: words for name, words in block(installation, console).items() if words}
    if not has_key:
        del rows["Key"]
        waits = [*waits, _REVOKED]
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


def block(installation: Installation, console: str) -> dict[str, str]:
    """The printed values by name. A key that came from the environment is not printed."""
    api, told, redis = installation.url("api"), installation.told, installation.parts.get("redis")
    return {
        "API": api,
        "Docs": f"{api}/docs",
        "Console": console,
        "Key": "from EO_API_KEY" if os.environ.get("EO_API_KEY") else told["EO_API_KEY"],
        "Postgres": f"{version_of(postgres_programs(PG_VERSION) / 'postgres')} embedded, {told['DATABASE_URL']}"
        if "postgres" in installation.parts
        else shown(told["DATABASE_URL"]),
        "Redis": f"Valkey {version_of(valkey_program())} embedded, 127.0.0.1:{redis.port}"
        if isinstance(redis, Valkey)
        else shown(told["REDIS_URL"]),
        "Webhooks": f"{api}{webhooks.EVENTS_PATH}" if _hears(installation) else "",
        "Stripe": ("sandbox, " if "sandbox" in installation.parts else "") + told["STRIPE_API_BASE"],
        "Logs": str(installation.logs),
    }


def why_charges_wait(ready_url: str) -> list[str]:
    """The reasons of /health/ready after at most 5 seconds; none where an order can be paid now."""
    reasons: list[str] = []

    def is_ok() -> bool:
        answer = http_get(ready_url, timeout_s=_PAYABLE_S)
        with contextlib.suppress(ValueError):
            reasons[:] = json.loads(answer[1])["reasons"] if answer else ["The API does not answer."]
        return not reasons

    wait_until(is_ok, within_s=_PAYABLE_S, pause=lambda _: pause(_LOOK_S))
    return reasons


def key_opens(installation: Installation) -> bool:
    """Whether the API accepts this installation's key; True also where the API does not answer."""
    headers = {"Authorization": f"Bearer {installation.told['EO_API_KEY']}"}
    answer = http_get(f"{installation.url('api')}/v1/orders", timeout_s=_PAYABLE_S, headers=headers)
    return answer is None or answer[0] != HTTPStatus.UNAUTHORIZED


def _hears(installation: Installation) -> bool:
    return bool(installation.environ.get("STRIPE_WEBHOOK_SECRET"))


def version_of(program: Path) -> str:
    """The version that a server's program reports, e.g. 18.4."""
    words = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=False).stdout.split()
    return next((word for word in (word.removeprefix("v=") for word in words) if word[:1].isdigit()), "")
