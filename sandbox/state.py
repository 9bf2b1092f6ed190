"""The parts of a running sandbox, and the parts of one request to it."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sandbox.clock import Clock
from sandbox.ids import new_id
from sandbox.limits import Latency, RateLimit
from sandbox.params import Params
from sandbox.store import Store

API_VERSION = "2026-10-28.endive"


class Origin(NamedTuple):
    """Which request caused an event; both null for what happens by itself."""

    request_id: str | None
    idempotency_key: str | None


BY_ITSELF = Origin(None, None)


class Call(NamedTuple):
    """One API request after decoding. `object_id` is the id inside the path, or empty; `failed`: it could not be."""

    method: str
    path: str
    endpoint: str
    object_id: str
    params: Params
    request_id: str
    key: str | None
    failed: bool = False

    @property
    def origin(self) -> Origin:
        """The request as its events name it."""
        return Origin(self.request_id, self.key)


# An endpoint checks its parameters at once (what it raises then is not saved) and returns the work to do.
Execution = Callable[[], bytes]


class Sandbox:
    """The books and the clock on disk; the settings, which live in memory and start afresh with the process."""

    def __init__(
        self,
        path: Path,
        *,
        fee_delay_s: float,
        latency: Latency,
        rate_limit: RateLimit,
        strict: frozenset[str] = frozenset(),
        retry_s: float = 1.0,
    ) -> None:
        self.store = Store(path)
        self.account_id = self.store.meta("account_id", new_id("acct_1", 15))
        self.clock = Clock(int(self.store.meta("clock_offset_s", "0")))
        self.created = int(self.store.meta("created", str(self.clock.now())))
        self.store.commit()
        self.revoked_keys = {key for (key,) in self.store.rows("SELECT key FROM revoked_keys")}
        self.fee_delay_s = fee_delay_s
        self.latency = latency
        self.rate_limit = rate_limit
        self.strict = strict
        self.retry_s = retry_s

    def age(self, seconds: int, *, refunds: bool = True) -> None:
        """Make all objects and keys, and the account, older by so many seconds; the clock stays."""
        self.store.age(seconds, refunds=refunds)
        self.created -= seconds
        self.store.set_meta("created", str(self.created))

    def revoke(self, key: str, *, revoked: bool) -> None:
        """Revoke an API key, or accept it again. Each request checks this, so the set is also kept in memory."""
        if revoked:
            self.revoked_keys.add(key)
            self.store.write("INSERT OR IGNORE INTO revoked_keys VALUES (?)", (key,))
        else:
            self.revoked_keys.discard(key)
            self.store.write("DELETE FROM revoked_keys WHERE key = ?", (key,))
