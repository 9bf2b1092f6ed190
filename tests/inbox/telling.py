"""What Stripe has told of an object, as the sandbox made it; and the inbox that hears of it."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from service.inbox import Settling, read
from service.inbox.storing import store
from service.stripe_gateway.client import StripeGateway
from tests.charges.world import World


async def always() -> bool:
    return True


class Counting(StripeGateway):
    """A gateway that writes down what it asks."""

    asked: list[str]

    async def _raw(self, method: str, path: str, params: Any, **options: Any) -> Any:
        self.asked.append(f"{method} {path}")
        return await super()._raw(method, path, params, **options)


@asynccontextmanager
async def inbox(world: World) -> AsyncIterator[tuple[Settling, Counting]]:
    """The inbox as a relay has it, and its gateway."""
    async with Counting(world.settings) as gateway:
        gateway.asked = []
        yield Settling(world.engine, gateway, world.settings, may=always), gateway


async def events_of(world: World, object_id: str) -> list[dict[str, Any]]:
    """Every event that Stripe has made of the object, the oldest first."""
    async with StripeGateway(world.settings) as gateway:
        page = json.loads((await gateway._raw("get", "/v1/events", {"limit": 100})).body)["data"]
    return [event for event in reversed(page) if _is_about(event["data"]["object"], object_id)]


def _is_about(shown: dict[str, Any], object_id: str) -> bool:
    return object_id in (shown.get("id"), shown.get("payment_intent"))


def as_thin(event: dict[str, Any]) -> dict[str, Any]:
    """The thin event of the same fact, under another id."""
    shown = event["data"]["object"]
    return {
        "id": f"evt_thin_{event['id']}",
        "object": "v2.core.event",
        "type": f"v1.{event['type']}",
        "created": "2026-11-24T09:00:00Z",
        "livemode": False,
        "related_object": {"id": shown["id"], "type": shown["object"], "url": f"/v1/x/{shown['id']}"},
        "snapshot_event": event["id"],
    }


async def hear(world: World, events: Sequence[dict[str, Any]], *, rounds: int = 1) -> list[str]:
    """Store these events, and look at all that is unsettled, now; what was asked of Stripe."""
    if events:
        await store(world.engine, [read(json.dumps(event).encode()) for event in events], "webhook")
    async with inbox(world) as (settling, gateway):
        for _ in range(rounds):
            await world.run("UPDATE stripe_events SET look_at = now() WHERE settled_at IS NULL")
            await settling.once()
        return gateway.asked


async def unsettled(world: World) -> list[str | None]:
    """Why events are not settled."""
    return [row["note"] for row in await world.all("SELECT note FROM stripe_events WHERE settled_at IS NULL")]


async def notes(world: World) -> set[str | None]:
    """What is said of the settled ones."""
    return {row["note"] for row in await world.all("SELECT note FROM stripe_events WHERE settled_at IS NOT NULL")}
