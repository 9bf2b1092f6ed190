"""The connection: whole answers, partial ones, and none.

uvicorn offers an application no way to break a connection, and breaking connections is what a fault plan is for. The
protocol below hands the transport to the application.
"""

import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from asyncio import Transport

Headers = list[tuple[bytes, bytes]]
# Close with a reset instead of a polite end: linger on, for zero seconds.
_RESET = struct.pack("ii", 1, 0)


class Answer(NamedTuple):
    """What goes back: a status, a body and its headers."""

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
    """One request's way back to its client."""

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
        """The whole request body; None when the client left in the middle of it, for half a form is no request."""
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
        """Promise the whole body, send half of it, and close."""
        headers = [*answer.headers, (b"content-length", b"%d" % len(answer.body))]
        half = answer.body[: len(answer.body) // 2]
        await self._send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": half, "more_body": True})
        self._transport.close()
        await self._gone()

    async def cut(self) -> None:
        """Reset the connection: the client learns nothing."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()
        await self._gone()

    async def _gone(self) -> None:
        """Wait for the close to be noticed, or uvicorn would complain about an unfinished answer."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
