"""From Stripe to the books: an endpoint at the stand-in, signed deliveries, what goes wrong with them, a relay."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from service.foundation.postgres.db import autocommit
from service.inbox import Settling
from service.inbox.syncing import sync
from service.outbox import INBOX, listen
from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.events import EVENT_TYPES
from tests.charges.world import Promise, World
from tests.inbox.telling import always, unsettled
from tests.web.conftest import serve
from workers.rounds import repeat

pytestmark = pytest.mark.slow

ASKS, SUCCEEDED = "pm_card_authenticationRequired", "payment_intent.succeeded"
STRIKE: dict[str, Any] = {"event": SUCCEEDED, "times": 1}
ENDPOINTS = "/v1/webhook_endpoints"
IDLE_S = 30.0  # longer than a test waits: only a wake-up can have settled it


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await holds():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def hearing(world: World, *, idle_s: float = IDLE_S) -> AsyncIterator[None]:
    """An endpoint at the stand-in, the API that it sends to, and the inbox of a relay."""
    key = {"Authorization": f"Bearer {world.settings.stripe_api_key}"}
    async with httpx.AsyncClient(base_url=world.stripe.base, headers=key) as endpoints:
        # Its secret is known once it is made, and the API's address once it runs with that secret.
        form = {"url": "http://127.0.0.1:9/", "enabled_events[]": list(EVENT_TYPES)}
        made = (await endpoints.post(ENDPOINTS, data=form)).json()
        async with serve(replace(world.settings, stripe_webhook_secret=made["secret"])) as api:
            moved = {"url": f"{str(api.http.base_url).rstrip('/')}/v1/stripe/events"}
            assert (await endpoints.post(f"{ENDPOINTS}/{made['id']}", data=moved)).status_code == 200
            async with _relay(world, idle_s):
                yield
            assert (await endpoints.delete(f"{ENDPOINTS}/{made['id']}")).status_code == 200


@asynccontextmanager
async def _relay(world: World, idle_s: float) -> AsyncIterator[None]:
    stop, told = asyncio.Event(), asyncio.Event()
    async with StripeGateway(world.settings) as gateway, autocommit(world.engine).connect() as connection:
        settling = Settling(world.engine, gateway, world.settings, may=always)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(listen(connection, {INBOX: told}, stop))
            tasks.create_task(repeat("inbox", settling.once, idle_s, stop, told))
            yield
            stop.set()
            told.set()


async def _waits(world: World) -> tuple[Promise, str]:
    promise = await world.order(payment_method=ASKS)
    await world.deliver(promise)
    await world.run("UPDATE outbox SET deliver_after = now() + interval '1 hour'")
    return promise, (await world.charge(promise))["payment_intent_id"]


async def _paid(world: World, promise: Promise) -> None:
    async def is_paid() -> bool:
        return await world.status(promise) == "paid"

    await until(is_paid)
    await world.assert_charged_once(promise)


async def _all_settled(world: World) -> None:
    async def are_settled() -> bool:
        return await unsettled(world) == []

    await until(are_settled)


@pytest.mark.parametrize(
    "fault",
    [None, "event_duplicate", "event_double", "event_reorder", "event_missign"],
)
async def test_a_webhook_settles_what_was_waited_for_whatever_happens_on_its_way(
    world: World, fault: str | None
) -> None:
    async with hearing(world):
        promise, intent = await _waits(world)
        if fault is not None:
            world.stripe.faults(STRIKE | {"fault": fault})
        world.stripe.control("POST", f"payment_intents/{intent}/complete_action", {"succeed": True})
        await _paid(world, promise)
    assert fault is None or world.stripe.fired() == [1]


async def test_an_event_that_comes_before_the_answer_finds_it_in_the_workers_hands(world: World) -> None:
    async with hearing(world, idle_s=0.1):
        world.stripe.faults(STRIKE | {"fault": "event_before_answer"})
        promise = await world.order()
        await world.deliver(promise)
        assert world.stripe.fired() == [1]
        assert await world.all("SELECT 1 FROM stripe_events") != [], "it was here before the answer"
        await world.assert_charged_once(promise)
        await _all_settled(world)
    await world.assert_charged_once(promise)


async def test_an_event_that_was_never_sent_is_fetched(world: World) -> None:
    async with hearing(world, idle_s=0.1):
        promise, intent = await _waits(world)
        world.stripe.faults(STRIKE | {"fault": "event_drop"})
        world.stripe.control("POST", f"payment_intents/{intent}/complete_action", {"succeed": True})
        async with StripeGateway(world.settings) as gateway:
            assert (await sync(world.engine, gateway, days=30)).stored >= 1
        await _paid(world, promise)
        await _all_settled(world)
    sources = await world.all("SELECT DISTINCT source FROM stripe_events WHERE object_id = :id", id=intent)
    assert "sync" in [row["source"] for row in sources]
