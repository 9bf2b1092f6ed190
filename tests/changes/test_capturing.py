"""What is held is taken once, in whole or in part, whatever dies (R37)."""

import asyncio
from typing import Any

import pytest
from stripe.params import PaymentIntentCancelParams, PaymentIntentCaptureParams

from service.effects import STRIPE_VERSION, Effect, Outcome, judge_send
from service.foundation.errors import Conflict
from service.stripe_gateway import paths
from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.objects import Answer
from tests.changes.payments import (
    assert_captured_once,
    assert_let_go,
    authorized,
    calls,
    change,
    order,
    past_us,
    payment,
    truth,
)
from tests.charges.faults import Passes
from tests.charges.wishes import ask_cancel, ask_capture
from tests.charges.world import World
from workers.effects import kind_of

CAPTURE = {"method": "POST", "path": "/capture$"}
NOT_EXECUTED = ("drop_before", "html_502", "rate_limited", "conflict_409", "lock_timeout")
EXECUTED = ("executed_reply_lost", "cut_body", "html_502_executed", "executed_500", "no_request_id", "wrong_amount")


def once(fault: str, **how: Any) -> dict[str, Any]:
    """A rule that strikes the next capture, once."""
    return {"fault": fault, "times": 1, **CAPTURE, **how}


async def test_money_is_held_first_and_nothing_is_booked_of_it(world: World) -> None:
    promise = await authorized(world)
    assert truth(world, promise)["held"] == {"usd": 1999}
    assert world.charges_at_stripe(promise) == 0
    assert await world.entries(promise) == []
    assert await world.row(promise) is not None, "somebody comes back to see what becomes of it"


@pytest.mark.parametrize("amount", [None, 1999, 1200, 1])
async def test_what_is_held_is_taken_once_and_the_rest_is_let_go(world: World, amount: int | None) -> None:
    promise = await authorized(world)
    await world.deliver(await ask_capture(world, promise, amount))
    await assert_captured_once(world, promise, amount or 1999)
    assert truth(world, promise)["released"] == ({"usd": 1999 - amount} if amount and amount < 1999 else {})
    row = await order(world, promise)
    assert row["amount_captured_minor"] == (amount if amount and amount < 1999 else None), "null: all of it"
    assert (await change(world, promise))["status"] == "done"


async def test_a_capture_is_booked_at_the_moment_of_its_balance_transaction(
    own_world: World, a_day_passes: Passes
) -> None:
    """Not at that of the authorization, three days before: yesterday's balance is closed."""
    promise = await authorized(own_world)
    await a_day_passes(72)
    await own_world.deliver(await ask_capture(own_world, promise))
    await assert_captured_once(own_world, promise, 1999)
    (entry,) = await own_world.entries(promise)
    charge = await own_world.charge(promise)
    assert entry["occurred_at"] == charge["charged_at"]
    assert (charge["charged_at"] - charge["stripe_created"]).total_seconds() > 71 * 3600


@pytest.mark.parametrize("fault", [*NOT_EXECUTED, *EXECUTED])
async def test_whatever_is_answered_to_a_capture_the_money_is_taken_once(world: World, fault: str) -> None:
    promise = await authorized(world)
    world.stripe.faults(once(fault))
    await ask_capture(world, promise, 1200)
    await world.work()
    await assert_captured_once(world, promise, 1200)
    assert world.stripe.fired() == [1]


async def test_a_lost_reply_to_a_capture_is_asked_for_under_the_same_key(world: World) -> None:
    promise = await authorized(world)
    world.stripe.faults(once("executed_reply_lost"))
    asked = await ask_capture(world, promise)
    await world.deliver(asked)
    first = await change(world, promise)
    assert (first["status"], first["maybe_executed"]) == ("sending", True)
    await world.deliver(asked)
    again = await change(world, promise)
    assert (again["idempotency_key"], again["request"], again["nth"]) == (first["idempotency_key"], first["request"], 1)
    assert await calls(world, promise) == ["send", "send"]
    await world.work()  # a replay does not tell when the money was taken, so the payment is asked for
    await assert_captured_once(world, promise, 1999)


async def test_a_refused_capture_is_tried_again_under_another_key(world: World) -> None:
    """Stripe saves a refusal and replays it for a day: with the same key nothing would ever be taken (R37)."""
    promise = await authorized(world)
    world.stripe.faults(once("error_500_before", saved=True))
    await ask_capture(world, promise)
    await world.work()
    await assert_captured_once(world, promise, 1999)
    assert (await change(world, promise))["nth"] == 2
    assert await calls(world, promise) == ["send", "retrieve", "send"]


async def test_a_capture_whose_key_stripe_has_for_another_is_sent_under_the_next_one(world: World) -> None:
    """A life that this database forgot has used the key: Stripe refused it, and remembers that (R31, R32)."""
    promise = await authorized(world)
    asked = await ask_capture(world, promise, 1200)
    (forgotten,) = await world.open_effects(asked)
    await world.leases_end()
    async with StripeGateway(world.settings) as gateway:
        refused = await gateway.post(
            paths.capture(await payment(world, promise)),
            {"amount_to_capture": 5000},
            key=forgotten.idempotency_key,
            version=STRIPE_VERSION,
        )
    assert refused.http_status == 400
    await world.run("UPDATE changes SET maybe_executed = false, first_sent_at = NULL, last_sent_at = NULL")
    for _ in range(3):  # refused, asked for, sent
        await world.deliver(asked)
    await assert_captured_once(world, promise, 1200)
    assert (await change(world, promise))["nth"] == 2
    assert (await change(world, promise))["key_conflict"] is False


async def test_a_capture_that_outlives_its_key_asks_for_the_payment(own_world: World, a_day_passes: Passes) -> None:
    promise = await authorized(own_world)
    own_world.stripe.faults(once("executed_reply_lost"))
    await own_world.deliver(await ask_capture(own_world, promise))
    await a_day_passes(25)
    await own_world.work()
    await assert_captured_once(own_world, promise, 1999)
    assert await calls(own_world, promise) == ["send", "retrieve"]


async def test_two_workers_take_what_is_held_once(world: World) -> None:
    promise = await authorized(world)
    asked = await ask_capture(world, promise, 700)
    world.stripe.faults(once("stall", stall_s=0.3, then="answer"))
    first, second = await world.worker(), await world.worker()
    delivering = asyncio.create_task(world.deliver(asked, worker=first))
    while (await change(world, promise))["status"] == "pending":
        await asyncio.sleep(0.002)
    await world.leases_end()
    await world.deliver(asked, worker=second)
    await delivering
    await world.work()
    await assert_captured_once(world, promise, 700)


async def test_a_worker_that_was_taken_over_changes_nothing_but_its_proof_counts(world: World) -> None:
    """R21: the change is settled by its token alone, and the charge by Stripe's object, whoever shows it."""
    promise = await authorized(world)
    asked = await ask_capture(world, promise)
    (zombie,) = await world.open_effects(asked)
    await world.leases_end()
    (holder,) = await world.open_effects(asked)
    answer = await past_us(world, promise, paths.capture, holder.request)
    assert not await world.settle(zombie, _judged(zombie, answer), answer=answer)
    assert (await change(world, promise))["status"] == "sending", "it may not settle the change"
    assert await world.status(promise) == "paid", "Stripe has taken the money"
    assert await world.settle(holder, _judged(holder, answer), answer=answer)
    await assert_captured_once(world, promise, 1999)


async def test_a_capture_that_somebody_made_at_stripe_is_ours_all_the_same(world: World) -> None:
    promise = await authorized(world)
    await past_us(world, promise, paths.capture, {"amount_to_capture": 900})
    await ask_capture(world, promise, 1999)
    await world.work()
    await assert_captured_once(world, promise, 900)


async def test_a_capture_of_what_was_let_go_at_stripe_ends_and_the_order_follows_stripe(world: World) -> None:
    promise = await authorized(world)
    await past_us(world, promise, paths.cancel, {"cancellation_reason": "fraudulent"})
    await ask_capture(world, promise)
    await world.work()
    await assert_let_go(world, promise)
    assert (await change(world, promise))["status"] == "refused"


async def test_a_reason_of_ours_that_somebody_gives_at_stripe_declines_nothing(world: World) -> None:
    """`duplicate` is what a declined attempt is canceled for before the next one; the dashboard offers it, too."""
    promise = await authorized(world)
    await past_us(world, promise, paths.cancel, {"cancellation_reason": "duplicate"})
    await ask_cancel(world, promise)
    await world.work()
    await assert_let_go(world, promise)


async def test_an_authorization_that_ends_at_stripe_makes_the_order_canceled(
    own_world: World, a_day_passes: Passes
) -> None:
    promise = await authorized(own_world)
    await a_day_passes(24 * 6.9)
    await own_world.deliver(promise)
    assert await own_world.status(promise) == "authorized"
    await a_day_passes(24 * 0.2)
    await own_world.deliver(promise)
    await assert_let_go(own_world, promise)


async def test_a_capture_that_meets_the_end_of_the_authorization_takes_nothing(
    own_world: World, a_day_passes: Passes
) -> None:
    promise = await authorized(own_world)
    await ask_capture(own_world, promise)
    await a_day_passes(24 * 7.1)
    await own_world.work()
    await assert_let_go(own_world, promise)


async def test_what_is_held_is_let_go(world: World) -> None:
    promise = await authorized(world)
    await world.deliver(await ask_cancel(world, promise))
    await assert_let_go(world, promise)
    assert truth(world, promise)["released"] == {"usd": 1999}
    assert (await change(world, promise))["request"] == {"cancellation_reason": "requested_by_customer"}


async def test_the_sdk_knows_each_parameter_of_a_capture_and_of_a_cancellation(world: World) -> None:
    taken, let_go = await authorized(world), await authorized(world)
    await world.deliver(await ask_capture(world, taken, 1200), await ask_cancel(world, let_go))
    capture, cancel = (await change(world, taken))["request"], (await change(world, let_go))["request"]
    assert capture == {"expand": ["latest_charge.balance_transaction"], "amount_to_capture": 1200}
    assert capture.keys() <= PaymentIntentCaptureParams.__annotations__.keys()
    assert cancel.keys() <= PaymentIntentCancelParams.__annotations__.keys()
    reasons = str(PaymentIntentCancelParams.__annotations__["cancellation_reason"])
    assert all(f"'{reason}'" in reasons for reason in ("requested_by_customer", "abandoned", "duplicate"))


async def test_no_second_change_is_begun_while_one_is_under_way(world: World) -> None:
    promise = await authorized(world)
    await ask_capture(world, promise)
    with pytest.raises(Conflict, match="its capture is under way"):
        await ask_cancel(world, promise)


async def test_an_authorization_that_nobody_takes_is_asked_for_rarely_and_writes_nothing(world: World) -> None:
    promise = await authorized(world)
    before = await world.charge(promise)
    await world.deliver(promise)
    first = await world.charge(promise)
    await world.deliver(promise)
    after = await world.charge(promise)
    assert after["history"] == first["history"]
    assert (after["polls"], after["token"]) == (before["polls"] + 1, None)
    assert (await world.open_row(promise))["parked_at"] is None


def _judged(effect: Effect, answer: Answer) -> Outcome:
    return judge_send(kind_of(effect), effect, answer)
