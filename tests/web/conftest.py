"""The real API on a real socket: uvicorn in the test's own event loop, against the test's own database."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.settings import Settings
from service.web.app import Server, create_app
from tests.described import check_httpx

# To trust the system's certificates is to read them: 40 ms of CPU per client, and none of these speaks TLS.
NOBODY_TRUSTED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
ORDER: dict[str, Any] = {"amount": 1999, "currency": "usd", "payment_method": "pm_card_visa"}


class _Quiet(Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The signals of the test run are pytest's."""
        yield


@dataclass
class Api:
    """A client that bears the API key, and shortcuts for what most tests do."""

    http: httpx.AsyncClient
    server: Server

    async def order(self, key: str, **changes: Any) -> httpx.Response:
        """POST /v1/orders; a field given as None is left out."""
        body = {name: value for name, value in (ORDER | changes).items() if value is not None}
        return await self.http.post("/v1/orders", json=body, headers={"Idempotency-Key": key})

    async def raw(self, body: bytes, key: str = "k", **headers: str) -> httpx.Response:
        """POST /v1/orders with exactly these bytes."""
        sent = {"Content-Type": "application/json", "Idempotency-Key": key, **headers}
        return await self.http.post("/v1/orders", content=body, headers=sent)


@asynccontextmanager
async def serve(settings: Settings, port: int = 0) -> AsyncIterator[Api]:
    """The API of `settings`, as long as the block runs; on a free port where none is given."""
    server = _Quiet(create_app(settings), settings)
    listening = socket.create_server(("127.0.0.1", port))
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    task = asyncio.create_task(server.serve([listening]))
    while not server.started and not task.done():
        await asyncio.sleep(0.005)
    authorization = {"Authorization": f"Bearer {settings.api_key}"}
    limits = httpx.Limits(max_connections=200)
    hooks = {"response": [check_httpx]}
    async with httpx.AsyncClient(
        base_url=address, headers=authorization, timeout=20, limits=limits, event_hooks=hooks, verify=NOBODY_TRUSTED
    ) as http:
        yield Api(http, server)
    server.should_exit = True
    await task


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[Api]:
    """The API with the settings of this test."""
    async with serve(settings) as api:
        yield api


@pytest.fixture
def with_rate_limit(settings: Settings) -> Settings:
    """Five requests per second per API key."""
    return replace(settings, rate_limit_rps=5)


async def count(engine: AsyncEngine, table: str) -> int:
    """How many rows `table` has."""
    async with engine.connect() as connection:
        return int((await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())


def assert_problem(response: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """The one shape of errors: RFC 9457 with our fields, under the right media type, with the request's id."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert set(body) == {"type", "title", "status", "detail", "request_id"}
    assert body["status"] == status
    assert body["type"].startswith("urn:effectively-once:problem:")
    assert body["request_id"] == response.headers["x-request-id"]
    if code is not None:
        assert body["type"].endswith(":" + code), body
    return body
