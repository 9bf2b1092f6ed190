"""What the customer has not finished is canceled at Stripe, and a success that races outranks it (R12, R23, R25)."""

import pytest

from tests.changes.payments import CUSTOMER, assert_let_go, calls, change, payment
from tests.charges.faults import Passes
from tests.charges.wishes import ask_cancel
from tests.charges.world import Promise, World

CANCEL = {"method": "POST", "path": "/cancel$"}
FAULTS = (
    "drop_before",
    "html_502",
    "rate_limited",
    "conflict_409",
    "executed_reply_lost",
    "cut_body",
    "executed_500",
    "error_500_before",
)


async def asking(world: World) -> Promise:
    """An order that waits for its customer."""
    promise = await world.order(payment_method=CUSTOMER)
    await world.deliver(promise)
    assert await world.status(promise) == "requires_action"
    return promise


async def test_what_waits_for_its_customer_is_canceled_when_its_producer_says_so(world: World) -> None:
    promise = await asking(world)
    await world.deliver(await ask_cancel(world, promise))
    await assert_let_go(world, promise)
    assert world.stripe.truth(str(promise.order_id))["canceled"] == [await payment(world, promise)]


@pytest.mark.parametrize("fault", FAULTS)
async def test_whatever_is_answered_to_a_cancellation_the_payment_is_canceled(world: World, fault: str) -> None:
    promise = await asking(world)
    world.stripe.faults({"fault": fault, "times": 1, **CANCEL})
    await ask_cancel(world, promise)
    await world.work()
    await assert_let_go(world, promise)
    assert world.stripe.fired() == [1]


@pytest.mark.parametrize("faults", [[], ["executed_reply_lost"], ["error_500_before"]])
async def test_a_customer_who_pays_before_the_cancellation_has_paid(world: World, faults: list[str]) -> None:
    promise = await asking(world)
    await ask_cancel(world, promise)
    intent = await payment(world, promise)
    world.stripe.control("POST", f"payment_intents/{intent}/complete_action", {"succeed": True})
    world.stripe.faults(*({"fault": fault, "times": 1, **CANCEL} for fault in faults))
    await world.work()
    await world.assert_charged_once(promise)
    assert (await change(world, promise))["status"] == "refused"


async def test_a_customer_who_fails_before_the_cancellation_is_canceled_all_the_same(world: World) -> None:
    promise = await asking(world)
    await ask_cancel(world, promise)
    intent = await payment(world, promise)
    world.stripe.control("POST", f"payment_intents/{intent}/complete_action", {"succeed": False})
    await world.work()
    await assert_let_go(world, promise)


async def test_a_cancellation_that_was_never_opened_for_a_day_is_sent_all_the_same(
    own_world: World, a_day_passes: Passes
) -> None:
    promise = await asking(own_world)
    await ask_cancel(own_world, promise)
    await a_day_passes(23)
    await own_world.work()
    await assert_let_go(own_world, promise)


async def test_a_cancellation_of_which_nobody_knows_whether_it_ran_is_asked_for_and_tried_again_a_day_later(
    own_world: World, a_day_passes: Passes
) -> None:
    promise = await asking(own_world)
    own_world.stripe.faults({"fault": "drop_before", "times": 1, **CANCEL})
    await own_world.deliver(await ask_cancel(own_world, promise))
    await a_day_passes(22)
    await own_world.work()
    await assert_let_go(own_world, promise)
    assert await calls(own_world, promise) == ["send", "retrieve", "send"]
    assert (await change(own_world, promise))["nth"] == 2, "another key: of the first nobody knows what Stripe saved"
