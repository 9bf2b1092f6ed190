"""A refund pends, is refused, is canceled, or fails long after it succeeded: all is stored, booked and counted."""

from dataclasses import replace
from datetime import timedelta

import pytest
from msgspec.structs import replace as replace_field

from service import outbox
from service.effects import Rules, Settlement, settle
from service.effects.patience import with_an_end
from service.refunds import REFUND, OpenRefund, judge_refund
from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.objects import Answer
from tests.charges.wishes import Asked, ask_refund
from tests.charges.world import World
from tests.operators import OPERATOR
from tests.refunds.giving_back import (
    ASKS,
    FAILS_LATER,
    PENDS,
    assert_given_back_once,
    booked,
    calls,
    given_back,
    opened,
    paid,
    refund,
    sums,
)

# The books of an order of 19.99 whose customer is owed 5.00.
OWED = {
    "assets:stripe:balance": 1999,
    "revenue:orders": -1999,
    "contra:refunds": 500,
    "liabilities:refunds_payable": -500,
}


async def end(world: World, asked: Asked, status: str, reason: str | None = None) -> None:
    """The refund ends so at Stripe."""
    stripe_id = (await refund(world, asked))["stripe_refund_id"]
    world.stripe.control("POST", f"refunds/{stripe_id}/end", {"status": status, "failure_reason": reason})


async def told(world: World, held: OpenRefund, asked: Asked) -> bool:
    """Somebody without a token has asked Stripe for it, and settles what it shows; whether that changed anything."""
    async with StripeGateway(world.settings) as gateway:
        answer = await gateway.get_refund((await refund(world, asked))["stripe_refund_id"])
    assert answer.refund is not None
    outcome = judge_refund(held, answer.refund)
    return bool(await settle(world.engine, REFUND, [Settlement(held, outcome, answer)], world.settings))


async def test_a_refund_that_has_its_id_is_never_another_one(world: World) -> None:
    promise = await paid(world)
    held = await opened(world, asked := await ask_refund(world, promise, 500))
    async with StripeGateway(world.settings) as gateway:
        answer = await REFUND.send(gateway, held)
    assert answer.refund is not None
    assert await settle(
        world.engine, REFUND, [Settlement(held, judge_refund(held, answer.refund), answer)], world.settings
    )
    another = replace_field(answer.refund, id="re_another", status="failed", balance_transaction=None)
    failed = Settlement(held, judge_refund(held, another), Answer(http_status=200, refund=another))
    assert failed.outcome.status == "failed"
    assert not await settle(world.engine, REFUND, [failed], world.settings)
    await assert_given_back_once(world, promise, asked, 500)


async def test_a_refund_that_pends_is_promised_in_the_books_and_followed_to_its_end(world: World) -> None:
    promise = await paid(world, payment_method=PENDS)
    await world.deliver(asked := await ask_refund(world, promise, 500))
    row = await refund(world, asked)
    assert (row["status"], row["next_call"], row["failure"]) == ("processing", "retrieve", None)
    assert row["stripe_refund_id"] is not None
    assert await sums(world, promise) == (0, 500, 0)
    assert await world.row(asked) is not None
    await end(world, asked, "succeeded")
    await world.deliver(asked)
    await assert_given_back_once(world, promise, asked, 500)
    assert await calls(world, asked) == ["send", "retrieve"]


async def test_a_refund_whose_balance_is_short_is_a_promise_until_there_is_enough(own_world: World) -> None:
    promise = await paid(own_world)
    own_world.stripe.control("POST", "balance", {"currency": "usd", "available": 0})
    await own_world.deliver(asked := await ask_refund(own_world, promise, 500))
    assert (await refund(own_world, asked))["status"] == "processing"
    assert await booked(own_world, promise) == OWED
    own_world.stripe.control("POST", "balance", {"currency": "usd", "available": None})
    await own_world.deliver(asked)
    await assert_given_back_once(own_world, promise, asked, 500)


async def test_a_question_about_a_refund_that_brings_no_news_writes_no_history(world: World) -> None:
    promise = await paid(world, payment_method=ASKS)
    await world.deliver(asked := await ask_refund(world, promise, 500))
    await world.deliver(asked)
    before = await refund(world, asked)
    await world.deliver(asked)
    after = await refund(world, asked)
    assert (after["history"], after["polls"]) == (before["history"], before["polls"] + 1)
    assert (await world.open_row(asked))["parked_at"] is None


async def test_a_refund_that_nobody_ends_is_given_to_a_human_after_a_month(world: World) -> None:
    promise = await paid(world, payment_method=ASKS)
    await world.deliver(asked := await ask_refund(world, promise, 500))
    held, rules = await opened(world, asked), Rules.of(world.settings)
    async with StripeGateway(world.settings) as gateway:
        answer, outcome = await REFUND.retrieve(gateway, held)
    later = [replace(held, opened_at=held.opened_at + timedelta(days=days)) for days in (30.9, 31.1)]
    assert [with_an_end(one, outcome, rules).parked for one in later] == [
        None,
        "unfinished: still pending at Stripe (requires_action)",
    ]
    await settle(world.engine, REFUND, [Settlement(later[1], outcome, answer)], world.settings)
    assert (await world.open_row(asked))["parked_at"] is not None
    assert await sums(world, promise) == (0, 500, 0), "it is not over"
    await end(world, asked, "succeeded")
    await outbox.retry(world.engine, [asked.outbox_id], who=OPERATOR)
    await world.work()
    await assert_given_back_once(world, promise, asked, 500)


async def test_a_refund_that_fails_days_later_is_settled_from_what_stripe_shows_and_its_customer_is_owed(
    world: World,
) -> None:
    promise = await paid(world, payment_method=FAILS_LATER)
    asked = await ask_refund(world, promise, 500)
    held = await opened(world, asked)
    await world.leases_end()
    await world.deliver(asked)
    await assert_given_back_once(world, promise, asked, 500)
    await end(world, asked, "failed", "expired_or_canceled_card")
    assert await told(world, held, asked), "proof needs no token (R21)"
    row = await refund(world, asked)
    assert (row["status"], row["failure"]["code"]) == ("failed", "expired_or_canceled_card")
    assert row["failure_transaction_id"] is not None
    assert await sums(world, promise) == (0, 0, 500)
    assert given_back(world, promise) == (0, 0)
    assert await booked(world, promise) == OWED
    assert not await told(world, held, asked), "and told twice it changes nothing"
    assert await sums(world, promise) == (0, 0, 500)
    await world.balanced()


@pytest.mark.parametrize("next_amount", [300, 500, 800])
async def test_what_a_failed_refund_left_owed_is_drawn_down_by_the_next_one(world: World, next_amount: int) -> None:
    promise = await paid(world, payment_method=FAILS_LATER)
    asked = await ask_refund(world, promise, 500)
    held = await opened(world, asked)
    await world.leases_end()
    await world.deliver(asked)
    await end(world, asked, "failed")
    await told(world, held, asked)
    await world.deliver(again := await ask_refund(world, promise, next_amount))
    row, drawn = await refund(world, again), min(next_amount, 500)
    assert (row["status"], row["drawn_minor"]) == ("succeeded", drawn)
    assert await sums(world, promise) == (next_amount, 0, 500 - drawn)
    balances = await booked(world, promise)
    assert balances["contra:refunds"] == 500 + next_amount - drawn, "promised once, however often it is tried"
    assert balances["assets:stripe:balance"] == 1999 - next_amount
    assert balances.get("liabilities:refunds_payable", 0) == drawn - 500
    await world.balanced()


async def test_a_refund_that_fails_before_the_money_left_is_owed_too(own_world: World) -> None:
    promise = await paid(own_world)
    own_world.stripe.control("POST", "balance", {"currency": "usd", "available": 0})
    await own_world.deliver(asked := await ask_refund(own_world, promise, 500))
    await end(own_world, asked, "failed")
    await own_world.deliver(asked)
    assert (await refund(own_world, asked))["status"] == "failed"
    assert await sums(own_world, promise) == (0, 0, 500)
    assert await booked(own_world, promise) == OWED
    await own_world.balanced()


async def test_a_second_refund_that_fails_leaves_owed_what_was_owed_before(world: World) -> None:
    promise = await paid(world, payment_method=FAILS_LATER)
    for _ in range(2):
        asked = await ask_refund(world, promise, 500)
        held = await opened(world, asked)
        await world.leases_end()
        await world.deliver(asked)
        assert await sums(world, promise) == (500, 0, 0)
        await end(world, asked, "failed")
        assert await told(world, held, asked)
        assert await sums(world, promise) == (0, 0, 500)
        assert await booked(world, promise) == OWED
    await world.balanced()


async def test_two_refunds_at_once_draw_down_what_is_owed_once(world: World) -> None:
    promise = await paid(world, payment_method=FAILS_LATER)
    asked = await ask_refund(world, promise, 500)
    held = await opened(world, asked)
    await world.leases_end()
    await world.deliver(asked)
    await end(world, asked, "failed")
    await told(world, held, asked)
    both = [await ask_refund(world, promise, 400), await ask_refund(world, promise, 400)]
    await world.deliver(*both)
    assert sorted([(await refund(world, one))["drawn_minor"] for one in both]) == [100, 400]
    assert await sums(world, promise) == (800, 0, 0)
    assert (await booked(world, promise))["contra:refunds"] == 800
    await world.balanced()


async def test_a_canceled_refund_is_owed_and_counted_no_more_as_under_way(world: World) -> None:
    promise = await paid(world, payment_method=ASKS)
    await world.deliver(asked := await ask_refund(world, promise, 500))
    await end(world, asked, "canceled")
    await world.deliver(asked)
    assert (await refund(world, asked))["status"] == "canceled"
    assert await sums(world, promise) == (0, 0, 500)
    assert await world.row(asked) is None
    assert (await booked(world, promise))["liabilities:refunds_payable"] == -500
    await world.balanced()


async def test_a_refund_of_what_somebody_gave_back_at_stripe_is_refused_and_owes_nothing(world: World) -> None:
    promise = await paid(world)
    async with StripeGateway(world.settings) as gateway:
        made = await gateway.post(
            "/v1/refunds",
            {"payment_intent": (await world.charge(promise))["payment_intent_id"]},
            key=f"past us:{promise.key}",
            version="2026-10-28.endive",
        )
    assert made.http_status == 200
    await world.deliver(asked := await ask_refund(world, promise, 500))
    row = await refund(world, asked)
    assert (row["status"], row["failure"]["code"]) == ("failed", "charge_already_refunded")
    assert await sums(world, promise) == (0, 0, 0)
    assert await world.row(asked) is None
    assert [e["kind"] for e in await world.entries(promise)] == ["charge"], "nothing of it moved"


async def test_a_refund_of_more_than_stripe_has_left_is_refused_and_frees_its_amount(world: World) -> None:
    promise = await paid(world)
    async with StripeGateway(world.settings) as gateway:
        await gateway.post(
            "/v1/refunds",
            {"payment_intent": (await world.charge(promise))["payment_intent_id"], "amount": 1500},
            key=f"past us:{promise.key}",
            version="2026-10-28.endive",
        )
    await world.deliver(asked := await ask_refund(world, promise, 500))
    assert (await refund(world, asked))["status"] == "failed"
    assert await sums(world, promise) == (0, 0, 0)
    await world.deliver(less := await ask_refund(world, promise, 499))
    assert (await refund(world, less))["status"] == "succeeded"
