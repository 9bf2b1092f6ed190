"""Before anybody is authenticated, a connection is bounded; and an offer to upgrade loses nobody's order."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.web import front
from tests.web.conftest import ORDER, Api, assert_problem, count

BODY = json.dumps(ORDER).encode()
LATER_S = 10 * front.BODY_S


class Raw:
    """A socket, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, api: Api) -> None:
        self._reader, self._writer, self._api = reader, writer, api

    async def send(self, *parts: bytes) -> None:
        for part in parts:
            self._writer.write(part)
            await self._writer.drain()

    async def until(self, end: bytes) -> bytes:
        return await asyncio.wait_for(self._reader.readuntil(end), 20)

    async def rest(self) -> bytes:
        """What comes until the server closes."""
        try:
            return await asyncio.wait_for(self._reader.read(), 20)
        except ConnectionResetError:
            return b""

    async def answer(self) -> httpx.Response:
        """One whole answer."""
        head = await self.until(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines if line)
        body = await asyncio.wait_for(self._reader.readexactly(int(headers.get("content-length", 0))), 20)
        return httpx.Response(int(status.split()[1]), headers=headers, content=body)


@asynccontextmanager
async def connected(api: Api) -> AsyncIterator[Raw]:
    url = api.http.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        yield Raw(reader, writer, api)
    finally:
        writer.close()


def order(api: Api, key: str, *lines: str, length: int = len(BODY)) -> bytes:
    """The head of POST /v1/orders."""
    head = [
        "POST /v1/orders HTTP/1.1", "Host: eo", f"Authorization: {api.http.headers['authorization']}",
        f"Idempotency-Key: {key}", "Content-Type: application/json", f"Content-Length: {length}", *lines,
    ]  # fmt: skip
    return "\r\n".join([*head, "", ""]).encode()


def chunked(head: bytes) -> bytes:
    """The same head for a body in chunks."""
    return head.replace(b"Content-Length: %d" % len(BODY), b"Transfer-Encoding: chunked")


def stages(api: Api) -> list[int]:
    """What each connection is waiting for."""
    return [c._stage for c in api.server.server_state.connections if isinstance(c, front.Front)]


async def is_at(api: Api, stage: int) -> None:
    while stage not in stages(api):
        await asyncio.sleep(0.005)


async def has(api: Api, connections: int) -> None:
    while len(api.server.server_state.connections) != connections:
        await asyncio.sleep(0.005)


def later(api: Api, seconds: float = LATER_S) -> None:
    """The sweep of that many seconds from now."""
    front.sweep(api.server.server_state.connections, asyncio.get_running_loop().time() + seconds)


OFFERS = {
    "as Java's HttpClient": ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAAB"],
    "websocket": ["Connection: keep-alive, Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"],
    "several, in two lines": ["Connection: upgrade", "Upgrade: TLS/1.3, h2c", "Connection: h2c", "upgrade: x"],
    "chunked": ["Connection: Upgrade", "Upgrade: h2c"],
}  # fmt: skip


@pytest.mark.parametrize("offer", OFFERS)
async def test_an_offer_to_upgrade_is_ignored_and_the_body_is_kept(api: Api, engine: AsyncEngine, offer: str) -> None:
    for size in (1, 40, 10_000):  # byte by byte, in pieces, at once
        sent = order(api, f"k{size}", *OFFERS[offer]) + BODY
        if offer == "chunked":
            sent = chunked(order(api, f"k{size}", *OFFERS[offer])) + b"".join(
                b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:7], BODY[7:], b"")
            )
        async with connected(api) as raw:
            await raw.send(*[sent[i : i + size] for i in range(0, len(sent), size)])
            assert (await raw.answer()).status_code == 201
            await raw.send(order(api, f"l{size}") + BODY)  # the connection goes on as HTTP/1.1
            assert (await raw.answer()).status_code == 201
    assert await count(engine, "orders") == 6


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_places_an_order_when_it_offers_http2_and_waits_for_100_continue(api: Api, tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    body.write_text(json.dumps(ORDER | {"description": "x" * 900}))
    url = f"{api.http.base_url}/v1/orders"
    headers = [
        f"Authorization: {api.http.headers['authorization']}",
        "Idempotency-Key: k",
        "Content-Type: application/json",
    ]
    words = [word for header in headers for word in ("-H", header)]
    curl = await asyncio.create_subprocess_exec(
        "curl", "-sS", "--max-time", "20", "-w", "%{http_code}", "-o", str(tmp_path / "answer.json"),
        "--http2", "-H", "Expect: 100-continue", *words, "--data-binary", f"@{body}", url,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await curl.communicate()
    assert said == b"201", (tmp_path / "answer.json").read_text()


async def test_a_client_that_waits_for_100_continue_is_told_to_go_on(api: Api) -> None:
    async with connected(api) as raw:
        await raw.send(order(api, "k", "Expect: 100-continue"))
        assert await raw.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await raw.send(BODY)
        assert (await raw.answer()).status_code == 201


HEADS = {
    "nothing": b"",
    "a blank line": b"\r\n",
    "half a request line": b"POST /v1/ord",
    "headers without an end": b"GET / HTTP/1.1\r\nHost: eo\r\n",
    "half a header": b"GET / HTTP/1.1\r\nHo",
}


async def test_headers_that_are_never_finished_end_the_connection(api: Api) -> None:
    for head in HEADS.values():
        async with connected(api) as raw:
            await raw.send(head)
            await has(api, 1)
            (connection,) = api.server.server_state.connections
            assert isinstance(connection, front.Front)
            while connection._received < len(head):
                await asyncio.sleep(0.005)
            later(api, front.HEAD_S - 1)
            assert not connection.transport.is_closing()
            later(api, front.HEAD_S + 1)
            if head:
                assert_problem(await raw.answer(), 408, "request-timeout")
            later(api)
            assert await raw.rest() == b""
        await has(api, 0)


async def test_a_body_that_never_ends_is_given_up_and_nothing_is_stored(api: Api, engine: AsyncEngine) -> None:
    async with connected(api) as raw:
        await raw.send(order(api, "k"), BODY[:10])
        await is_at(api, front.BODY)
        later(api, front.BODY_S - 1)
        later(api, front.BODY_S + 1)
        assert_problem(await raw.answer(), 408, "request-timeout")
        later(api)
        assert await raw.rest() == b""
    assert await count(engine, "orders") == 0


FLOODS = {
    "one endless value": b"GET / HTTP/1.1\r\nX-A: " + b"a" * 100_000,
    "300 headers": b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: a\r\n" % i for i in range(300)) + b"\r\n",
    "50,000 headers": b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 50_000 + b"\r\n",
    "headers of 40 KB in one piece": b"GET / HTTP/1.1\r\nX-A: " + b"a" * 40_000 + b"\r\n\r\n",
    "an endless request line": b"GET /" + b"a" * 100_000,
    "all of it behind an offer": b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n"
    + b"X: b\r\n" * 300
    + b"\r\n",
}


async def test_headers_that_grow_without_end_are_refused(api: Api) -> None:
    for flood in FLOODS.values():
        async with connected(api) as raw:
            await raw.send(flood)
            assert_problem(await raw.answer(), 431, "headers-too-large")


async def test_headers_and_trailers_of_sixty_megabytes_are_not_taken(api: Api) -> None:
    for start in (b"GET / HTTP/1.1\r\nX-A: ", chunked(order(api, "k")) + b"0\r\nX-A: "):
        taken = 0
        async with connected(api) as raw:
            try:
                await raw.send(start)
                for _ in range(60):
                    await raw.send(b"a" * 1_000_000)
                    taken += 1
                    later(api, 3)
            except ConnectionError:
                pass
        assert taken < 60
        await has(api, 0)


async def test_when_all_places_are_taken_the_longest_without_a_request_gives_way(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front.Front, "connections_max", 2)
    async with connected(api) as slow, connected(api) as idle:
        await slow.send(b"GET / HTTP/1.1\r\n")
        await idle.send(b"GET /health/live HTTP/1.1\r\nHost: eo\r\n\r\n")
        assert (await idle.answer()).status_code == 200
        async with connected(api) as fresh:
            await fresh.send(b"GET /health/live HTTP/1.1\r\nHost: eo\r\n\r\n")
            assert (await fresh.answer()).status_code == 200
        assert await slow.rest() == b""
        await idle.send(b"GET /health/live HTTP/1.1\r\nHost: eo\r\n\r\n")
        assert (await idle.answer()).status_code == 200


async def test_where_every_place_has_a_request_the_newcomer_is_told_to_come_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front.Front, "connections_max", 1)
    async with connected(api) as busy:
        await busy.send(order(api, "k", "Prefer: wait=20") + BODY)
        await is_at(api, front.ANSWER)
        async with connected(api) as fresh:
            answer = await fresh.answer()
        assert_problem(answer, 503, "unavailable")
        assert answer.headers["retry-after"] == "1"
        later(api)  # who waits for our answer is not too slow
        await has(api, 2)


async def test_garbage_behind_a_request_is_not_answered_in_its_place(api: Api, engine: AsyncEngine) -> None:
    async with connected(api) as raw:
        await raw.send(order(api, "k", "Prefer: wait=20") + BODY)
        while await count(engine, "orders") == 0:
            await asyncio.sleep(0.005)
        await raw.send(b"\x00garbage\r\n\r\n")
        await asyncio.sleep(0.05)
        later(api)
        assert await raw.rest() == b""


BESIDE: dict[str, tuple[bytes, int, str]] = {
    "CONNECT to a host": (b"CONNECT eo:443 HTTP/1.1\r\nHost: eo:443\r\n\r\n", 405, "method-not-allowed"),
    "CONNECT to a path": (b"CONNECT /v1/orders HTTP/1.1\r\nHost: eo\r\n\r\n\x16\x03\x01", 405, "method-not-allowed"),
    "an address that is none": (b"GET http:///v1/orders HTTP/1.1\r\nHost: eo\r\n\r\n", 400, "bad-request"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad-request"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "bad-request"),
}


@pytest.mark.parametrize("name", BESIDE)
async def test_what_is_no_request_for_us_is_answered_in_the_usual_shape_and_ends(api: Api, name: str) -> None:
    sent, status, code = BESIDE[name]
    async with connected(api) as raw:
        await raw.send(sent)
        answer = await raw.answer()
        later(api)
        assert await raw.rest() == b""
    assert_problem(answer, status, code)
    assert (answer.headers["connection"], "allow" in answer.headers) == ("close", status == 405)


async def test_a_packet_full_of_offers_to_upgrade_is_read_to_its_end(api: Api) -> None:
    request = b"GET /health/live HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
    times = 1_200  # more than calls can be nested
    async with connected(api) as raw:
        await raw.send(request * times)
        for _ in range(times):
            assert (await raw.answer()).status_code == 200


@pytest.mark.parametrize("line", ["", "Connection: close"])
async def test_a_post_without_a_length_is_answered_and_its_body_is_not(
    api: Api, engine: AsyncEngine, line: str
) -> None:
    head = order(api, "k", *[line][: bool(line)]).replace(b"Content-Length: %d\r\n" % len(BODY), b"")
    async with connected(api) as raw:
        await raw.send(head + BODY)
        answer = await raw.answer()
        assert_problem(answer, 400, "body-not-json")
        assert "Content-Length" in answer.json()["detail"]
        assert await raw.rest() == b""
    assert await count(engine, "orders") == 0


async def test_a_trailer_is_no_header(api: Api) -> None:
    head = chunked(order(api, "k")).replace(b"Idempotency-Key: k\r\n", b"")
    async with connected(api) as raw:
        await raw.send(head + b"%x\r\n" % len(BODY) + BODY + b"\r\n0\r\nIdempotency-Key: k\r\n\r\n")
        assert_problem(await raw.answer(), 400)


ANSWERS = {
    "200": ("GET", "/health/live"), "order": ("GET", "/v1/orders"), "307": ("GET", "/"), "401": ("GET", "/v1/orders"),
    "404": ("GET", "/nothing"), "405": ("DELETE", "/v1/orders"), "413": ("POST", "/v1/orders"),
    "docs": ("GET", "/docs"), "openapi": ("GET", "/openapi.json"), "OPTIONS": ("OPTIONS", "/v1/orders"),
}  # fmt: skip


async def test_no_answer_is_guessed_at_or_kept(api: Api) -> None:
    for name, (method, path) in ANSWERS.items():
        headers = {"Content-Type": "application/json", "Idempotency-Key": "k"}
        if name == "401":
            headers["Authorization"] = "Bearer wrong"
        content = b"x" * 70_000 if name == "413" else None
        answer = await api.http.request(method, path, content=content, headers=headers)
        if name.isdigit():
            assert answer.status_code == int(name)
        assert answer.headers["x-content-type-options"] == "nosniff", name
        assert answer.headers["cache-control"] == "no-store", name


async def test_errors_of_the_connection_itself_have_the_same_headers_and_shape(api: Api) -> None:
    async with connected(api) as raw:
        await raw.send(b"NOT HTTP\r\n\r\n")
        answer = await raw.answer()
    assert_problem(answer, 400, "bad-request")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["connection"] == "close"


async def test_a_file_of_the_docs_may_be_kept(api: Api) -> None:
    answer = await api.http.get("/docs/swagger-ui.css")
    assert answer.headers["cache-control"] == "public, max-age=3600"
    assert answer.headers["x-content-type-options"] == "nosniff"
