"""A receiver that is slow, loud, somewhere else, or not who it says: a failed try, in bounded time and memory."""

import asyncio
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from service.notices import posting
from service.notices.addresses import receiver_of
from service.notices.posting import Answer, Postman
from tests.notices.listening import Receiver, Reply, listening

BODY = '{"type":"order.paid"}'


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "POST_S", 0.5)
    monkeypatch.setattr(posting, "CONNECT_S", 0.3)


async def post(url: str, *, may_be_private: bool = True) -> Answer:
    receiver = receiver_of(url, may_be_http=True)
    return await Postman(may_be_private=may_be_private).post(receiver, {"webhook-id": "msg_1"}, BODY)


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(-1)


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for byte in b"HTTP/1.1 200 OK\r\n" * 9:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.1)


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


def says(text: bytes) -> Reply:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(text)
        await writer.drain()
        await reader.read(-1)

    return reply


def floods(text: bytes, first: bytes = b"") -> Reply:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            writer.write(text * 1000)
            await writer.drain()

    return reply


NOT_HTTP = "answer is not HTTP"
HOSTILE: dict[str, tuple[Reply, str]] = {
    "says nothing": (silence, "no answer in time"),
    "drips its answer": (drip, "no answer in time"),
    "hangs up": (hang_up, "connection failed"),
    "speaks something else": (says(b"220 smtp.example ESMTP\r\n"), NOT_HTTP),
    "speaks HTTP/2": (says(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\r\n"), NOT_HTTP),
    "has a status of two digits": (says(b"HTTP/1.1 20 OK\r\n\r\n"), NOT_HTTP),
    "has a status of four digits": (says(b"HTTP/1.1 2000 OK\r\n\r\n"), NOT_HTTP),
    "has no end of its first line": (floods(b"H"), NOT_HTTP),
    "sends early answers for ever": (floods(b"HTTP/1.1 100 Continue\r\n\r\n"), NOT_HTTP),
    "sends headers of an early answer for ever": (floods(b"x: y\r\n", b"HTTP/1.1 103 Early\r\n"), NOT_HTTP),
    "sends null bytes for ever": (floods(b"\0"), NOT_HTTP),
    "has headers for ever behind its status": (floods(b"x: y\r\n", b"HTTP/1.1 200 OK\r\n"), "200"),
    "has a body for ever": (floods(b"A", b"HTTP/1.1 200 OK\r\n\r\n"), "200"),
    "promises a huge body": (says(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n"), "200"),
    "has a bomb for a body": (says(b"HTTP/1.1 204 x\r\ncontent-encoding: gzip\r\n\r\n\x1f\x8b"), "204"),
    "switches protocols": (says(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), "no answer in time"),
    "answers early, then for good": (says(b"HTTP/1.1 103 Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"), "200"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
async def test_whatever_a_receiver_does_is_an_answer(what: str) -> None:
    reply, word = HOSTILE[what]
    async with listening(reply) as receiver, asyncio.timeout(10):
        assert (await post(receiver.url)).word == word


async def test_a_redirect_is_a_failed_try_and_is_not_followed(receiver: Receiver) -> None:
    to_it = b"HTTP/1.1 307 Temporary Redirect\r\nlocation: " + receiver.url.encode() + b"\r\n\r\n"
    async with listening(says(to_it)) as redirecting:
        answer = await post(redirecting.url)
    assert (answer.word, answer.is_success) == ("307", False)
    assert receiver.connections == 0


async def test_no_proxy_of_the_environment_is_asked(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await post(receiver.url)).word == "204"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]"])  # noqa: S104
async def test_nothing_is_sent_into_a_network_of_our_own(host: str, receiver: Receiver) -> None:
    answer = await post(f"http://{host}:{receiver.port}/", may_be_private=False)
    assert answer.word in ("address refused", "name not found")
    assert receiver.connections == 0


async def test_a_name_is_resolved_once_and_what_was_judged_is_called(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rebinding: a name server answers with an address of the internet first, and with a private one then."""
    asked = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["203.0.113.7"] if len(asked) == 1 else ["127.0.0.1"]

    monkeypatch.setattr(posting, "_resolve", resolve)
    monkeypatch.setattr(posting, "is_of_the_internet", lambda address: address == "203.0.113.7")
    connected = _watch(monkeypatch)
    answer = await post(f"http://rebinding.example:{receiver.port}/", may_be_private=False)
    assert not answer.is_success
    assert (asked, connected) == (["rebinding.example"], ["203.0.113.7"])
    assert receiver.connections == 0


async def test_of_several_addresses_only_those_of_the_internet_are_called(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "_resolve", lambda _host, _port: ["127.0.0.1", "10.0.0.1", "203.0.113.7", "::1"])
    monkeypatch.setattr(posting, "is_of_the_internet", lambda address: address == "203.0.113.7")
    connected = _watch(monkeypatch)
    await post(f"http://mixed.example:{receiver.port}/", may_be_private=False)
    assert connected == ["203.0.113.7"]


def _watch(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    connected: list[str] = []

    async def connect(host: str, *_: Any, **__: Any) -> Any:
        connected.append(host)
        raise OSError("unreachable")

    monkeypatch.setattr(asyncio, "open_connection", connect)
    return connected


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost, which trusts itself."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out cert.pem"
        " -addext subjectAltName=DNS:localhost".split(),
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.mark.parametrize(
    ("host", "is_trusted", "word"),
    [("localhost", True, "200"), ("localhost", False, "TLS failed"), ("127.0.0.1", True, "TLS failed")],
)
async def test_a_certificate_must_be_good_and_of_the_name(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, host: str, is_trusted: bool, word: str
) -> None:
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    server = await asyncio.start_server(says(b"HTTP/1.1 200 OK\r\n\r\n"), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    try:
        assert (await post(f"https://{host}:{port}/")).word == word
    finally:
        server.close()


async def test_plain_text_where_tls_is_due_is_a_failed_try() -> None:
    async with listening(floods(b"HTTP/1.1 200 OK\r\n\r\n")) as receiver:
        assert (await post(receiver.url.replace("http:", "https:"))).word == "TLS failed"
