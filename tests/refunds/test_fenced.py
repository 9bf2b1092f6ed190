"""Who was taken over changes nothing, and Stripe's object is proof whoever shows it (R21)."""

from service.effects import Settlement, judge_send, settle
from service.refunds import REFUND, judge_refund
from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.objects import Answer
from tests.charges.answers import error
from tests.charges.wishes import ask_refund
from tests.charges.world import World
from tests.refunds.giving_back import (
    assert_given_back_once,
    opened,
    paid,
    refund,
    sums,
)


async def test_a_worker_that_was_taken_over_changes_nothing_but_its_proof_settles(world: World) -> None:
    promise = await paid(world)
    asked = await ask_refund(world, promise, 500)
    zombie = await opened(world, asked)
    await world.leases_end()
    holder = await opened(world, asked)
    lost = Answer(http_status=None, note="TimeoutError")
    unknown = judge_send(REFUND, zombie, lost)
    assert not await settle(world.engine, REFUND, [Settlement(zombie, unknown, lost)], world.settings)
    assert (await refund(world, asked))["token"] == holder.token
    async with StripeGateway(world.settings) as gateway:
        made = await REFUND.send(gateway, zombie)
    assert made.refund is not None
    proof = judge_refund(zombie, made.refund)
    assert await settle(world.engine, REFUND, [Settlement(zombie, proof, made)], world.settings)
    await assert_given_back_once(world, promise, asked, 500)
    assert not await settle(world.engine, REFUND, [Settlement(holder, unknown, lost)], world.settings)
    assert not await settle(world.engine, REFUND, [Settlement(holder, proof, made)], world.settings)
    await assert_given_back_once(world, promise, asked, 500)


async def test_a_refusal_by_a_worker_that_was_taken_over_frees_no_amount(world: World) -> None:
    """Only Stripe's object is proof: the holder's own request may have been made meanwhile."""
    promise = await paid(world)
    asked = await ask_refund(world, promise, 500)
    zombie = await opened(world, asked)
    await world.leases_end()
    await opened(world, asked)
    refusal = error(400, "invalid_request_error", code="charge_already_refunded")
    failed = judge_send(REFUND, zombie, refusal)
    assert failed.status == "failed"
    assert not await settle(world.engine, REFUND, [Settlement(zombie, failed, refusal)], world.settings)
    assert await sums(world, promise) == (0, 500, 0)


async def test_a_refund_at_stripe_that_is_not_this_one_is_not_believed(world: World) -> None:
    promise, another = await paid(world), await paid(world)
    asked, theirs = await ask_refund(world, promise, 500), await ask_refund(world, another, 500)
    await world.deliver(theirs)
    held = await opened(world, asked)
    async with StripeGateway(world.settings) as gateway:
        shown = (await gateway.get_refund((await refund(world, theirs))["stripe_refund_id"])).refund
    assert shown is not None
    assert judge_refund(held, shown).refund is None
