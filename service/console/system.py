"""What the page of the system shows: processes, schema, lives, sweeps, API keys, endpoints of notices, settings."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.addresses.postgres import shown
from service.foundation.postgres import migrate
from service.foundation.postgres.sql import Record, Statement, connect
from service.foundation.settings import KNOBS, Settings

SHOWN_MAX = 100


class Life(Record):
    """A life of the database. is_verified: Stripe was asked what it may have forgotten, and orders are sent."""

    id: int
    seen_at: datetime
    heartbeat_at: datetime | None
    is_verified: bool


_LIVES = Statement("""
SELECT id, seen_at, heartbeat_at, verified_until > now() AS is_verified FROM lives ORDER BY id DESC LIMIT 5
""").returning(Life)


class Sweep(Record):
    """How far a list of Stripe's is read."""

    kind: str
    swept_until: datetime
    swept_at: datetime
    note: str | None


_SWEEPS = Statement("SELECT kind, swept_until, swept_at, note FROM sweeps ORDER BY kind").returning(Sweep)


class Key(Record):
    """An API key without its secret."""

    id: str
    account: str
    last4: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    @property
    def state(self) -> str:
        """Whether it opens anything."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= datetime.now(UTC) else "open to use"


_KEYS = Statement(f"""
SELECT k.id, a.name AS account, k.last4, k.scopes, k.created_at, k.expires_at, k.last_used_at, k.revoked_at
  FROM api_keys k JOIN accounts a ON a.id = k.account_id ORDER BY k.created_at DESC LIMIT {SHOWN_MAX}
""").returning(Key)


class Endpoint(Record):
    """Where a producer is told."""

    url: str
    account: str
    failures: int
    failing_since: datetime | None
    gone_at: datetime | None


_ENDPOINTS = Statement(f"""
SELECT e.url, a.name AS account, e.failures, e.failing_since, e.gone_at
  FROM webhook_endpoints e JOIN accounts a ON a.id = e.account_id
 WHERE e.deleted_at IS NULL ORDER BY e.id DESC LIMIT {SHOWN_MAX}
""").returning(Endpoint)


@dataclass(frozen=True, slots=True)
class System:
    """All of it."""

    schema: str | None
    head: str
    lives: list[Life]
    sweeps: list[Sweep]
    keys: list[Key]
    endpoints: list[Endpoint]


async def read(engine: AsyncEngine) -> System:
    """Read it."""
    schema = await migrate.current(engine)
    async with connect(engine) as connection:
        return System(
            schema,
            migrate.head(),
            await connection.rows(_LIVES),
            await connection.rows(_SWEEPS),
            await connection.rows(_KEYS),
            await connection.rows(_ENDPOINTS),
        )


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting as it may be shown. is_default: nobody has set it."""

    variable: str
    value: str
    why: str
    is_default: bool


def settings(found: Settings) -> Iterator[Setting]:
    """Every setting. Of a secret it is shown whether there is one, of an address all but its password."""
    secret = {field.name for field in fields(Settings) if not field.repr}
    for knob in KNOBS:
        value = getattr(found, knob.name)
        text = str(int(value)) if isinstance(value, bool) else str(value)
        if knob.variable.endswith("_URL"):
            text = shown(text)
        elif knob.name in secret:
            text = "set" if value else ""
        yield Setting(knob.variable, text, knob.why, value == knob.default)


def started(at_s: int) -> timedelta:
    """For how long a process that started at that Unix second has been up, by this machine's clock."""
    return timedelta(seconds=max(0.0, datetime.now(UTC).timestamp() - at_s))
