"""Every knob, with its unit, its default, its bounds and the reason for it. Settings are read once and passed on.

A variable is read from the process environment. Where it is not set there, it is read from `<EO_DATA_DIR>/run.json`,
which `eo up` writes with the addresses of its servers, so that every other `eo` command finds them.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from service.foundation.addresses import postgres as addresses
from service.foundation.addresses import redis as redis_url
from service.foundation.addresses import stripe as stripe_address
from service.foundation.addresses.networks import check_networks
from service.foundation.errors import Misconfigured
from service.foundation.knob_rules import check_rules
from service.foundation.knobs import Knob, knob, secret
from service.foundation.run_file import refuse_live_key, running_parts
from service.foundation.text import key_form

_OUT_S = 10  # seconds of work for the workers that may be out at once
KEY_MIN, KEY_MAX = 20, 1_000  # characters of a key of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of a process. Secrets are kept out of `repr`."""

    # addresses and keys
    database_url: str = secret("DATABASE_URL", "PostgreSQL >= 15; unset: embedded")
    redis_url: str = secret("REDIS_URL", "broker; unset: embedded")
    redis_password: str = secret(
        "REDIS_PASSWORD", "for a REDIS_URL without one: written as it is, nothing encoded", verbatim=True
    )
    stripe_api_key: str = secret("STRIPE_API_KEY", "sk_test_…; unset: the sandbox's")
    stripe_api_base: str = knob("STRIPE_API_BASE", "", "address of Stripe's API; unset: Stripe, or the sandbox")
    stripe_webhook_secret: str = secret(
        "STRIPE_WEBHOOK_SECRET", "whsec_…, several by commas while one is rolled; unset: no webhooks"
    )
    api_key: str = secret("EO_API_KEY", "key to install for the default account")
    live: bool = knob("EO_LIVE", False, "must be 1 before a live Stripe key is accepted")
    host: str = knob("EO_HOST", "127.0.0.1", "where the API listens; loopback unless said otherwise")
    port: int = knob("EO_PORT", 8000, "where the API listens", least=1, most=65_535)
    metrics_port: int = knob(
        "EO_METRICS_PORT",
        0,
        "a relay's metrics; a worker's are at the next port; 0: none. The API's are at its own",
        least=0,
        most=65_534,
    )
    metrics_host: str = knob(
        "EO_METRICS_HOST", "127.0.0.1", "where those listen, without a key: loopback unless said otherwise"
    )
    data_dir: Path = field(
        default=Path(".eo"), metadata={"variable": "EO_DATA_DIR", "why": "embedded data, logs, run.json; mode 0700"}
    )

    # the console
    console: bool = knob("EO_CONSOLE", False, "1: /console is served, to whoever has a link of `eo console link`")
    console_origin: str = knob(
        "EO_CONSOLE_ORIGIN", "", "https address at which a proxy serves the console; unset: loopback only"
    )
    chaos_socket: str = knob(
        "EO_CHAOS_SOCKET", "", "where `eo up` listens for the chaos page; it sets this itself, with the sandbox only"
    )

    traces: str = knob(
        "EO_TRACES", "", "module:function that sets OpenTelemetry's tracer provider (extra otel); unset: no traces"
    )

    # accepting orders
    rate_limit_rps: int = knob(
        "EO_RATE_LIMIT_RPS", 0, "requests per second per API key; 0: no limit", least=0, most=1_000_000
    )
    trusted_proxies: str = knob(
        "EO_TRUSTED_PROXIES", "", "addresses or networks, by commas, whose X-Forwarded-For is believed; unset: none"
    )
    door_lock_timeout_ms: int = knob(
        "EO_DOOR_LOCK_TIMEOUT_MS", 2_000, "one stuck key must not hold a batch (R5)", least=1, most=4_000
    )
    door_batch_max: int = knob(
        "EO_DOOR_BATCH_MAX", 256, "orders one statement may carry; bounds its parse time", least=1, most=10_000
    )
    door_writers: int = knob(
        "EO_DOOR_WRITERS", 2, "statements in flight: one commits while the next fills", least=1, most=64
    )
    db_pool: int = knob("EO_DB_POOL", 8, "connections per process; a transaction takes about 2 ms", least=1, most=500)

    # outbox and relay
    outbox_lease_s: float = knob(
        "EO_OUTBOX_LEASE_S", 60.0, "a published row is invisible so long: above the charge lease", least=1, most=3_600
    )
    relay_poll_ms: int = knob("EO_RELAY_POLL_MS", 25, "idle poll: 40 a second cost 3 % of a core", least=1, most=10_000)
    relay_message_events: int = knob(
        "EO_RELAY_MESSAGE_EVENTS", 64, "events per message: what one worker calls at once", least=1, most=1_000
    )
    relay_window: int = knob(
        "EO_RELAY_WINDOW", 4_000, "events out at once, 5-10 s of what workers drain (R11)", least=1, most=1_000_000
    )
    relay_republish_rps: int = knob(
        "EO_RELAY_REPUBLISH_RPS", 500, "re-published rows per second after a lost broker (R11)", least=1, most=100_000
    )
    retry_base_s: float = knob("EO_RETRY_BASE_S", 1.0, "first backoff; doubles with jitter", least=0.01, most=3_600)
    retry_max_s: float = knob("EO_RETRY_MAX_S", 900.0, "longest backoff: 15 minutes", least=0.1, most=21_600)

    # the charge protocol
    charge_lease_s: float = knob(
        "EO_CHARGE_LEASE_S", 45.0, "above the longest call, below the outbox lease", least=0.5, most=1_800
    )
    stripe_connect_timeout_s: float = knob(
        "EO_STRIPE_CONNECT_TIMEOUT_S", 2.0, "below the total, or it looks like a lost reply", least=0.05, most=60
    )
    stripe_timeout_s: float = knob(
        "EO_STRIPE_TIMEOUT_S", 20.0, "one call, whole; well below the charge lease", least=0.1, most=600
    )
    stripe_max_rps: int = knob(
        "EO_STRIPE_MAX_RPS",
        -1,
        "fleet-wide calls/s per endpoint; -1: 20 at Stripe, none at the sandbox; 0: no limit",
        least=-1,
        most=10_000,
    )
    key_age_max_s: float = knob(
        "EO_KEY_AGE_MAX_S", 72_000.0, "20 h: Stripe forgets a key after 24 h (R17)", least=3_600, most=82_800
    )
    miss_counts_after_s: float = knob(
        "EO_MISS_COUNTS_AFTER_S",
        88_200.0,
        "24 h 30 min: then a clean miss is an answer (R18)",
        least=88_200,
        most=604_800,
    )
    action_max_s: float = knob(
        "EO_ACTION_MAX_S",
        86_400.0,
        "24 h: a 3-D Secure that nobody finishes is canceled at Stripe (R25)",
        least=600,
        most=2_592_000,
    )
    bank_max_s: float = knob(
        "EO_BANK_MAX_S",
        1_209_600.0,
        "14 days: no bank takes longer; a payment still `processing` is parked (R36)",
        least=3_600,
        most=7_776_000,
    )
    poison_opens: int = knob(
        "EO_POISON_OPENS", 5, "opened so often without ever settling: parked (R10)", least=2, most=1_000
    )
    breaker_after: int = knob(
        "EO_BREAKER_AFTER",
        5,
        "refusals in a row that open the breaker: of our key (R20), or of distinct orders (R33)",
        least=1,
        most=1_000,
    )
    breaker_s: float = knob(
        "EO_BREAKER_S",
        10.0,
        "an open breaker is probed so often; where a send was refused, one send is then tried",
        least=0.1,
        most=3_600,
    )
    clock_skew_max_s: float = knob(
        "EO_CLOCK_SKEW_MAX_S", 300.0, "database against Stripe's Date; beyond, sending stops (R28)", least=1, most=1_800
    )
    worker_messages: int = knob(
        "EO_WORKER_MESSAGES", 8, "messages one worker process handles at once", least=1, most=256
    )

    # after the charge
    fee_sweep_s: float = knob(
        "EO_FEE_SWEEP_S",
        1.0,
        "how often the newest movements of Stripe's balance are fetched while charges wait for their fees (R24)",
        least=0.05,
        most=3_600,
    )
    sweep_s: float = knob(
        "EO_SWEEP_S", 60.0, "how often Stripe's lists are read for what no event told (R38)", least=0.05, most=3_600
    )
    rollup_s: float = knob("EO_ROLLUP_S", 5.0, "how often balances are rolled up", least=0.05, most=3_600)
    events_keep_days: int = knob(
        "EO_EVENTS_KEEP_DAYS",
        30,
        "settled events are kept so long; Stripe lists its own for 30 days",
        least=1,
        most=3_650,
    )
    reconcile_grace_s: int = knob(
        "EO_RECONCILE_GRACE_S", 600, "younger differences are in flight, not discrepancies", least=0, most=604_800
    )

    # telling producers
    notice_http: bool = knob("EO_NOTICE_HTTP", False, "1: a notice may travel unencrypted, to an http URL")
    notice_private: bool = knob(
        "EO_NOTICE_PRIVATE", False, "1: a notice may go to a private or loopback address; anybody with a key names it"
    )
    notice_keep_days: int = knob(
        "EO_NOTICE_KEEP_DAYS",
        30,
        "delivered notices are kept so long, to be resent; what waits or is parked stays",
        least=1,
        most=3_650,
    )

    @property
    def stripe_is_live(self) -> bool:
        """Whether the key takes real money."""
        return stripe_address.is_live(self.stripe_api_key)

    @property
    def stripe_is_sandbox(self) -> bool:
        """Whether charges go to a stand-in for Stripe: to any address but Stripe's own, which an empty one means."""
        return not stripe_address.is_stripe(self.stripe_api_base)

    @property
    def stripe_rps(self) -> int:
        """Fleet-wide calls per second per endpoint; 0 means no limit. Stripe's own default limit is 25."""
        if self.stripe_max_rps >= 0:
            return self.stripe_max_rps
        return 0 if self.stripe_is_sandbox else 20

    @property
    def events_out_max(self) -> int:
        """The relay's window, but at most what Stripe's rate lets the workers drain in 10 s (R11).

        More events would wait in the broker longer than they are invisible, and be published again for nothing.
        """
        return min(self.relay_window, _OUT_S * self.stripe_rps) if self.stripe_rps else self.relay_window

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Settings from the environment, completed by what `eo up` wrote. Raises Misconfigured."""
        environ = os.environ if environ is None else environ
        named = {name: value for name, value in environ.items() if value != ""}
        running = running_parts(data_dir(environ))
        merged = {**running, **named}
        values = {one.name: one.read(merged[one.variable]) for one in KNOBS if one.variable in merged}
        settings = _with_addresses(cls(**values), environ)
        check(settings)
        if settings.stripe_is_live:
            refuse_live_key(settings.stripe_api_key, settings.data_dir, named, running)
        return settings

    def require(self, *variables: str) -> None:
        """Raises Misconfigured where one of them is not set, neither here nor by an `eo up`."""
        for one in KNOBS:
            if one.variable in variables and not getattr(self, one.name):
                raise Misconfigured(
                    f"{one.variable} is not set and no `eo up` runs here. Start `eo up`, or set {one.variable}."
                )


KNOBS = tuple(Knob.of(one) for one in fields(Settings))


def data_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of the embedded data, by the environment without run.json. Raises Misconfigured."""
    one = next(one for one in KNOBS if one.variable == "EO_DATA_DIR")
    found: Path = one.read(environ.get(one.variable) or str(one.default))
    one.read(str(found.absolute()))  # it includes the working folder, which must be UTF-8 too
    return found


def check(settings: Settings) -> None:
    """Check every bound and every rule between knobs. Raises Misconfigured, which names variables and values."""
    for one in KNOBS:
        one.check(getattr(settings, one.name))
    check_rules({one.variable: getattr(settings, one.name) for one in KNOBS}, settings)


def check_api_key(key: str) -> None:
    """Raises Misconfigured, without the key, where a text cannot be a key of ours (EO_API_KEY)."""
    if not KEY_MIN <= len(key) <= KEY_MAX or not key.isascii() or not key.isprintable() or " " in key:
        raise Misconfigured(f"EO_API_KEY must be {KEY_MIN} to {KEY_MAX} printable ASCII characters without spaces.")
    if key_form.is_mistyped(key.encode()):
        raise Misconfigured(
            "EO_API_KEY has a typo: it looks like a key of `eo keys create`, and its checksum is wrong."
        )


def _with_addresses(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """The settings with each address checked and in its one spelling. Raises Misconfigured."""
    if settings.database_url:
        addresses.postgres_dsns(settings.database_url, environ)
    base = stripe_address.normal(settings.stripe_api_base) if settings.stripe_api_base else ""
    if settings.stripe_api_key:
        stripe_address.check_key(settings.stripe_api_key, base)
    stripe_address.webhook_secrets(settings.stripe_webhook_secret)
    if settings.api_key:
        check_api_key(settings.api_key)
    if settings.stripe_is_live and not settings.live:
        raise Misconfigured("STRIPE_API_KEY is a live key and charges real cards. Set EO_LIVE=1 if that is meant.")
    check_networks(settings.trusted_proxies)
    if settings.chaos_socket and (settings.stripe_is_live or stripe_address.is_stripe(base)):
        raise Misconfigured("EO_CHAOS_SOCKET is set, and Stripe is not the sandbox. `eo up` sets it itself; unset it.")
    if any(character.isspace() or character in "/@?#" for character in settings.host):
        raise Misconfigured("EO_HOST must be the name or address of an interface, say 127.0.0.1.")
    redis = redis_url.with_password(settings.redis_url, settings.redis_password) if settings.redis_url else ""
    return replace(settings, stripe_api_base=base, redis_url=redis)
