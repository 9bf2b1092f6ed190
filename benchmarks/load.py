"""The load generator: keep-alive HTTP on uvloop with prepared bytes, in a process of its own.

`python -m benchmarks.load` reads one `Load` as a line of JSON on stdin and answers with one `Outcome` on stdout.
Closed loop: each connection sends when it was answered. Open loop (`rate`): requests are due by the clock whether or
not others were answered, and latency counts from when one was due, so that a stall is not hidden. Granted: requests
are sent as lines `N` on stdin allow them, and lines `{"answered": n}` tell how far it is.
"""

import asyncio
import json
import os
import sys
import time
from collections import deque
from typing import Any

import msgspec
import uvloop

BODY = '{"amount":1999,"currency":"usd","payment_method":"pm_card_visa","metadata":{"cart":"17"}}'
END_S = 10.0  # seconds to wait for the last answers after the load
_TICK_S = 0.001
_TELL_S = 0.05
_SCRAMBLE, _MASK = 0x9E3779B97F4A7C15, 2**64 - 1


class Load(msgspec.Struct, kw_only=True):
    """What to send."""

    port: int
    api_key: str
    prefix: str  # of the idempotency keys: another prefix, other orders
    path: str = "/v1/orders"
    body: str = BODY
    of: list[str] = []  # one request for each of these names, which stands in `path` as `{}`
    connections: int = 64
    seconds: float = 3.0
    warm_s: float = 0.5  # not counted
    rate: float = 0.0  # per second; 0: closed loop
    count: int = 0  # end after so many; 0: by time
    granted: bool = False
    record: bool = False  # answer with the wall-clock time at which each request was due


class Outcome(msgspec.Struct, kw_only=True):
    """What came back; the warm-up is left out."""

    answered: int
    failed: int
    seconds: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    cpu_s: float
    first_failure: str = ""
    due: list[float] = []

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.answered / self.seconds if self.seconds else 0.0


def key(prefix: str, number: int) -> str:
    """A key that falls anywhere in an index, as producers' keys do; the same for the same number."""
    return f"k{number * _SCRAMBLE & _MASK:016x}-{prefix}"  # a letter first: 16 digits could be a card number


class Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, run: "Run") -> None:
        self._run = run
        self._got = b""
        self._due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport: Any = transport
        self._run.idle.append(self)

    def send(self, request: bytes, due: float) -> None:
        """Send one request that was due at `due`."""
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Count an answer when its last byte has arrived; most arrive in one piece."""
        self._got = self._got + data if self._got else data
        end = self._got.find(b"\r\n\r\n")
        if end < 0 or len(self._got) < end + 4 + _content_length(self._got[:end]):
            return
        answer, self._got = self._got, b""
        self._run.answered(self, answer, self._due)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the open request as failed where the server closes the connection."""
        self._run.lost(self, repr(exc))


class Run:
    """One load, from the first byte to its outcome."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.idle: list[Connection] = []
        self._ready: deque[float] = deque()
        self._sent = self._answered = self._failed = 0
        self._open = 0
        self._first_failure = ""
        self._latencies: list[float] = []
        self._due: list[float] = []
        self._counting_from = self._until = 0.0
        self._before, _, after = f"POST {load.path}".partition("{}") if load.of else ("", "", f"POST {load.path}")
        head = f"{after} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {load.api_key}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(load.body)}\r\nIdempotency-Key: "
        self._head, self._tail = head.encode(), f"\r\n\r\n{load.body}".encode()

    async def run(self) -> Outcome:
        """Connect, send, wait for what is out, count."""
        load, loop = self.load, asyncio.get_running_loop()
        for _ in range(load.connections):
            await loop.create_connection(lambda: Connection(self), "127.0.0.1", load.port)
        began = time.perf_counter()
        self._counting_from, self._until = began + load.warm_s, began + load.warm_s + load.seconds
        cpu = sum(os.times()[:2])
        await self._send_all()
        while self._open and time.perf_counter() < self._until + END_S:  # noqa: ASYNC110  the clock ends it
            await asyncio.sleep(_TICK_S)
        return self._outcome(sum(os.times()[:2]) - cpu)

    async def _send_all(self) -> None:
        if self.load.granted:
            await self._granted()
        elif self.load.rate:
            await self._by_the_clock()
        else:
            self._ready.extend([time.perf_counter()] * self.load.connections)
            self.pump()
            while time.perf_counter() < self._until and not self._is_enough:  # noqa: ASYNC110  as above
                await asyncio.sleep(0.01)

    async def _by_the_clock(self) -> None:
        load, began, sent = self.load, time.perf_counter(), 0
        while (now := time.perf_counter()) < self._until and not self._is_enough:
            owed = 1 + int((now - began) * load.rate) - sent  # the first is due at once
            for _ in range(owed):
                self._ready.append(began + sent / load.rate)
                sent += 1
            self.pump()
            await asyncio.sleep(_TICK_S)

    async def _granted(self) -> None:
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        telling = asyncio.create_task(self._tell())
        while (line := (await reader.readline()).strip()) and line != b"0":
            self._ready.extend([time.perf_counter()] * int(line))
            self.pump()
        telling.cancel()
        self._ready.clear()
        self._until = time.perf_counter()

    async def _tell(self) -> None:
        while True:
            print(json.dumps({"answered": self._answered}), flush=True)
            await asyncio.sleep(_TELL_S)

    @property
    def _is_enough(self) -> bool:
        return 0 < (self.load.count or len(self.load.of)) <= self._sent

    def _head_of(self, number: int) -> bytes:
        of = self.load.of
        return f"{self._before}{of[number]}".encode() + self._head if of else self._head

    def pump(self) -> None:
        """Send what is due on the connections that are free."""
        while self._ready and self.idle and not self._is_enough:
            self._open += 1
            due = self._ready.popleft()
            if self.load.record:
                self._due.append(time.time() - (time.perf_counter() - due))
            self.idle.pop().send(
                self._head_of(self._sent) + key(self.load.prefix, self._sent).encode() + self._tail, due
            )
            self._sent += 1

    def answered(self, connection: Connection, answer: bytes, due: float) -> None:
        """Count an answer that is complete, and free its connection."""
        now = time.perf_counter()
        self._open -= 1
        self.idle.append(connection)
        self._count(answer[9:12] in (b"200", b"201", b"202"), answer, now, due)
        if not self.load.granted and not self.load.rate and now < self._until:
            self._ready.append(now)
        if self._ready:
            self.pump()

    def lost(self, connection: Connection, why: str) -> None:
        """Note that a connection has ended, as all do at the end of the run."""
        if connection in self.idle:
            self.idle.remove(connection)
        elif self._open:
            self._open -= 1
            self._failed += 1
            self._first_failure = self._first_failure or why

    def _count(self, is_ok: bool, answer: bytes, now: float, due: float) -> None:
        if not is_ok:
            self._failed += 1
            self._first_failure = self._first_failure or answer[:400].decode(errors="replace")
        elif self.load.granted or self.load.count or self._counting_from <= now < self._until:
            self._answered += 1
            self._latencies.append(now - due)

    def _outcome(self, cpu_s: float) -> Outcome:
        found = sorted(self._latencies) or [0.0]
        at = {q: round(found[min(len(found) - 1, int(len(found) * q))] * 1000, 3) for q in (0.5, 0.9, 0.99)}
        return Outcome(
            answered=self._answered,
            failed=self._failed,
            seconds=self.load.seconds,
            p50_ms=at[0.5],
            p90_ms=at[0.9],
            p99_ms=at[0.99],
            max_ms=round(found[-1] * 1000, 3),
            cpu_s=cpu_s,
            first_failure=self._first_failure,
            due=self._due,
        )


def _content_length(head: bytes) -> int:
    at = head.lower().find(b"content-length:")
    return int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


def main() -> None:
    """Read a Load, answer with its Outcome."""
    with open(0, "rb", buffering=0, closefd=False) as stdin:
        load = msgspec.json.decode(stdin.readline(), type=Load)
    print(msgspec.json.encode(uvloop.run(Run(load).run())).decode(), flush=True)


if __name__ == "__main__":
    main()
