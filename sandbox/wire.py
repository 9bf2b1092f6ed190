"""The connection to a client: sends whole answers, partial answers, or none.

uvicorn offers an application no way to break a connection, which a fault plan needs. The protocol below gives the
transport to the application.
"""

import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from asyncio import Transport

Headers = list[tuple[bytes, bytes]]
# SO_LINGER on, with zero seconds: closing sends a reset.
_RESET = struct.pack("ii", 1, 0)


class Answer(NamedTuple):
    """An answer: a status, a body and its headers."""

    status: int
    body: bytes
    headers: Headers


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol that shows its transport to the application, as a scope extension."""

    def on_message_begin(self) -> None:
        """A request begins: its scope is built here."""
        super().on_message_begin()
        self.scope["extensions"] = {"sandbox.transport": {"transport": self.transport}}


class Wire:
    """Receives the body of one request and sends its answer."""

    def __init__(
        self,
        scope: Any,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        self._transport: Transport = scope["extensions"]["sandbox.transport"]["transport"]
        self._receive = receive
        self._send = send

    async def body(self) -> bytes | None:
        """The whole request body; None where the client closed the connection before its end."""
        message = await self._receive()
        body = b""
        while message["type"] == "http.request":
            body += bytes(message["body"])
            if not message["more_body"]:
                return body
            message = await self._receive()
        return None

    async def answer(self, answer: Answer) -> None:
        """Send a whole answer."""
        headers = [*answer.headers, (b"content-length", b"%d" % len(answer.body))]
        await self._send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": answer.body})

    async def stream(self, headers: Headers, chunks: AsyncIterator[bytes]) -> None:
        """Send a 200 of unknown length, piece by piece."""
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        async for chunk in chunks:
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        await self._send({"type": "http.response.body", "body": b""})

    async def answer_half(self, answer: Answer) -> None:
        """Announce the whole body in Content-Length, send half of it, and close."""
        headers = [*answer.headers, (b"content-length", b"%d" % len(answer.body))]
        half = answer.body[: len(answer.body) // 2]
        await self._send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": half, "more_body": True})
        self._transport.close()
        await self._gone()

    async def cut(self) -> None:
        """Reset the connection without an answer."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()
        await self._gone()

    async def _gone(self) -> None:
        """Wait until uvicorn has noticed the close; otherwise it logs an unfinished answer."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
