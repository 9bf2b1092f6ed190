"""Every knob, with its unit, its default and the reason for it. A value, read once, passed on.

Sources, first wins: the process environment; `<EO_DATA_DIR>/run.json`, which `eo up` writes with the addresses of
what it embeds, so that every other `eo` command finds the running parts.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from service.errors import Misconfigured

RUN_FILE = "run.json"
STRIPE_API = "https://api.stripe.com"
_WINDOW_S = 10


def _knob(variable: str, default: Any, why: str) -> Any:
    """A field read from `variable`; `why` is shown by `eo settings` and belongs beside the default."""
    return field(default=default, metadata={"variable": variable, "why": why})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a process needs to know. Secrets are kept out of `repr`."""

    # where the parts are
    database_url: str = field(
        default="", repr=False, metadata={"variable": "DATABASE_URL", "why": "PostgreSQL >= 15; unset: embedded"}
    )
    redis_url: str = field(default="", repr=False, metadata={"variable": "REDIS_URL", "why": "broker; unset: embedded"})
    stripe_api_key: str = field(
        default="", repr=False, metadata={"variable": "STRIPE_API_KEY", "why": "sk_test_…; unset: the sandbox's"}
    )
    stripe_api_base: str = _knob("STRIPE_API_BASE", "", "address of Stripe's API; unset: Stripe, or the sandbox")
    api_key: str = field(
        default="", repr=False, metadata={"variable": "EO_API_KEY", "why": "key to install for the default account"}
    )
    live: bool = _knob("EO_LIVE", False, "must be 1 before a live Stripe key is accepted")
    host: str = _knob("EO_HOST", "127.0.0.1", "where the API listens; loopback unless said otherwise")
    port: int = _knob("EO_PORT", 8000, "where the API listens")
    data_dir: Path = field(
        default=Path(".eo"), metadata={"variable": "EO_DATA_DIR", "why": "embedded data, logs, run.json; mode 0700"}
    )

    # the door
    rate_limit_rps: int = _knob("EO_RATE_LIMIT_RPS", 0, "requests per second per API key; 0: no limit")
    door_lock_timeout_ms: int = _knob("EO_DOOR_LOCK_TIMEOUT_MS", 2_000, "one stuck key must not hold a batch (R5)")
    door_batch_max: int = _knob("EO_DOOR_BATCH_MAX", 256, "orders one statement may carry; bounds its parse time")
    door_writers: int = _knob("EO_DOOR_WRITERS", 2, "statements in flight: one commits while the next fills")
    db_pool: int = _knob("EO_DB_POOL", 8, "connections per process; a transaction takes about 2 ms")

    # outbox and relay
    outbox_lease_s: float = _knob(
        "EO_OUTBOX_LEASE_S", 60.0, "a published row is invisible so long: above the charge lease"
    )
    relay_poll_ms: int = _knob("EO_RELAY_POLL_MS", 25, "idle poll: 40 a second cost 3 % of a core")
    relay_message_events: int = _knob(
        "EO_RELAY_MESSAGE_EVENTS", 64, "events per message: what one worker calls at once"
    )
    relay_window: int = _knob("EO_RELAY_WINDOW", 4_000, "events out at once, 5-10 s of what workers drain (R11)")
    relay_republish_rps: int = _knob(
        "EO_RELAY_REPUBLISH_RPS", 500, "re-published rows per second after a lost broker (R11)"
    )
    retry_base_s: float = _knob("EO_RETRY_BASE_S", 1.0, "first backoff; doubles with jitter")
    retry_max_s: float = _knob("EO_RETRY_MAX_S", 900.0, "longest backoff: 15 minutes")

    # the charge protocol
    charge_lease_s: float = _knob("EO_CHARGE_LEASE_S", 45.0, "above the longest call, below the outbox lease")
    stripe_connect_timeout_s: float = _knob(
        "EO_STRIPE_CONNECT_TIMEOUT_S", 2.0, "below the total, or it looks like a lost reply"
    )
    stripe_timeout_s: float = _knob("EO_STRIPE_TIMEOUT_S", 20.0, "one call, whole; well below the charge lease")
    stripe_max_rps: int = _knob(
        "EO_STRIPE_MAX_RPS", -1, "fleet-wide calls/s per endpoint; -1: 20 at Stripe, none at the sandbox"
    )
    key_age_max_s: float = _knob("EO_KEY_AGE_MAX_S", 72_000.0, "20 h: Stripe forgets a key after 24 h (R17)")
    miss_counts_after_s: float = _knob(
        "EO_MISS_COUNTS_AFTER_S", 88_200.0, "24 h 30 min: then a clean miss is an answer (R18)"
    )
    poison_opens: int = _knob("EO_POISON_OPENS", 5, "opened so often without ever settling: parked (R10)")
    breaker_after: int = _knob(
        "EO_BREAKER_AFTER", 5, "refusals in a row that open the breaker: of our key (R20), or of distinct orders (R33)"
    )
    breaker_s: float = _knob(
        "EO_BREAKER_S", 10.0, "an open breaker is probed so often; where a send was refused, one send is then tried"
    )
    clock_skew_max_s: float = _knob(
        "EO_CLOCK_SKEW_MAX_S", 300.0, "database against Stripe's Date; beyond, sending stops (R28)"
    )
    worker_messages: int = _knob("EO_WORKER_MESSAGES", 8, "messages one worker process handles at once")

    # after the charge
    fee_sweep_s: float = _knob("EO_FEE_SWEEP_S", 1.0, "how often late fees are fetched (R24)")
    rollup_s: float = _knob("EO_ROLLUP_S", 5.0, "how often balances are rolled up")
    reconcile_grace_s: int = _knob("EO_RECONCILE_GRACE_S", 600, "younger differences are in flight, not discrepancies")

    @property
    def stripe_is_live(self) -> bool:
        """Whether the key takes real money. Stripe's account id does not tell: it is the same in test mode."""
        return self.stripe_api_key.startswith(("sk_live_", "rk_live_"))

    @property
    def stripe_is_sandbox(self) -> bool:
        """Whether charges go to a stand-in: any address that is not Stripe's own (which an empty one means)."""
        return self.stripe_api_base not in ("", STRIPE_API)

    @property
    def stripe_rps(self) -> int:
        """Fleet-wide calls per second per endpoint; 0 means no limit. Stripe's own default limit is 25."""
        if self.stripe_max_rps >= 0:
            return self.stripe_max_rps
        return 0 if self.stripe_is_sandbox else 20

    @property
    def window(self) -> int:
        """Events out at once: never more than ten seconds of what Stripe's rate lets the fleet drain (R11).

        More would wait in the broker beyond their invisibility, and be published again for nothing.
        """
        return min(self.relay_window, _WINDOW_S * self.stripe_rps) if self.stripe_rps else self.relay_window

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Settings from the environment, completed by what `eo up` wrote. Raises Misconfigured."""
        environ = os.environ if environ is None else environ
        data_dir = Path(environ.get("EO_DATA_DIR") or ".eo")
        merged = {**_running_parts(data_dir), **{k: v for k, v in environ.items() if v != ""}}
        named = {f.metadata["variable"]: f for f in fields(cls)}
        values = {f.name: _read(f.type, variable, merged) for variable, f in named.items() if variable in merged}
        settings = cls(**values)
        settings._check()
        return settings

    def _check(self) -> None:
        if self.stripe_is_live and not self.live:
            raise Misconfigured("STRIPE_API_KEY is a live key and charges real cards. Set EO_LIVE=1 if that is meant.")
        if not self.stripe_timeout_s < self.charge_lease_s < self.outbox_lease_s:
            raise Misconfigured(
                "EO_STRIPE_TIMEOUT_S < EO_CHARGE_LEASE_S < EO_OUTBOX_LEASE_S must hold: a call ends before its lease, "
                "and a lease before its row is published again. Change one of the three."
            )


def _running_parts(data_dir: Path) -> dict[str, str]:
    """The environment of the parts `eo up` runs, or nothing where none are running."""
    try:
        found = json.loads((data_dir / RUN_FILE).read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{data_dir / RUN_FILE} cannot be read ({error}). Start `eo up` again.") from error
    return {str(k): str(v) for k, v in found["environment"].items()}


def _read(kind: Any, variable: str, environ: Mapping[str, str]) -> Any:
    text = environ[variable].strip()
    try:
        return _PARSERS[kind](text)
    except (KeyError, ValueError) as error:
        raise Misconfigured(f"{variable} must be {_NAMES[kind]}. Correct it and start again.") from error


def _flag(text: str) -> bool:
    return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]


_PARSERS: dict[Any, Any] = {str: str, int: int, float: float, bool: _flag, Path: Path}
_NAMES: dict[Any, str] = {str: "text", int: "a whole number", float: "a number", bool: "0 or 1", Path: "a path"}
