"""Stripe refuses our key, is away, or dies in the middle: no order fails by it (R20)."""

import re

import pytest

from tests.charges.faults import once
from tests.charges.world import World


@pytest.mark.slow
async def test_a_storm_of_401_opens_the_breaker_fails_no_order_and_closes_by_itself(own_world: World) -> None:
    world, key = own_world, {"key": own_world.settings.stripe_api_key}
    worker = await world.worker()
    before = await world.order()
    await world.deliver(before, worker=worker)
    world.stripe.control("POST", "keys/revoke", key)
    promises = await world.orders(8)
    await world.deliver(*promises, worker=worker)
    opens = [(await world.open_row(p))["deliveries"] for p in promises]
    await world.deliver(*promises, worker=worker)  # the breaker is open: nobody calls, nothing is counted
    assert [(await world.open_row(p))["deliveries"] for p in promises] == opens
    for promise in promises:
        assert re.match(r"breaker open: .*401", (await world.open_row(promise))["last_error"])
    assert {await world.status(p) for p in promises} == {"processing"}
    assert not any([(await world.charge(p))["maybe_executed"] for p in promises])
    world.stripe.control("POST", "keys/revoke", {**key, "revoked": False})
    await world.work(worker)
    await world.assert_charged_once(before, *promises)


async def test_a_breaker_that_one_worker_opens_is_open_for_the_fleet(world: World) -> None:
    one, two = await world.worker(breaker_s=30), await world.worker(breaker_s=30)
    for worker in (one, two):
        async with worker.breaker.admission(9) as admitted:
            assert admitted.rows == 9
    await one.breaker.trip("401")
    async with two.breaker.admission(9) as admitted:
        assert admitted.rows == 0
        assert 25 < admitted.wait_s <= 30


async def test_stripe_gone_and_back_charges_once(own_world: World) -> None:
    world = own_world
    worker = await world.worker()
    first, promise = await world.order(), await world.order()
    await world.deliver(first, worker=worker)
    world.stripe.kill()
    await world.deliver(promise, worker=worker)
    charge = await world.charge(promise)
    assert (charge["status"], charge["maybe_executed"]) == ("sending", False), "no connection, so nothing was sent"
    world.stripe.start()
    await world.work(worker)
    await world.assert_charged_once(first, promise)


async def test_stripe_dying_between_executing_and_answering_charges_once(own_world: World) -> None:
    world = own_world
    promise = await world.order()
    world.stripe.faults(once("crash_after_execution", promise))
    await world.deliver(promise)
    world.stripe.wait()
    world.stripe.start()
    await world.work()
    await world.assert_charged_once(promise)
