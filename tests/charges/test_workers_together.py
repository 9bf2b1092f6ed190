"""Several workers, messages and faults at the same time: nobody waits for another, and each order is charged once."""

import asyncio

import pytest

from service.effects.model import Rules
from service.reconcile import Span, reconcile
from service.stripe_gateway.client import StripeGateway
from tests.charges.faults import once
from tests.charges.world import POST, World


@pytest.mark.slow
async def test_one_stalled_call_never_holds_up_the_others(world: World) -> None:
    slow, *others = await world.orders(8)
    world.stripe.faults(once("stall", slow, stall_s=60))
    worker = await world.worker(stripe_timeout_s=30)
    delivering = asyncio.create_task(world.deliver(slow, *others, worker=worker))
    async with asyncio.timeout(10):
        while {await world.status(p) for p in others} != {"paid"}:
            await asyncio.sleep(0.01)
    assert not delivering.done()
    assert await world.status(slow) == "processing"
    delivering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivering
    # Its worker died over it; the next one takes over when the lease is done.
    await world.leases_end()
    await world.deliver(slow)
    await world.assert_charged_once(slow, *others)


async def test_two_workers_with_the_same_message_charge_once(world: World) -> None:
    promises = await world.orders(20)
    workers = [await world.worker() for _ in range(4)]
    await asyncio.gather(*(world.deliver(*promises, worker=worker) for worker in workers))
    await world.work()
    await world.assert_charged_once(*promises)
    assert [await world.calls(p) for p in promises] == [["send"]] * len(promises)


async def test_a_takeover_while_the_first_send_is_still_running_charges_once(world: World) -> None:
    promise = await world.order()
    world.stripe.faults(once("stall", promise, stall_s=0.4, then="answer"))
    first, second = await world.worker(), await world.worker()
    delivering = asyncio.create_task(world.deliver(promise, worker=first))
    while not await world.all("SELECT 1 FROM charges"):
        await asyncio.sleep(0.002)
    await world.leases_end()
    await world.deliver(promise, worker=second)
    await delivering
    await world.work()
    await world.assert_charged_once(promise)


@pytest.mark.slow
async def test_with_everything_going_wrong_at_once_every_order_is_charged_once_and_both_sides_agree(
    own_world: World,
) -> None:
    world = own_world
    faults = (
        "executed_reply_lost cut_body drop_before html_502 html_502_executed wrong_amount no_request_id conflict_409 "
        "rate_limited failed_dependency_424 executed_500"
    ).split()
    world.stripe.faults(*({"fault": f, **POST, "probability": 0.08} for f in faults), seed=11)
    promises = await world.orders(60)
    await world.work()
    await world.assert_charged_once(*promises)
    world.stripe.calm()
    async with (
        StripeGateway(world.settings) as gateway,
        reconcile(world.engine, gateway, Span(), grace_s=600, rules=Rules.of(world.settings)) as report,
    ):
        assert [d.name async for d in report.discrepancies() if d.name != "in_flight"] == []
        assert report.verdict == "clean"
