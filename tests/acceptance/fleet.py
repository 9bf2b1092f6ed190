"""A fleet: every part of the service as a real process, to be counted, killed, paused and asked.

    with Fleet(folder) as fleet:                     # PostgreSQL and Redis of its own, the schema, a sandbox; 2 s
        fleet.start_all(worker=0, relay=2)           # one of each kind where nothing else is said
        fleet.start("worker", 2, EO_CHARGE_LEASE_S="5")     # more environment for these two alone
        order = fleet.post("/v1/orders", ORDER, key="k").body
        fleet.kill("worker-1")                       # kill -9; also pause (SIGSTOP), resume, stop (SIGTERM), restart
        fleet.until(lambda: fleet.is_paid(order["id"]), within_s=5)
        fleet.settle(within_s=30)                    # until the outbox is empty
        fleet.truth(per_order=True)                  # the sandbox's books: what was really charged
        fleet.eo("reconcile", "--json")              # any `eo` command, in the fleet's environment

Names: `postgres`, `redis`, `sandbox`, and `api-1`, `relay-1`, `worker-1`, `worker-2`, … in the order they were started.
Parts are started from the main thread only: the kernel ends a child with its starting thread (service.ops.child).
Every wait has a bound, and says what the parts logged when it is reached. Leaving ends every process by its pid.
"""

import asyncio
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import asyncpg

from sandbox.remote import Remote
from service.ops.child import wait_until
from service.ops.installation import Installation, eo, python
from service.ops.kinds import KINDS
from service.ops.supervisor import is_warning
from tests import forks
from tests.cluster import BORN, give_data
from tests.described import Received, check

__all__ = ["ORDER", "PLACED", "SHORT_LEASES", "Answer", "Fleet", "NewFleet", "fleets", "http", "python"]

ORDER: dict[str, Any] = {"amount": 1999, "currency": "usd", "payment_method": "pm_card_visa"}
# Leases of seconds: what was lost comes due again while a test can still wait for it.
SHORT_LEASES = {
    "EO_STRIPE_CONNECT_TIMEOUT_S": "1",
    "EO_STRIPE_TIMEOUT_S": "2",
    "EO_CHARGE_LEASE_S": "4",
    "EO_OUTBOX_LEASE_S": "6",
    "EO_RETRY_BASE_S": "0.2",
    "EO_RETRY_MAX_S": "2",
}
PLACED = 10  # orders where no number is said
CALL_S = 40.0  # above the longest `Prefer: wait`
SQL_S = 30.0
LOG_LINES = 8
ROOT = Path(__file__).parents[2]
# How a connection that was kept says that its server was stopped, killed or exchanged.
GONE = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status, the headers in lower case, the body as JSON (or None)."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Fleet(Installation):
    """An installation that is asked, and waited for. `environ` is added to what every part is told."""

    http_part, loop_part = forks.Http, forks.Loop

    def __init__(self, folder: Path, **environ: str) -> None:
        self.api_key, secret = "eo_test_" + "0" * 24, "of-the-control-api-in-tests"
        told = {"STRIPE_API_KEY": "sk_test_" + "0" * 24, "EO_API_KEY": self.api_key, "EO_SANDBOX_SECRET": secret}
        # PYTHONPATH: a test's own program may stand in for a part.
        super().__init__(folder, {"PYTHONPATH": str(ROOT), **told, **environ})
        self.redis = self.embed_redis()
        self.stripe = self.embed_sandbox("--fee-delay-s", "0.2")
        self.postgres = self.embed_postgres(shared_buffers="64MB", max_wal_size="512MB")
        self._remote = Remote(self.stripe, secret)
        self._runner = asyncio.Runner()
        self._connection: asyncpg.Connection | None = None

    # --- processes

    def __enter__(self) -> Self:
        try:
            give_data(self.postgres)
            self.bring_up("redis", "sandbox", "postgres")
            self.rows(BORN)
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """End everything, and show what was logged as a warning (pytest prints it of a failed test)."""
        if self._connection:
            self._connection.terminate()
        self._runner.close()
        super().end()
        print(self.warnings(ended=False))

    def start_all(self, **counts: int) -> Self:
        """Start one of each kind, or as many as `counts` says, all together."""
        names = [name for kind in KINDS for name in self.numbered(kind, counts.get(kind, 1))]
        for name in names:
            self.add(name)
        self.bring_up(*names)
        return self

    def stop(self, name: str, *, within_s: float = 10.0) -> int | None:
        """SIGTERM (PostgreSQL: its fast shutdown); returns the exit status. Fails where it does not end in time."""
        part = self.parts[name]
        self.send(name, part.stop_signal)
        self.until(lambda: not part.is_running, within_s=within_s, what=f"{name} has stopped")
        return part.exit_status

    # --- asking

    def url(self, name: str = "api-1") -> str:
        """Address of an API process."""
        return super().url(name)

    def get(self, path: str, *, api: str = "api-1", api_key: str | None = None) -> Answer:
        """GET from an API process."""
        return _described("GET", self.url(api), path, {"Authorization": f"Bearer {api_key or self.api_key}"})

    def post(
        self, path: str, body: object, *, key: str, api: str = "api-1", api_key: str | None = None, **headers: str
    ) -> Answer:
        """POST with an Idempotency-Key; more headers with `_` for `-`, say prefer="wait=10"."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        told = {"Authorization": f"Bearer {api_key or self.api_key}", "Idempotency-Key": key, **more}
        return _described("POST", self.url(api), path, told, body)

    def order(self, order_id: str, **options: str) -> dict[str, Any]:
        """The order as the API shows it now."""
        answer = self.get(f"/v1/orders/{order_id}", **options)
        assert answer.status == 200, answer
        return dict(answer.body)

    def place(self, prefix: str, count: int = PLACED, *, api: str = "api-1") -> list[str]:
        """Place orders, each of which is accepted; their ids."""
        answers = [self.post("/v1/orders", ORDER, key=f"{prefix}-{n}", api=api) for n in range(count)]
        assert [answer.status for answer in answers] == [201] * count
        return [str(answer.body["id"]) for answer in answers]

    def all_paid_once(self, placed: Sequence[str], *, within_s: float, api: str = "api-1") -> None:
        """Wait until these orders are paid; each was charged once."""
        for order_id in placed:
            self.until(partial(self.is_paid, order_id, api=api), within_s=within_s, every_s=0.1, what="all are paid")
        assert [self.truth(order=order_id)["charges"] for order_id in placed] == [1] * len(placed)

    def is_paid(self, order_id: str, *, api: str = "api-1") -> bool:
        """Whether the API says so."""
        return bool(self.order(order_id, api=api)["status"] == "paid")

    def control(self, method: str, path: str, body: object = None) -> Any:
        """The sandbox's control API (sandbox/control.py): faults, clock, latency, complete_action, …"""
        return self._remote.call(method, path, body)

    def truth(self, *, order: str = "", per_order: bool = False) -> Any:
        """What was really charged: one order's, every order's, or the totals."""
        return self._remote.truth(order=order, per_order=per_order)

    def eo(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run an `eo` command to its end."""
        return forks.run(eo(*words), env={**self.environ, **environ}, cwd=self.folder)

    def rows(self, statement: str, *values: object) -> list[Any]:
        """Rows of a statement, as the database's superuser. A condition may ask often: the connection is kept."""
        return self._runner.run(self._rows(statement, values))

    # --- waiting

    def until(
        self,
        condition: Callable[[], bool],
        *,
        within_s: float,
        every_s: float = 0.02,
        what: str = "the condition holds",
    ) -> float:
        """Wait until `condition` holds; returns how long that took. Fails with what the parts said."""
        began = time.monotonic()
        if not wait_until(condition, within_s=within_s, pause=lambda _: time.sleep(every_s)):
            raise AssertionError(f"not within {within_s:.0f} s: {what}\n{self.warnings()}")
        return time.monotonic() - began

    def settle(self, *, within_s: float) -> float:
        """Wait until the outbox is empty: every promise is on the books. Parked rows count as not settled."""
        return self.until(lambda: self.outbox() == 0, within_s=within_s, every_s=0.1, what="the outbox is empty")

    def outbox(self) -> int:
        """How many promises are open."""
        count: int = self.rows("SELECT count(*) FROM outbox")[0][0]
        return count

    def warnings(self, *, ended: bool = True) -> str:
        """The last lines of every log that warn, and (unless the fleet itself has `ended` them) how parts ended."""
        said = []
        for name, part in self.parts.items():
            lines = part.log.read_text(errors="replace").splitlines() if part.log.exists() else []
            said += [f"{name}: {line}" for line in lines if is_warning(line)][-LOG_LINES:]
            if ended and not part.is_running:
                said.append(f"{name}: {part.exit_reason()}")
        return "\n".join(said)

    # --- below

    async def _rows(self, statement: str, values: Sequence[object]) -> list[Any]:
        if self._connection:
            with suppress(*GONE):
                return list(await self._connection.fetch(statement, *values, timeout=SQL_S))
            self._connection.terminate()
            self._connection = None
        self._connection = await asyncpg.connect(self.postgres.url, timeout=SQL_S, statement_cache_size=0)
        return list(await self._connection.fetch(statement, *values, timeout=SQL_S))


NewFleet = Callable[..., Fleet]


@contextmanager
def fleets(parent: Path, **usual: str) -> Iterator[NewFleet]:
    """Makes fleets of PostgreSQL, Redis and a sandbox, with no process of ours yet; they end together."""
    with ExitStack() as stack:
        yield lambda **environ: stack.enter_context(Fleet(parent / f"fleet-{next(_numbers)}", **{**usual, **environ}))


def _described(method: str, url: str, path: str, headers: Mapping[str, str], body: object = None) -> Answer:
    """A request to the API, whose answer is held against its own description."""
    answer = http(method, url + path, headers, body)
    data = b"" if answer.body is None else json.dumps(answer.body).encode()
    check(Received(method, urlsplit(path).path, answer.status, answer.headers, data))
    return answer


def http(method: str, url: str, headers: Mapping[str, str], body: object = None) -> Answer:
    """One request on a connection of its own, as curl does it. `body` is sent as JSON, text (a form) as it is.

    Raises OSError where nobody answers.
    """
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=CALL_S)
    data = None if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    told = {"Content-Type": "application/json", **headers} if data is not None else dict(headers)
    try:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), data, told)
        answer = connection.getresponse()
        text = answer.read()
        found = {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()
    return Answer(answer.status, found, json.loads(text) if text else None)
