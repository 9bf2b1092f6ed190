"""Events as Stripe sends them, signed by Stripe's own SDK."""

import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from stripe import WebhookSignature

from service.foundation.postgres.migrate import upgrade
from service.foundation.settings import Settings
from service.ops.embedded import Postgres
from tests.charges.conftest import books, stripe, world
from tests.sandbox.process import SandboxProcess
from tests.web.conftest import Api, serve

__all__ = ["books", "stripe", "world"]

SECRET, ROLLED = "whsec_" + "1" * 32, "whsec_" + "2" * 32

_numbers = count(1)


def snapshot(event_type: str = "payment_intent.succeeded", about: Any = "pi_1", **changes: Any) -> dict[str, Any]:
    """A snapshot event. `about`: the object, or its id."""
    shown = about if isinstance(about, dict) else {"id": about, "object": event_type.rpartition(".")[0]}
    return {
        "id": f"evt_{next(_numbers)}",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": int(time.time()),
        "data": {"object": shown},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": "req_1", "idempotency_key": "cart-17"},
        "type": event_type,
        **changes,
    }


def thin(event_type: str = "v1.payment_intent.succeeded", about: str = "pi_1", **changes: Any) -> dict[str, Any]:
    """A thin event of the same."""
    return {
        "id": f"evt_thin_{next(_numbers)}",
        "object": "v2.core.event",
        "created": "2026-11-24T09:00:00.120Z",
        "livemode": False,
        "related_object": {"id": about, "type": "payment_intent", "url": f"/v1/payment_intents/{about}"},
        "type": event_type,
        "context": None,
        "reason": {"type": "request", "request": {"id": "req_1", "idempotency_key": "cart-17"}},
        **changes,
    }


def signed(body: bytes, secret: str = SECRET, moment: int | None = None) -> dict[str, str]:
    """The headers with which Stripe sends a body."""
    made = WebhookSignature.generate_signature_header(body.decode(), secret, timestamp=moment)
    return {"Stripe-Signature": made, "Content-Type": "application/json; charset=utf-8", "User-Agent": "Stripe/1.0"}


@dataclass
class Endpoint:
    """The API's endpoint, and Stripe's part in a test."""

    api: Api

    async def deliver(self, event: dict[str, Any], **signing: Any) -> httpx.Response:
        """Send an event as Stripe does."""
        return await self.send(body := json.dumps(event).encode(), signed(body, **signing))

    async def send(self, body: bytes, headers: dict[str, str]) -> httpx.Response:
        """Send anything; without our API key."""
        return await self.api.http.post("/v1/stripe/events", content=body, headers=headers | {"Authorization": ""})


@pytest.fixture(scope="session")
def shared_stripe(servers_folder: Path) -> Iterator[SandboxProcess]:
    """One Stripe for all tests of this folder that can share it."""
    process = SandboxProcess(servers_folder / "stripe-of-inbox.sqlite3")
    yield process.start()
    process.kill()


@pytest.fixture
def with_secrets(settings: Settings) -> Settings:
    """Two secrets, as while one is rolled."""
    return replace(settings, stripe_webhook_secret=f"{ROLLED}, {SECRET}")


@pytest.fixture
def own_postgres(servers_folder: Path) -> Iterator[Postgres]:
    """A server that this test may kill."""
    with Postgres(servers_folder / f"inbox-{uuid4().hex[:8]}") as server:
        upgrade(server.url)
        yield server


@pytest.fixture
async def endpoint(with_secrets: Settings) -> AsyncIterator[Endpoint]:
    """The endpoint of a running API."""
    async with serve(with_secrets) as api:
        yield Endpoint(api)
