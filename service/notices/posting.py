"""One POST to a receiver that nobody trusts: it may hang, drip, flood, redirect, or be another than it seems.

The name is resolved once, and one of the addresses that were found is connected to, so that what was judged is what is
called. Nothing follows a redirect, nothing reads the environment's proxy, and of the answer only its status is read.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from service.notices.addresses import Receiver, is_of_the_internet

POST_S = 10.0  # all of a try
CONNECT_S = 5.0  # to one address, its TLS included
RESOLVE_S = 5.0
_HEAD_MAX = 16 * 1024  # bytes that are read until the status is known
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: [^\r\n]*)?\r?\n")
_EARLY = range(100, 200)  # statuses after which the real one comes
# A name server that does not answer holds a thread, so these are not the ones that others need.
_RESOLVERS = ThreadPoolExecutor(32, "notice-names")


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` of HTTP; None where there was no answer. `word`: what is kept of it."""

    status: int | None
    word: str

    @property
    def is_success(self) -> bool:
        """Whether the receiver has taken the notice."""
        return self.status is not None and 200 <= self.status < 300


class RefusedAddress(Exception):
    """The name leads to addresses that nothing may be sent to."""


async def addresses_of(receiver: Receiver) -> list[str]:
    """The addresses of its host, as the system resolves it. Raises OSError, or TimeoutError."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(RESOLVE_S):
        found = await loop.run_in_executor(_RESOLVERS, _resolve, receiver.host, receiver.port)
    return list(dict.fromkeys(found))


def _resolve(host: str, port: int) -> Sequence[str]:
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class Postman:
    """Sends from one event loop. `may_be_private`: also into networks of the operator's own."""

    def __init__(self, *, may_be_private: bool) -> None:
        self._may_be_private = may_be_private
        self._tls = ssl.create_default_context()

    async def post(self, receiver: Receiver, headers: Mapping[str, str], body: str) -> Answer:
        """Send it. Whatever happens is an answer; it never raises, and takes at most POST_S seconds."""
        try:
            async with asyncio.timeout(POST_S):
                return await self._post(receiver, headers, body.encode())
        except TimeoutError:
            return Answer(None, "no answer in time")
        except RefusedAddress:
            return Answer(None, "address refused")
        except ssl.SSLError:
            return Answer(None, "TLS failed")
        except socket.gaierror:
            return Answer(None, "name not found")
        except (OSError, EOFError):
            return Answer(None, "connection failed")
        except (ValueError, asyncio.LimitOverrunError):
            return Answer(None, "answer is not HTTP")

    async def _post(self, receiver: Receiver, headers: Mapping[str, str], body: bytes) -> Answer:
        reader, writer = await self._connect(receiver)
        try:
            writer.write(_head(receiver, headers, len(body)) + body)
            status = await _status(reader)
        finally:
            writer.transport.abort()  # whatever else it wants to say
        return Answer(status, str(status))

    async def _connect(self, receiver: Receiver) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the first of its addresses that can be had. Raises RefusedAddress, OSError."""
        found = await addresses_of(receiver)
        allowed = [one for one in found if self._may_be_private or is_of_the_internet(one)]
        if not allowed:
            raise RefusedAddress
        failed: OSError | None = None
        for address in allowed:
            try:
                async with asyncio.timeout(CONNECT_S):
                    return await asyncio.open_connection(
                        address,
                        receiver.port,
                        limit=_HEAD_MAX,
                        ssl=self._tls if receiver.is_tls else None,
                        server_hostname=receiver.host if receiver.is_tls else None,
                    )
            except OSError as error:  # a TimeoutError, too
                failed = error
        raise failed or OSError("no address")


def _head(receiver: Receiver, headers: Mapping[str, str], length: int) -> bytes:
    lines = {
        "host": receiver.authority,
        "user-agent": "effectively-once",
        "content-type": "application/json",
        "content-length": str(length),
        "connection": "close",
        **headers,
    }
    named = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {receiver.target} HTTP/1.1\r\n{named}\r\n".encode("ascii")


async def _status(reader: asyncio.StreamReader) -> int:
    """The status of the answer. Raises ValueError where it is none, or more than `_HEAD_MAX` bytes stand before it."""
    left = _HEAD_MAX
    while True:
        line = await reader.readline()
        left -= len(line)
        found = _STATUS.fullmatch(line)
        if found is None:
            raise EOFError if not line else ValueError
        if int(found[1]) not in _EARLY:
            return int(found[1])
        while line not in (b"\r\n", b"\n"):  # the headers of an early one
            line = await reader.readline()
            left -= len(line)
            if not line or left <= 0:
                raise ValueError
