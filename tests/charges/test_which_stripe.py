"""Nothing is sent to a Stripe of another account, or whose clock differs from the database's (R27, R28)."""

import signal

import pytest

from tests.charges.world import World
from tests.sandbox.process import SandboxProcess


async def test_nothing_is_sent_to_a_stripe_whose_clock_disagrees(own_world: World) -> None:
    world, promise = own_world, await own_world.order()
    world.stripe.control("POST", "clock", {"advance_s": 400})
    await world.deliver(promise)
    assert (await world.open_row(promise))["last_error"].startswith("breaker open: the database's clock and Stripe's")
    assert await world.status(promise) == "pending"
    assert world.charges_at_stripe(promise) == 0


async def test_a_clock_that_runs_away_stops_the_sending(own_world: World) -> None:
    world = own_world
    before, after = await world.order(), await world.order()
    worker = await world.worker()
    async with worker.breaker.admission(1) as admitted:
        assert admitted.rows == 1
    world.stripe.control("POST", "clock", {"advance_s": 400})
    await world.deliver(before, worker=worker)
    await world.deliver(after, worker=worker)
    assert await world.status(before) == "paid", "the answer itself is true"
    assert await world.status(after) == "pending"
    assert world.charges_at_stripe(after) == 0


async def test_another_stripe_account_is_refused_and_never_charged(
    own_world: World, stripe: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = own_world
    first, second = await world.order(), await world.order()
    await world.deliver(first)
    ended: list[int] = []
    monkeypatch.setattr("workers.identity.os.kill", lambda _, number: ended.append(number))
    elsewhere = await world.worker(stripe_api_base=stripe.base)
    await world.deliver(second, worker=elsewhere)
    assert ended == [signal.SIGTERM], "the process ends"
    assert await world.status(second) == "pending"
    assert stripe.truth(str(second.order_id))["charges"] == 0
