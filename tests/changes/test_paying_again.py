"""Another attempt after a definitive decline: the payment before is canceled first, and its late success wins (R25)."""

import asyncio

import pytest

from service import outbox
from service.charges.ending import fail_by_hand
from service.stripe_gateway import paths
from tests.changes.payments import DECLINED, change, declined, order, past_us, payment, truth
from tests.charges.faults import Passes, once
from tests.charges.wishes import ask_pay
from tests.charges.world import POST, Promise, World
from tests.operators import OPERATOR

CANCEL = {"method": "POST", "path": "/cancel$"}


async def assert_paid_by(world: World, promise: Promise, attempt: int) -> None:
    """By this attempt alone, once, and nothing left to do."""
    assert await world.status(promise) == "paid"
    seen = truth(world, promise)
    assert [(a["attempt"], a["charges"]) for a in seen["attempts"]] == [(str(attempt), 1)]
    (entry,) = await world.entries(promise)
    assert entry["reference"] == f"charge:{(await world.charge(promise, attempt))['stripe_charge_id']}"
    assert (await order(world, promise))["payment_intent_id"] == await payment(world, promise, attempt)
    assert (await order(world, promise))["failure"] is None
    assert await world.row_of(promise.order_id) is None
    await world.balanced()


async def test_before_the_next_attempt_is_sent_the_payment_before_is_canceled(world: World) -> None:
    promise = await declined(world)
    asked = await ask_pay(world, promise)
    assert not await world.all("SELECT id FROM outbox WHERE kind = 'charge' AND order_id = :id", id=promise.order_id)
    await world.deliver(asked)
    assert truth(world, promise)["canceled"] == [await payment(world, promise)]
    assert truth(world, promise)["charges"] == 0, "nothing was sent meanwhile"
    assert await world.status(promise) == "processing"
    await world.work()
    await assert_paid_by(world, promise, 2)
    first, second = await world.charge(promise, 1), await world.charge(promise, 2)
    assert first["status"] == "declined", "what was an end stays one"
    assert second["idempotency_key"].startswith("eo1:"), "never a readable suffix (R1)"
    assert second["request"]["payment_method"] == "pm_card_visa"


async def test_each_attempt_may_be_declined_and_the_next_one_pays(world: World) -> None:
    promise = await declined(world)
    await ask_pay(world, promise, DECLINED)
    await world.work()
    assert await world.status(promise) == "failed"
    await ask_pay(world, promise)
    await world.work()
    await assert_paid_by(world, promise, 3)
    assert len({(await world.charge(promise, n))["idempotency_key"] for n in (1, 2, 3)}) == 3


@pytest.mark.parametrize("fault", ["executed_reply_lost", "executed_500", "drop_before", "error_500_before"])
async def test_whatever_is_answered_to_the_cancellation_before_the_next_attempt_pays_once(
    world: World, fault: str
) -> None:
    promise = await declined(world)
    world.stripe.faults({"fault": fault, "times": 1, **CANCEL})
    await ask_pay(world, promise)
    await world.work()
    await assert_paid_by(world, promise, 2)
    assert len(truth(world, promise)["canceled"]) == 1


@pytest.mark.parametrize("when", ["before the cancellation", "before its answer is asked for"])
async def test_a_late_success_of_the_first_attempt_wins_and_the_next_one_is_never_sent(world: World, when: str) -> None:
    """Its customer pays the first PaymentIntent with another card, at Stripe."""
    promise = await declined(world)
    asked = await ask_pay(world, promise)
    if when == "before its answer is asked for":
        world.stripe.faults({"fault": "error_500_before", "times": 1, **CANCEL})
        await world.deliver(asked)
    await past_us(world, promise, _confirm, {"payment_method": "pm_card_visa"})
    await world.work()
    await assert_paid_by(world, promise, 1)
    assert (await change(world, promise))["status"] == "refused"
    assert len(await world.all("SELECT id FROM charges WHERE order_id = :id", id=promise.order_id)) == 1


async def test_an_attempt_that_was_never_executed_is_made_again_under_the_same_key(
    own_world: World, a_day_passes: Passes
) -> None:
    """The same number and key: had it been executed after all, a second key would charge again."""
    world, promise = own_world, await own_world.order()
    world.stripe.faults(once("drop_before", promise))
    await world.deliver(promise)
    await a_day_passes(24.6)
    await world.deliver(promise)
    first = await world.charge(promise)
    assert (await world.status(promise), first["failure"]["code"]) == ("failed", "never_executed")
    await ask_pay(world, promise, "pm_card_mastercard")
    await world.work()
    again = await world.charge(promise)
    assert (again["id"], again["idempotency_key"]) == (first["id"], first["idempotency_key"])
    assert again["request"]["payment_method"] == "pm_card_mastercard", "it is built anew: nothing of it ever ran"
    await assert_paid_by(world, promise, 1)
    assert await world.changes(promise) == [], "there was nothing to cancel"


async def test_a_refused_card_that_made_no_payment_is_followed_by_the_next_attempt_at_once(world: World) -> None:
    promise = await world.order(payment_method="pm_nobody_has_this")
    await world.work()
    assert (await world.charge(promise))["payment_intent_id"] is None
    assert await world.status(promise) == "failed"
    await ask_pay(world, promise)
    await world.work()
    await assert_paid_by(world, promise, 2)
    assert await world.changes(promise) == []


async def test_two_workers_that_pay_again_charge_once(world: World) -> None:
    promise = await declined(world)
    asked = await ask_pay(world, promise)
    workers = [await world.worker() for _ in range(3)]
    await asyncio.gather(*(world.deliver(asked, worker=worker) for worker in workers))
    await world.work()
    await assert_paid_by(world, promise, 2)


async def test_a_lost_reply_to_the_second_attempt_is_asked_for_under_its_own_key(world: World) -> None:
    promise = await declined(world)
    await world.deliver(await ask_pay(world, promise))
    world.stripe.faults({"fault": "executed_reply_lost", "times": 1, **POST, "metadata_order": str(promise.order_id)})
    await world.work()
    await assert_paid_by(world, promise, 2)


def _confirm(intent_id: str) -> str:
    return f"{paths.payment_intent(intent_id)}/confirm"


async def test_a_cancellation_that_waits_for_a_human_can_be_ended_by_one(world: World) -> None:
    """Stripe does not cancel the declined payment, so the next attempt is never sent; the order must have an end."""
    promise = await declined(world)
    asked = await ask_pay(world, promise)
    await outbox.park(world.engine, asked.outbox_id, "unfinished: Stripe does not do it", who=OPERATOR)
    await fail_by_hand(world.engine, promise.order_id, "not wanted any more", who=OPERATOR)
    assert await world.status(promise) == "failed"
    assert (await change(world, promise))["status"] == "refused"
    assert await world.row_of(promise.order_id) is None
    assert truth(world, promise)["charges"] == 0
