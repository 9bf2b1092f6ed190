"""A producer that listens: endpoints, receivers that behave or do not, and the time that passes for notices."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from standardwebhooks import Webhook

from service.foundation.postgres.sql import begin
from service.notices import NOTICE_TYPES, Fact, NoticeType, tell
from service.notices.endpoints import WebhookEndpoint, WebhookEndpointRequest, create
from service.orders import Order
from service.orders import get as get_order
from tests.charges.world import Books
from workers.notices import Notices

Reply = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Taken:
    """A request as a receiver got it."""

    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """A server that answers each request with the next of `replies`, then with 204."""

    port: int = 0
    taken: list[Taken] = field(default_factory=list)
    replies: list[bytes] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?of=shop"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
        self.taken.append(Taken(first.split(" ")[1], headers, body))
        status = self.replies.pop(0) if self.replies else b"204 No Content"
        writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()


@asynccontextmanager
async def listening(reply: Reply | None = None) -> AsyncIterator[Receiver]:
    """A receiver on a port of its own; `reply` answers each connection where it is no ordinary one."""
    receiver, open_now = Receiver(), set[asyncio.StreamWriter]()
    server = await asyncio.start_server(_quietly(reply or receiver.serve, open_now), "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for writer in open_now:
            writer.transport.abort()


def _quietly(reply: Reply, open_now: set[asyncio.StreamWriter]) -> Reply:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.add(writer)
        try:
            await reply(reader, writer)
        except (OSError, EOFError):  # the other side went away
            writer.close()

    return serve


@dataclass
class Producer:
    """An account with its endpoints, and this service's hands."""

    books: Books
    owner: AsyncEngine  # no role of ours may change a roll
    keys: int = 0

    async def listens(self, url: str, *events: NoticeType, account_id: UUID | None = None) -> WebhookEndpoint:
        """An endpoint, as the route makes it; of all events, where none are named."""
        self.keys += 1
        request = WebhookEndpointRequest(url, list(events or NOTICE_TYPES))
        account = account_id or await self.books.default_account()
        return (await create(self.books.engine, account, f"endpoint-{self.keys}", request))[0]

    def hands(self, **changes: Any) -> Notices:
        """A worker's notices, which may go to this machine."""
        settings = replace(self.books.settings, **({"notice_http": True, "notice_private": True} | changes))
        return Notices(self.books.engine, settings)

    async def tell(self, n: int = 1) -> list[Order]:
        """`n` orders that are told to be paid, whatever they are."""
        promises = await self.books.orders(n)
        orders = [await get_order(self.books.engine, p.account_id, p.order_id) for p in promises]
        facts = [
            Fact(p.account_id, "order.paid", o.id, "", p.order_id, o) for p, o in zip(promises, orders, strict=True)
        ]
        async with begin(self.books.engine) as tx:
            await tell(tx, facts)
        return orders

    async def notices(self) -> list[dict[str, Any]]:
        return await self.books.all("SELECT * FROM notices ORDER BY id")

    async def passes(self, seconds: float) -> None:
        """The time of what waits comes sooner, and everything is older, by so much."""
        for table, columns in (
            ("notices", ("deliver_after", "promised_at", "ended_at", "created_at")),
            ("webhook_endpoints", ("failing_since", "resting_until", "created_at")),
            ("endpoint_rolls", ("created_at",)),
        ):
            older = ", ".join(f"{c} = {c} - make_interval(secs => :by)" for c in columns)
            async with self.owner.begin() as connection:
                await connection.execute(text(f"UPDATE {table} SET {older}"), {"by": seconds})


def verified(taken: Taken, secret: str | None) -> Any:
    """The body, where the library of the specification says that it is ours. Raises its error."""
    assert secret is not None
    return Webhook(secret).verify(taken.body, taken.headers)
