"""POST to a receiver, and its status. No library: an HTTP client's import takes longer than the sandbox's start.

Nothing is followed: a redirect is a status like any other.
"""

import asyncio
import contextlib
import ssl
from functools import cache
from urllib.parse import urlsplit

Headers = dict[str, str]
ANSWER_S = 10.0
_HEAD_MAX = 64 * 1024
_INTERIM = range(100, 200)


class NoAnswer(Exception):
    """There was no answer, or none in HTTP."""


async def post(url: str, headers: Headers, body: bytes) -> int:
    """Send the body and return the status of the answer; raises NoAnswer."""
    try:
        async with asyncio.timeout(ANSWER_S):
            return await _post(url, headers, body)
    except TimeoutError:
        raise NoAnswer(f"no answer within {ANSWER_S:g} s") from None
    except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise NoAnswer(f"{type(error).__name__}: {error}") from error


async def _post(url: str, headers: Headers, body: bytes) -> int:
    where = urlsplit(url)
    # Reading the certificates of the machine takes long enough to be felt by other requests.
    tls = await asyncio.to_thread(_tls) if where.scheme == "https" else None
    reader, writer = await asyncio.open_connection(
        where.hostname, where.port or (443 if tls else 80), ssl=tls, limit=_HEAD_MAX
    )
    try:
        target = (where.path or "/") + (f"?{where.query}" if where.query else "")
        own = {"Host": where.netloc.rpartition("@")[2], "Content-Length": str(len(body)), "Connection": "close"}
        head = "".join(f"{name}: {value}\r\n" for name, value in (own | headers).items())
        writer.write(f"POST {target} HTTP/1.1\r\n{head}\r\n".encode() + body)
        await writer.drain()
        status = await _status(reader)
        # A receiver that is still writing its answer is not cut off; what it writes tells nothing.
        with contextlib.suppress(OSError, TimeoutError):
            await reader.read(_HEAD_MAX)
        return status
    finally:
        writer.close()


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


async def _status(reader: asyncio.StreamReader) -> int:
    """The status of the answer, after any interim ones."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        version, code, *_ = [*head.split(b"\r\n", 1)[0].split(b" "), b""]
        if not version.startswith(b"HTTP/1.") or not code.isdigit():
            raise ValueError("the answer is not HTTP")
        if int(code) not in _INTERIM:
            return int(code)
