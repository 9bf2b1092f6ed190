"""A shop that is told of what happens: a receiver, and the endpoints that send to it."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from tests.sandbox.client import Api
from tests.sandbox.process import SandboxProcess
from tests.sandbox.receiver import WITHIN_S, Post, Receiver

POLL_S = 0.01


class Hooks:
    """Endpoints are asked for here, so that they are gone after the test."""

    def __init__(self, api: Api, sandbox: SandboxProcess, receiver: Receiver) -> None:
        self.api = api
        self.sandbox = sandbox
        self.receiver = receiver
        self.v2: Any = api.client.v2.core
        self._made: list[Any] = []
        sandbox.control("POST", "deliveries", {"retry_s": 0})
        for late in ("fees/flush", "refunds/flush"):  # what happened before is told before
            sandbox.control("POST", late)

    async def endpoint(self, *types: str, **params: Any) -> Any:
        """A webhook endpoint for these types of events."""
        wanted = {"url": f"{self.receiver.url}/hooks", "enabled_events": list(types) or ["*"]} | params
        made = await self.api.v1.webhook_endpoints.create_async(wanted)
        self._made.append(made)
        return made

    async def destination(self, *types: str, payload: str = "thin", **params: Any) -> Any:
        """An event destination for these types of events; it shows its secret."""
        wanted = {
            "name": "mine",
            "type": "webhook_endpoint",
            "event_payload": payload,
            "enabled_events": list(types) or ["*"],
            "webhook_endpoint": {"url": f"{self.receiver.url}/thin"},
            "include": ["webhook_endpoint.signing_secret", "webhook_endpoint.url"],
        }
        made = await self.v2.event_destinations.create_async(wanted | params)
        self._made.append(made)
        return made

    async def got(self, count: int) -> list[Post]:
        """The first posts, once so many have come."""
        return await asyncio.to_thread(self.receiver.wait, count)

    async def settled(self, event_id: str) -> list[Any]:
        """What became of an event's deliveries, once none of them waits."""
        return await self.deliveries(event_id, lambda found: found["state"] != "waiting")

    async def tried(self, event_id: str, tries: int) -> list[Any]:
        """An event's deliveries, once each of them has been tried so often."""
        return await self.deliveries(event_id, lambda found: found["tries"] >= tries)

    async def deliveries(self, event_id: str, are: Callable[[Any], bool]) -> list[Any]:
        """An event's deliveries, once all of them are so."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            found: list[Any] = self.sandbox.control("GET", f"events/{event_id}/deliveries")["deliveries"]
            if all(map(are, found)):
                return found
            assert time.monotonic() < deadline, found
            await asyncio.sleep(POLL_S)

    async def event(self, kind: str, object_id: str) -> Any:
        """The newest event of this type about this object."""
        page = await self.api.v1.events.list_async({"type": kind, "limit": 100})
        return next(event for event in page.data if event.data.object["id"] == object_id)

    async def close(self) -> None:
        """Take the endpoints back."""
        for made in self._made:
            kind = self.api.v1.webhook_endpoints if made.id.startswith("we_") else self.v2.event_destinations
            await kind.delete_async(made.id)
