"""A day passes: an old key is looked up and never posted, and a miss counts only when it is old enough (R17, R18)."""

import pytest

from service.charges.request import payment_intent_request
from service.effects.request import STRIPE_VERSION
from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.marks import Marks
from tests.charges.faults import LIST, Passes, once
from tests.charges.world import World


async def test_a_key_is_not_posted_again_after_20_hours_but_looked_up_and_found(
    own_world: World, a_day_passes: Passes
) -> None:
    world, promise = own_world, await own_world.order()
    world.stripe.faults(once("executed_reply_lost", promise))
    await world.deliver(promise)
    await a_day_passes(25)  # Stripe has forgotten the key: a post would charge again
    await world.work()
    assert await world.calls(promise) == ["send", "lookup"]
    await world.assert_charged_once(promise)


@pytest.mark.slow
async def test_what_was_never_executed_fails_after_24_h_30_and_not_before(
    own_world: World, a_day_passes: Passes
) -> None:
    world, promise = own_world, await own_world.order()
    world.stripe.faults(once("drop_before", promise))
    await world.deliver(promise)
    for hours in (20.5, 3.5, 0.4):  # 20 h 30, 24 h, 24 h 24
        await a_day_passes(hours)
        await world.deliver(promise)
        assert await world.status(promise) == "processing"
    await a_day_passes(0.2)
    await world.deliver(promise)
    assert await world.status(promise) == "failed"
    assert (await world.charge(promise))["failure"]["code"] == "never_executed"
    assert await world.calls(promise) == ["send", *["lookup"] * 4]
    assert world.charges_at_stripe(promise) == 0
    assert await world.row(promise) is None


@pytest.mark.slow
async def test_an_incomplete_listing_says_nothing_even_after_a_day(own_world: World, a_day_passes: Passes) -> None:
    world, promise = own_world, await own_world.order()
    world.stripe.faults(once("drop_before", promise), {"fault": "error_500_before", "saved": False, **LIST})
    await world.deliver(promise)
    await a_day_passes(25)
    await world.deliver(promise)
    assert await world.status(promise) == "processing"
    assert (await world.answers(promise))[-1] == "0 found, inconclusive listing"
    world.stripe.calm()
    await world.work()
    assert await world.status(promise) == "failed"


@pytest.mark.slow
async def test_a_saved_500_is_asked_for_once_more_then_only_looked_up_until_it_counts(
    own_world: World, a_day_passes: Passes
) -> None:
    world, promise = own_world, await own_world.order()
    world.stripe.faults(once("error_500_before", promise))
    for _ in range(5):
        await world.deliver(promise)
    assert await world.calls(promise) == ["send", "lookup", "send", "lookup", "lookup"]
    await a_day_passes(25)
    await world.work()
    assert await world.status(promise) == "failed"
    assert world.charges_at_stripe(promise) == 0


async def test_an_order_from_a_restored_backup_that_was_paid_in_the_life_before_is_found(
    own_world: World, a_day_passes: Passes
) -> None:
    world, promise = own_world, await own_world.order()
    request = payment_intent_request(
        marks=Marks(account_id=promise.account_id, order_id=promise.order_id, attempt=1),
        amount=1999,
        currency="usd",
        payment_method="pm_card_visa",
        customer=None,
        description=None,
        metadata={},
    )
    async with StripeGateway(world.settings) as gateway:  # the life that the backup does not know of
        await gateway.create_payment_intent(request, key=promise.key, version=STRIPE_VERSION)
    await a_day_passes(25)
    await world.work()
    assert await world.calls(promise) == ["lookup"]
    await world.assert_charged_once(promise)


async def test_an_old_order_that_stripe_has_never_seen_is_charged_after_the_look_up(
    own_world: World, a_day_passes: Passes
) -> None:
    world, promise = own_world, await own_world.order()
    await a_day_passes(30)
    await world.work()
    assert await world.calls(promise) == ["lookup", "send"]
    await world.assert_charged_once(promise)


@pytest.mark.slow
async def test_a_payment_of_this_attempt_over_another_amount_is_not_called_a_miss(
    own_world: World, a_day_passes: Passes
) -> None:
    world, promise = own_world, await own_world.order()
    world.stripe.faults(once("drop_before", promise))
    await world.deliver(promise)
    stored = (await world.charge(promise))["request"]
    async with StripeGateway(world.settings) as gateway:
        other = await gateway.create_payment_intent(
            stored | {"amount": 2000}, key="another", version="2026-10-28.endive"
        )
    assert other.intent is not None
    await a_day_passes(25)
    await world.deliver(promise)
    assert await world.status(promise) == "processing", "Stripe has taken money for it: that is no 'never executed'"
    await a_day_passes(2)
    await world.deliver(promise)
    assert (await world.open_row(promise))["parked_at"] is not None
