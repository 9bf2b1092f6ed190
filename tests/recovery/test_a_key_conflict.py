"""Stripe has the key for another request: it is looked up, and never posted again, by nobody (R32)."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from service import orders, outbox
from service.charges.ending import fail_by_hand
from service.effects.parking import KEY_AT_STRIPE
from service.foundation.errors import Misconfigured, NotFound
from service.stripe_gateway.client import StripeGateway
from tests.charges.world import Promise, World
from tests.operators import OPERATOR
from tests.recovery.forgetting import Forgotten, charges_of, forgotten, fresh_key

pytestmark = pytest.mark.slow

Passes = Callable[[float], Awaitable[None]]
LIST = {"method": "GET", "path": "^/v1/payment_intents$"}


async def repeat_of(world: World, lost: Forgotten, **changes: object) -> Promise:
    """The producer's repeat, in a database that believes to remember everything."""
    placed = await lost.repeated(world, **changes)
    row = await world.row_of(UUID(placed.order.id))
    assert row is not None
    return Promise(UUID(placed.order.id), row["id"], lost.marks.account_id, lost.key)


async def used_elsewhere(world: World, key: str) -> None:
    """Another system has used the key at our Stripe account."""
    async with StripeGateway(world.settings) as gateway:
        request = {"amount": 4200, "currency": "usd"}
        assert (await gateway.create_payment_intent(request, key=key, version="2026-10-28.endive")).http_status == 200


async def test_the_payment_of_the_same_request_is_this_orders_and_both_ids_find_it(remembering: World) -> None:
    world, lost = remembering, await forgotten(remembering, fresh_key())
    intent = await lost.sent(world)
    promise = await repeat_of(world, lost)
    await world.work()
    assert await world.calls(promise) == ["send", "lookup"]
    assert charges_of(world, lost.marks.order_id, promise.order_id) == 1
    for order_id in (lost.marks.order_id, promise.order_id):
        order = await orders.get(world.engine, promise.account_id, order_id)
        assert (order.status, order.payment_intent) == ("paid", intent)
    await world.balanced()


@pytest.mark.parametrize("hours", [0, 25, 200])
async def test_a_key_used_by_another_system_is_parked_and_no_retry_ever_posts_it(
    own_world: World, a_day_passes: Passes, hours: int
) -> None:
    world, promise = own_world, await own_world.order(fresh_key())
    await used_elsewhere(world, promise.key)
    await world.work()
    assert (await world.open_row(promise))["last_error"] == KEY_AT_STRIPE
    if hours:
        await a_day_passes(hours)
    assert await outbox.retry(world.engine, who=OPERATOR) == [promise.outbox_id]
    await world.work()
    assert (await world.open_row(promise))["last_error"] == KEY_AT_STRIPE
    assert await world.calls(promise) == ["send", "lookup", "lookup"]
    assert world.charges_at_stripe(promise) == 0


async def test_the_payment_of_another_request_is_not_taken_for_this_orders(remembering: World) -> None:
    world, lost = remembering, await forgotten(remembering, fresh_key())
    await lost.sent(world)
    promise = await repeat_of(world, lost, amount=2500)
    await world.work()
    assert (await world.open_row(promise))["last_error"] == KEY_AT_STRIPE
    assert charges_of(world, lost.marks.order_id, promise.order_id) == 1


async def test_an_incomplete_listing_parks_nothing_and_posts_nothing(remembering: World) -> None:
    world, promise = remembering, await remembering.order(fresh_key())
    await used_elsewhere(world, promise.key)
    world.stripe.faults({"fault": "unauthorized_401", **LIST, "times": 1})
    await world.work()
    assert await world.calls(promise) == ["send", "lookup", "lookup"]
    assert (await world.open_row(promise))["last_error"] == KEY_AT_STRIPE


async def test_a_human_ends_a_parked_order_and_its_key_is_not_posted_any_more(remembering: World) -> None:
    world, promise = remembering, await remembering.order(fresh_key())
    await used_elsewhere(world, promise.key)
    with pytest.raises(NotFound, match="no parked row"):
        await fail_by_hand(world.engine, promise.order_id, "another system has used the key", who=OPERATOR)
    await world.work()
    await fail_by_hand(world.engine, promise.order_id, "another system has used the key", who=OPERATOR)
    order = await orders.get(world.engine, promise.account_id, promise.order_id)
    assert order.status == "failed"
    assert order.failure is not None
    assert (order.failure.code, order.failure.message) == ("failed_by_operator", "another system has used the key")
    assert await world.row(promise) is None
    await world.deliver(promise)
    assert await world.calls(promise) == ["send", "lookup"]


async def test_an_order_whose_payment_may_still_be_made_is_not_ended_by_hand(remembering: World) -> None:
    world, promise = remembering, await remembering.order(payment_method="pm_card_threeDSecureRequired")
    await world.deliver(promise)
    await outbox.park(world.engine, promise.outbox_id, "by hand", who=OPERATOR)
    with pytest.raises(Misconfigured, match="may still take the money"):
        await fail_by_hand(world.engine, promise.order_id, "enough", who=OPERATOR)
    assert await world.status(promise) == "requires_action"
