"""Stripe's idempotency layer, as its pages describe it.

- POST only; a key is bound to its endpoint and its decoded parameters.
- The first answer is saved once execution began, success or failure, a 500 too, and replayed verbatim.
- Nothing is saved for answers given before execution: validation, 401, 429, and 409 for a key in flight.
- A key that is 24 h old is forgotten. Sent again it is a new request and takes the money again.

Source: Stripe's API reference on idempotent requests and its page on low-level errors.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sandbox.errors import invalid, key_in_use, key_reused
from sandbox.params import fingerprint
from sandbox.state import Call, Sandbox

KEY_CHARACTERS_MAX = 255
KEPT_S = 24 * 3600
_SECOND_STATUS = 409


class Saved(NamedTuple):
    """The first answer to a key, and which request it answered."""

    status: int
    body: bytes
    request_id: str


class Keys:
    """Which keys are answered (in the books) and which are in flight (in memory: a crash ends them all)."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._store = sandbox.store
        self._clock = sandbox.clock
        self._in_flight: dict[str, bytes] = {}

    def find(self, call: Call) -> Saved | None:
        """The saved answer of this very request; None when it is new. Raises on reuse and while in flight."""
        key = call.key
        if key is None:
            return None
        if len(key) > KEY_CHARACTERS_MAX:
            raise invalid(f"Idempotency keys can be at most {KEY_CHARACTERS_MAX} characters long.")
        if key in self._in_flight:
            other = "in_flight_compares" in self._sandbox.strict and self._in_flight[key] != fingerprint(call.params)
            raise key_reused(key, None) if other else key_in_use(key)
        row = self._store.row(
            "SELECT endpoint, fingerprint, created, status, body, request_id FROM idempotency_keys WHERE key = ?",
            (key,),
        )
        if row is None or self._clock.now() - row[2] >= KEPT_S:
            return None
        endpoint, print_, _, status, body, request_id = row
        if endpoint != call.path:
            raise key_reused(key, endpoint)
        if print_ != fingerprint(call.params):
            reused = key_reused(key, None)
            # Stripe's second API documents another status for the same error.
            reused.status = _SECOND_STATUS if call.path.startswith("/v2/") else reused.status
            raise reused
        return Saved(status, body, request_id)

    @contextmanager
    def in_flight(self, call: Call) -> Iterator[None]:
        """While the body runs, the same key gets 409."""
        if call.key is None:
            yield
            return
        self._in_flight[call.key] = fingerprint(call.params)
        try:
            yield
        finally:
            del self._in_flight[call.key]

    def save(self, call: Call, status: int, body: bytes) -> None:
        """Save the answer in the transaction of what was executed. Overwrites a key that is older than 24 h."""
        if call.key is None:
            return
        self._store.write(
            "INSERT OR REPLACE INTO idempotency_keys (key, endpoint, fingerprint, created, status, request_id, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                call.key,
                call.path,
                self._in_flight[call.key],
                self._clock.now(),
                status,
                call.request_id,
                body,
            ),
        )
