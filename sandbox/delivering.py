"""Deliveries: signed as Stripe signs, sent at least once, repeated with growing pauses until a 2xx.

Answers to API requests never wait for them. What was on its way when the process ended is sent by the next one.
Source of the signature: Stripe's page on webhooks, and the SDK's own verifier.
"""

import asyncio
import contextlib
import hmac
import logging
import time
from hashlib import sha256
from typing import NamedTuple

import msgspec

from sandbox import destinations, events, posting, thin
from sandbox.destinations import Destination
from sandbox.objects import Json, encode
from sandbox.state import Sandbox
from sandbox.telling import Missigned, Recorded

POLL_S = 0.05
# As many to one destination at once; a slow receiver delays no other.
AT_ONCE_MAX = 16
TRIES_MAX = 16
PAUSE_S_MAX = 3600.0
_OK = range(200, 300)
_HOUR_S = 3600
_SENT = {
    "Content-Type": "application/json; charset=utf-8",
    "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
    "Accept": "*/*; q=0.5, application/xml",
    "Cache-Control": "no-cache",
}
_log = logging.getLogger("sandbox")


class Due(NamedTuple):
    """A delivery that is to be tried now."""

    seq: int
    event: str
    tries: int
    missigned: Missigned | None


class Deliverer:
    """Sends what is due."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._woken = asyncio.Event()
        self._next_try = asyncio.Event()  # set, and replaced, at the end of each try
        self._trying: dict[int, asyncio.Task[None]] = {}

    def wake(self) -> None:
        """Something became due."""
        self._woken.set()

    async def run(self) -> None:
        """Send what is due, whenever something is. Never returns."""
        try:
            while True:
                try:
                    await self._sandbox.store.committed()
                    self._start_due()
                except Exception:  # noqa: BLE001  a failing look must not end the sending
                    _log.exception("deliveries")
                await self._wait()
        finally:
            for task in self._trying.values():
                task.cancel()

    async def tried(self, event_ids: list[str], within_s: float) -> None:
        """Return when each of these events has been sent once to whoever gets it, or after so many seconds."""
        names = ", ".join("?" * len(event_ids))
        untried = f"SELECT 1 FROM deliveries WHERE event IN ({names}) AND state = 'waiting' AND tries = 0"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._sandbox.store.row(untried, tuple(event_ids)) is not None:
                    await self._next_try.wait()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(POLL_S):
                await self._woken.wait()
        except TimeoutError:
            return
        self._woken.clear()

    def _start_due(self) -> None:
        """Begin to send to each destination what is due, as far as it has room. Only what is committed is sent."""
        self._sandbox.store.commit()
        now = self._sandbox.clock.exact()
        for destination in destinations.every(self._sandbox.store):
            rows = self._sandbox.store.rows(
                "SELECT seq, event, tries, missigned FROM deliveries"
                " WHERE destination = ? AND state = 'waiting' AND due <= ? ORDER BY due, seq LIMIT ?",
                (destination.id, now, AT_ONCE_MAX),
            )
            for due in map(Due._make, rows):
                if due.seq not in self._trying:
                    self._trying[due.seq] = asyncio.create_task(self._try(due, destination))

    async def _try(self, due: Due, destination: Destination) -> None:
        """One try, and what came of it."""
        try:
            row = self._event(due)
            if not destination.enabled or row is None:
                # Stripe prevents further tries to what was disabled.
                self._end(due, "failed", "disabled")
                return
            body = _body(due.event, *row)
            headers, body = _signed(destination.secrets(self._sandbox.clock.exact()), body, _missigned(due))
            try:
                status = await posting.post(destination.url, _SENT | headers, body)
            except posting.NoAnswer as error:
                self._again(due, str(error))
            else:
                if status in _OK:
                    self._end(due, "delivered", str(status))
                else:
                    self._again(due, str(status))
        except Exception:  # noqa: BLE001  a bug of ours, in this one delivery: it is not tried again
            _log.exception("delivery of %s", due.event)
            self._end(due, "failed", "the sandbox failed")
        finally:
            del self._trying[due.seq]
            self._next_try.set()
            self._next_try = asyncio.Event()
            self.wake()

    def _event(self, due: Due) -> tuple[Recorded, int] | None:
        sql = f"SELECT {events.COLUMNS}, {events.PENDING} FROM events WHERE id = ?"
        row = self._sandbox.store.row(sql, (thin.snapshot_id(due.event),))
        return None if row is None else (Recorded(*row[:-1]), row[-1])

    def _again(self, due: Due, answer: str) -> None:
        """Plan the next try: each pause is twice the one before."""
        if due.tries + 1 >= TRIES_MAX:
            self._end(due, "failed", answer)
            return
        pause = min(self._sandbox.retry_s * 2**due.tries, PAUSE_S_MAX)
        self._sandbox.store.write(
            "UPDATE deliveries SET tries = tries + 1, answer = ?, due = ? WHERE seq = ?",
            (answer, self._sandbox.clock.exact() + pause, due.seq),
        )

    def _end(self, due: Due, state: str, answer: str) -> None:
        self._sandbox.store.write(
            "UPDATE deliveries SET tries = tries + 1, answer = ?, state = ? WHERE seq = ?", (answer, state, due.seq)
        )


def report(sandbox: Sandbox, event_id: str) -> list[Json]:
    """What became of an event's deliveries, of its thin version too."""
    names = ("event", "destination", "state", "tries", "answer", "due")
    snapshot = thin.snapshot_id(event_id)
    found = sandbox.store.rows(
        f"SELECT {', '.join(names)} FROM deliveries WHERE event IN (?, ?) ORDER BY seq",
        (snapshot, thin.thin_id(snapshot)),
    )
    return [dict(zip(names, row, strict=True)) for row in found]


def counts(sandbox: Sandbox) -> Json:
    """How many deliveries are in each state."""
    found = dict(sandbox.store.rows("SELECT state, COUNT(*) FROM deliveries GROUP BY state"))
    return {state: found.get(state, 0) for state in ("waiting", "delivered", "failed")}


def flush(sandbox: Sandbox) -> int:
    """All that waits becomes due. Returns how many."""
    (count,) = sandbox.store.row("SELECT COUNT(*) FROM deliveries WHERE state = 'waiting'")
    sandbox.store.write("UPDATE deliveries SET due = ? WHERE state = 'waiting'", (sandbox.clock.exact(),))
    return int(count)


def resend(sandbox: Sandbox, event_id: str) -> int:
    """Send an event again to every destination that it was ever for. Returns to how many."""
    snapshot = thin.snapshot_id(event_id)
    told = sandbox.store.rows(
        "SELECT DISTINCT event, destination FROM deliveries WHERE event IN (?, ?)", (snapshot, thin.thin_id(snapshot))
    )
    for event, destination in told:
        sandbox.store.write(
            "INSERT INTO deliveries (event, destination, state, due) VALUES (?, ?, 'waiting', ?)",
            (event, destination, sandbox.clock.exact()),
        )
    return len(told)


def _body(sent_as: str, event: Recorded, pending: int) -> bytes:
    """The bytes that are sent. Stripe writes snapshots over many lines, so a receiver must verify what came."""
    if sent_as != event.id:
        return encode(thin.render(event))
    return msgspec.json.format(events.render(event, pending), indent=2)


def _missigned(due: Due) -> Missigned | None:
    return due.missigned if due.tries == 0 else None


def _signed(secrets: list[str], body: bytes, wrongly: Missigned | None) -> tuple[dict[str, str], bytes]:
    """The header and the body; the time is the machine's, because receivers compare it with theirs."""
    at = int(time.time()) + {"old": -_HOUR_S, "future": _HOUR_S}.get(wrongly or "", 0)
    if wrongly == "wrong_secret":
        secrets = [destinations.new_secret()]
    signatures = [hmac.new(secret.encode(), b"%d.%s" % (at, body), sha256).hexdigest() for secret in secrets]
    header = ",".join([f"t={at}", *(f"v1={signature}" for signature in signatures)])
    sent = body.rstrip()[:-1] + b',"forged":true}' if wrongly == "changed_body" else body
    return {"Stripe-Signature": header}, sent
