"""A connection before its requests are authenticated: each stage of it is bounded in time, bytes or number.

uvicorn bounds none of these stages. It also drops the body of a request that offers an upgrade (`Upgrade: h2c`, which
Java's client sends with its first request). RFC 9110, 7.8 lets a server ignore the offer, so such a request is read as
HTTP/1.1.

A connection is in one stage at a time. One sweep per second ends the stages that last too long, so that a request
costs only a few assignments.
"""

import asyncio
import resource
from collections.abc import Iterable
from typing import ClassVar, cast

import httptools
import uuid_utils
from litestar.types import Message, Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.foundation import log
from service.foundation.events import Event
from service.web.batch import BATCH_BODY_MAX
from service.web.body import encode
from service.web.problem_types import ProblemBody

HEAD_S = 10.0  # from the first byte, or the connection, to the end of the headers: a proxy sends them in one packet
BODY_S = 30.0  # from the end of the headers to the end of the body: 2 MiB at 70 KB a second
IDLE_S = 75  # between two requests: longer than proxies keep a connection (nginx: 60 s), so that they close it
SEND_S = 30.0  # a client that takes nothing of its answer for so long gets no more of it
LINGER_S = 2.0  # after a refusal, so that the client reads it before its own sending fails

HEAD_MAX = 32 * 1024  # bytes of request line and headers: what nginx takes at most by default
HEADERS_MAX = 200
MESSAGE_MAX = 2 * BATCH_BODY_MAX  # bytes of a whole request, with what chunks cost; the API bounds its own bodies
CONNECTIONS_MAX = 4_000  # a stage of 10 s each; 3 KB of memory each
FILES_KEPT = 200  # descriptors left for PostgreSQL, Redis, logs

# On every answer. The second is for answers that do not name another one, as the files of /docs do.
_NOSNIFF = (b"x-content-type-options", b"nosniff")
_NO_STORE = (b"cache-control", b"no-store")

_OFFERS = (b"upgrade", b"http2-settings")
_REFUSALS = {
    400: ("bad-request", "This is not HTTP/1.1."),
    405: ("method-not-allowed", "This is no proxy: CONNECT leads nowhere. See the Allow header."),
    408: ("request-timeout", "The request took too long to arrive. Send it again."),
    413: ("content-too-large", "The body is too large: 64 KiB; 2 MiB for a batch, 512 KiB for an event."),
    431: ("headers-too-large", "The headers are too large: 32 KiB, 200 of them."),
    503: ("unavailable", "Too many connections. Try again; for an order, with the same key."),
}
_MORE_HEADERS = {405: (b"allow", b"GET, HEAD, OPTIONS, POST"), 503: (b"retry-after", b"1")}


async def protect(message: Message, scope: Scope) -> None:  # noqa: ARG001  the signature is the framework's
    """A `before_send` hook: forbids to guess the type of an answer, and to store it where it says nothing of that."""
    if message["type"] == "http.response.start":
        headers = list(message["headers"])
        headers.append(_NOSNIFF)
        if all(name.lower() != b"cache-control" for name, _value in headers):
            headers.append(_NO_STORE)
        message["headers"] = headers


# What a connection waits for. Numbers are cheaper than an enumeration, and each request passes four stages.
HEAD = 1  # the rest of a request's headers, or a first request
BODY = 2
ANSWER = 3  # our answer; the handlers have deadlines of their own
IDLE = 4  # the next request
CLOSING = 5  # the end, after a refusal; what still arrives is thrown away

_WITHOUT_REQUEST = (HEAD, IDLE, CLOSING)
_BOUND_S = {HEAD: HEAD_S, BODY: BODY_S, IDLE: IDLE_S, CLOSING: LINGER_S}


class _Refused(Exception):
    """The connection is refused. The parser, which calls this code, stops at it."""


class Front(HttpToolsProtocol):
    """uvicorn's HTTP protocol, with bounds."""

    connections_max: ClassVar[int] = CONNECTIONS_MAX
    _waiting: ClassVar[dict["Front", None]] = {}  # connections without a request, the longest wait first

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin. Where there are too many connections, the one that has waited longest without a request is closed."""
        super().connection_made(cast("asyncio.Transport", transport))
        self.parser = self._parser()
        self._received = 0  # bytes of the present message
        self._had_request = False
        self._stuck_since: float | None = None
        self._enter(HEAD)
        if len(self.connections) > self.connections_max:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget this connection, which is gone."""
        self._waiting.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count these bytes, then parse them."""
        if self._stage == CLOSING:
            return
        self._received += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as stopped:
            self._without_offers(data[stopped.args[0] :])
        except httptools.HttpParserError:
            self._refuse(400)
        if self._stage == HEAD and self._received > HEAD_MAX:
            self._refuse(431)
        elif self._stage == BODY and self._received > MESSAGE_MAX:
            self._refuse(413)

    def on_message_begin(self) -> None:
        """A request begins with its first byte."""
        super().on_message_begin()
        self._enter(HEAD)

    def on_headers_complete(self) -> None:
        """The headers are complete, so the handler begins."""
        if self.parser.should_upgrade():
            if (
                self.parser.get_method() == b"CONNECT"
            ):  # which the parser takes for an upgrade, whatever its headers say
                self._refuse(405)
                raise _Refused
            return
        if len(self.headers) > HEADERS_MAX or (self._received > HEAD_MAX and self._head_bytes() > HEAD_MAX):
            self._refuse(431)
            raise _Refused
        super().on_headers_complete()  # which may find that the address is none
        self._enter(BODY)
        self._had_request = True
        self.headers = []  # a trailer, which follows the body, must not become a header

    def on_message_complete(self) -> None:
        """The body is complete."""
        if self._stage != BODY:
            return
        super().on_message_complete()
        self._received = 0
        self._enter(IDLE if self.cycle.response_complete else ANSWER)

    def on_response_complete(self) -> None:
        """The answer is sent. Where it was sent before the body had arrived, the body is still awaited.

        This is uvicorn's own method without the timer of an idle connection, which costs more than all bounds here
        together; the sweep closes idle connections instead.
        """
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._stage == ANSWER:
            self._enter(IDLE)

    def pause_writing(self) -> None:
        """The client does not read its answer."""
        self._stuck_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """The client reads its answer again."""
        self._stuck_since = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  our refusals have their own words
        """Refuse what uvicorn cannot parse."""
        self._refuse(400)

    def bound(self, now: float) -> None:
        """End a stage that lasts too long."""
        if self._stuck_since is not None and now - self._stuck_since > SEND_S:
            self.transport.abort()
        elif (bound_s := _BOUND_S.get(self._stage)) is None or now - self._since <= bound_s:
            return
        elif self._stage == CLOSING:
            self.transport.abort()
        elif self._stage == IDLE or not self._received:
            self.transport.close()
        elif not self.flow.read_paused:  # else this process does not read
            self._refuse(408)

    def _enter(self, stage: int) -> None:
        self._stage = stage
        self._since = self.loop.time()
        if stage != ANSWER:
            self._waiting.pop(self, None)
        if stage in _WITHOUT_REQUEST:
            self._waiting[self] = None

    def _parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        # As uvicorn sets it: a second request behind `Connection: close` is no error of the first.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def _without_offers(self, rest: bytes) -> None:
        """The parser stopped for an upgrade that nobody takes: go on with the same request, which offers none. Each
        request of a packet may offer one.
        """
        offered = True
        while offered and self._stage != CLOSING:
            head, offered = self._plain_head(), False
            self.parser = self._parser()
            try:
                self.parser.feed_data(head)
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as stopped:
                rest, offered = rest[stopped.args[0] :], True
            except httptools.HttpParserError:
                self._refuse(400)

    def _plain_head(self) -> bytes:
        """The head as the client would have written it without its offer."""
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        for name, value in self.headers:
            if name == b"connection":
                kept = [word for word in value.split(b",") if word.strip().lower() not in _OFFERS]
                lines += [name + b": " + b",".join(kept)] if kept else []
            elif name not in _OFFERS:
                lines.append(name + b": " + value)
        return b"\r\n".join([*lines, b"", b""])

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _refuse(self, status: int) -> None:
        """Answer and close. Where an earlier request still waits for its answer, this one is not its: that request is
        here whole (what follows it may be the body of a POST without a length), so it has the time of a refusal.
        """
        if self._stage == CLOSING:
            return
        owes_answer = self._owes_answer()
        is_its_own = self._is_only_request() if self._stage == BODY else not owes_answer
        if is_its_own and not self.transport.is_closing():
            self.transport.write(_answer(status, self.server_state.default_headers))
        if owes_answer:
            self.cycle.keep_alive = False
            if self._stage == BODY:  # its handler is told that the client is gone
                self.cycle.disconnected = True
                self.cycle.message_event.set()
        self._enter(CLOSING)
        self.flow.resume_reading()

    def _owes_answer(self) -> bool:
        return self._had_request and not self.cycle.response_complete

    def _is_only_request(self) -> bool:
        return self._owes_answer() and not self.cycle.response_started and not self.pipeline

    def _make_room(self) -> None:
        """Close the connection that has waited longest without a request; refuse this one where it is that one."""
        longest = next(iter(self._waiting))
        if longest is self:
            self._refuse(503)
        else:
            longest.transport.abort()


def sweep(connections: Iterable[object], now: float) -> None:
    """End the stages of all connections that last too long; `now` is on the event loop's clock."""
    for connection in list(connections):
        if isinstance(connection, Front):
            connection.bound(now)


def _answer(status: int, default_headers: list[tuple[bytes, bytes]]) -> bytes:
    code, detail = _REFUSALS[status]
    request_id = f"req_{uuid_utils.uuid7().hex}"
    log.event(Event.REQUEST_REFUSED, status=status, request_id=request_id)
    body = encode(ProblemBody.of(code, detail, request_id))
    headers = [
        *default_headers, _NOSNIFF, _NO_STORE, (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(body)), (b"connection", b"close"), (b"x-request-id", request_id.encode()),
    ]  # fmt: skip
    if status in _MORE_HEADERS:
        headers.append(_MORE_HEADERS[status])
    return STATUS_LINE[status] + b"".join(name + b": " + value + b"\r\n" for name, value in headers) + b"\r\n" + body


def connections_possible() -> int:
    """The number of connections that this process has descriptors for. It may raise the soft limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_MAX + FILES_KEPT
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return max(soft - FILES_KEPT, FILES_KEPT)
    return CONNECTIONS_MAX
