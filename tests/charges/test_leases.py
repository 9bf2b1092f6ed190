"""A look-up keeps its lease, and a worker that slept through its own posts nothing (R14)."""

import asyncio
import time
from typing import Any

import pytest

from service.stripe_gateway.client import StripeGateway
from tests.charges.faults import once
from tests.charges.world import World
from workers import charge as actor


@pytest.mark.slow
async def test_a_look_up_that_outlasts_its_lease_keeps_it_and_ends(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    promise = await world.order()
    world.stripe.faults(once("executed_500", promise))
    worker = await world.worker(stripe_timeout_s=0.3, charge_lease_s=0.5, outbox_lease_s=0.7)
    await world.deliver(promise, worker=worker)
    listed = StripeGateway.list_payment_intents

    async def slowly(self: StripeGateway, *window: Any) -> Any:
        await asyncio.sleep(1.5)  # three leases, as many pages take
        async for intent in listed(self, *window):
            yield intent

    monkeypatch.setattr(StripeGateway, "list_payment_intents", slowly)
    looking = asyncio.create_task(world.deliver(promise, worker=worker))
    await asyncio.sleep(1.0)
    await world.deliver(promise)  # another worker, which finds it leased
    await looking
    assert await world.calls(promise) == ["send", "lookup"]
    await world.assert_charged_once(promise)


async def test_a_worker_that_slept_through_its_lease_posts_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    promise = await world.order()
    worker = await world.worker()
    async with worker.breaker.admission(1) as admitted:
        assert admitted.rows == 1
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    limit = world.settings.charge_lease_s - world.settings.stripe_timeout_s
    clock = iter([now, now + limit + 0.001])
    monkeypatch.setattr(actor, "_boottime", lambda: next(clock))
    await world.deliver(promise, worker=worker)
    assert world.charges_at_stripe(promise) == 0
    charge, row = await world.charge(promise), await world.open_row(promise)
    assert (charge["status"], charge["maybe_executed"], charge["first_sent_at"]) == ("sending", False, None)
    assert row["parked_at"] is None
    monkeypatch.undo()
    await world.work(worker)
    await world.assert_charged_once(promise)


async def test_a_worker_that_slept_before_a_resend_proves_nothing_by_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    promise = await world.order()
    world.stripe.faults(once("executed_reply_lost", promise))
    worker = await world.worker()
    await world.deliver(promise, worker=worker)
    clock = iter([0.0, 1e6])
    monkeypatch.setattr(actor, "_boottime", lambda: next(clock))
    await world.deliver(promise, worker=worker)
    assert (await world.charge(promise))["maybe_executed"]
    monkeypatch.undo()
    await world.work(worker)
    await world.assert_charged_once(promise)
