"""A refund that Stripe does not take now: its balance is short, or our request is odd. No charge waits for that."""

import pytest

from service import outbox
from service.foundation.errors import NotFound
from service.refunds.ending import fail_by_hand
from tests.charges.refusing import RefusingStripe
from tests.charges.wishes import ask_refund
from tests.charges.world import World
from tests.operators import OPERATOR
from tests.refunds.giving_back import (
    assert_given_back_once,
    paid,
    refund,
    sums,
)

SHORT = {"type": "invalid_request_error", "code": "balance_insufficient", "message": "Insufficient funds."}


async def test_a_balance_that_is_too_short_is_a_state_and_no_failure_and_opens_no_breaker(world: World) -> None:
    promise = await paid(world)
    with RefusingStripe(world.stripe.base, error=SHORT, refuses=_a_refund) as refusing:
        worker = await world.worker(stripe_api_base=refusing.base)
        asked = await ask_refund(world, promise, 500)
        for _ in range(3):
            await world.deliver(asked, worker=worker)
        row = await refund(world, asked)
        assert (row["status"], row["failure"], row["maybe_executed"]) == ("processing", None, False)
        assert await sums(world, promise) == (0, 500, 0)
        assert worker.breaker.reason is None
        assert refusing.refused == 3
        refusing.refuses = None
        await world.deliver(asked, worker=worker)
    again = await refund(world, asked)
    assert again["idempotency_key"] == row["idempotency_key"], "one key for ever: no forgotten try is made beside it"
    await assert_given_back_once(world, promise, asked, 500)


async def test_a_short_balance_that_many_refunds_meet_stops_no_charge(world: World) -> None:
    promises = [await paid(world) for _ in range(world.settings.breaker_after + 1)]
    with RefusingStripe(world.stripe.base, error=SHORT, refuses=_a_refund) as refusing:
        worker = await world.worker(stripe_api_base=refusing.base)
        for promise in promises:
            await world.deliver(await ask_refund(world, promise, 500), worker=worker)
        assert refusing.refused == len(promises)
        assert worker.breaker.reason is None
        another = await world.order()
        await world.deliver(another, worker=worker)
    await world.assert_charged_once(another)


FORM = {"type": "invalid_request_error", "code": "parameter_unknown", "param": "expand", "message": "Unknown."}


async def test_a_form_that_is_refused_of_refunds_stops_no_charge(world: World) -> None:
    promise = await paid(world)
    with RefusingStripe(world.stripe.base, error=FORM, refuses=_a_refund) as refusing:
        worker = await world.worker(stripe_api_base=refusing.base)
        await world.deliver(asked := await ask_refund(world, promise, 500), worker=worker)
        assert worker.breaker.reason is None
        await world.deliver(another := await world.order(), worker=worker)
        await world.assert_charged_once(another)
        refusing.refuses = None
        await world.deliver(asked, worker=worker)
    await assert_given_back_once(world, promise, asked, 500)


def _a_refund(method: str, form: str) -> bool:
    return method == "POST" and "payment_intent=" in form


async def test_a_refund_that_waits_for_a_human_can_be_ended_by_one(world: World) -> None:
    """Its amount would else be under way for ever, and could not be given back (R36)."""
    promise = await paid(world)
    asked = await ask_refund(world, promise, 500)
    assert asked.effect is not None
    with pytest.raises(NotFound):
        await fail_by_hand(world.engine, asked.effect, "not wanted", who=OPERATOR)
    await outbox.park(
        world.engine, asked.outbox_id, "key_conflict: Stripe has the key for another request", who=OPERATOR
    )
    await fail_by_hand(world.engine, asked.effect, "not wanted", who=OPERATOR)
    row = await refund(world, asked)
    assert (row["status"], row["failure"]["code"]) == ("failed", "failed_by_operator")
    assert await sums(world, promise) == (0, 0, 0)
    assert await world.row(asked) is None
    await world.deliver(again := await ask_refund(world, promise, 1999))
    assert (await refund(world, again))["status"] == "succeeded"
    await world.balanced()
