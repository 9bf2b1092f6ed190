"""A lost refund is looked up in the list of its payment's refunds, and a miss is no failure (R17, R18, R31, R35)."""

from collections.abc import AsyncIterator, Mapping
from typing import Any
from uuid import UUID, uuid4

import pytest

from service import outbox
from service.stripe_gateway import listings as stripe_gateway
from service.stripe_gateway import paths
from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.objects import Refund
from tests.charges.answers import change
from tests.charges.faults import Passes
from tests.charges.wishes import Asked, ask_refund
from tests.charges.world import World
from tests.operators import OPERATOR
from tests.refunds.giving_back import (
    LIST,
    assert_given_back_once,
    calls,
    given_back,
    once,
    paid,
    refund,
    sums,
)
from workers.lookups import LookUps


async def test_a_refund_that_was_made_and_answered_500_is_found_in_the_list(world: World) -> None:
    promise = await paid(world)
    world.stripe.faults(once("executed_500"))
    asked = await ask_refund(world, promise, 500)
    await world.work()
    assert await calls(world, asked) == ["send", "lookup"]
    await assert_given_back_once(world, promise, asked, 500)


async def test_an_equal_refund_of_the_same_payment_is_not_taken_for_the_lost_one(world: World) -> None:
    promise = await paid(world)
    await world.deliver(await ask_refund(world, promise, 500))
    world.stripe.faults(once("error_500_before"))
    lost = await ask_refund(world, promise, 500)
    for _ in range(3):
        await world.deliver(lost)
    assert (await refund(world, lost))["stripe_refund_id"] is None
    assert await sums(world, promise) == (500, 500, 0)


async def test_a_key_of_a_refund_is_not_posted_again_after_20_hours_but_looked_up(
    own_world: World, a_day_passes: Passes
) -> None:
    promise = await paid(own_world)
    own_world.stripe.faults(once("executed_reply_lost"))
    await own_world.deliver(asked := await ask_refund(own_world, promise, 500))
    await a_day_passes(25)  # Stripe has forgotten the key: a post would give back again
    await own_world.work()
    assert await calls(own_world, asked) == ["send", "lookup"]
    await assert_given_back_once(own_world, promise, asked, 500)


async def test_a_refund_of_which_nothing_ran_is_made_after_24_h_30_and_not_before_under_the_same_key(
    own_world: World, a_day_passes: Passes
) -> None:
    """It is still owed, so it is never called failed by a miss; another key could make a forgotten one twice."""
    promise = await paid(own_world)
    own_world.stripe.faults(once("drop_before"))
    await own_world.deliver(asked := await ask_refund(own_world, promise, 500))
    key = (await refund(own_world, asked))["idempotency_key"]
    for hours in (20.5, 3.5, 0.4):
        await a_day_passes(hours)
        await own_world.deliver(asked)
        assert given_back(own_world, promise) == (0, 0)
        assert await sums(own_world, promise) == (0, 500, 0)
    await a_day_passes(0.2)
    await own_world.work()
    assert await calls(own_world, asked) == ["send", *["lookup"] * 4, "send"]
    assert (await refund(own_world, asked))["idempotency_key"] == key
    await assert_given_back_once(own_world, promise, asked, 500)


async def test_an_incomplete_list_of_refunds_says_nothing_even_after_a_day(
    own_world: World, a_day_passes: Passes
) -> None:
    promise = await paid(own_world)
    own_world.stripe.faults(
        once("executed_reply_lost"),
        {"fault": "error_500_before", "saved": False, **LIST},
    )
    await own_world.deliver(asked := await ask_refund(own_world, promise, 500))
    await a_day_passes(25)
    await own_world.deliver(asked)
    row = await refund(own_world, asked)
    assert (row["status"], row["next_call"]) == ("processing", "lookup")
    own_world.stripe.calm()
    await own_world.work()
    await assert_given_back_once(own_world, promise, asked, 500)


async def test_a_list_of_refunds_that_ends_early_is_no_miss(
    own_world: World, a_day_passes: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R35: the lost one is on the second page, of which Stripe says that there is none."""
    promise = await paid(own_world)
    own_world.stripe.faults(once("executed_reply_lost"))
    await own_world.deliver(lost := await ask_refund(own_world, promise, 500))
    own_world.stripe.control("POST", "age", {"seconds": 2})
    await own_world.deliver(await ask_refund(own_world, promise, 300))
    page, ends_early = StripeGateway._page, [True]

    async def first_page_only(gateway: StripeGateway, path: str, params: Mapping[str, object]) -> Any:
        if ends_early and "starting_after" in params:
            return stripe_gateway._Page([], has_more=False)
        return await page(gateway, path, params)

    monkeypatch.setattr(stripe_gateway, "PAGE", 1)
    monkeypatch.setattr(StripeGateway, "_page", first_page_only)
    await a_day_passes(25)
    await own_world.deliver(lost)
    row = await refund(own_world, lost)
    assert (row["next_call"], row["history"][-1]["answer"]) == ("lookup", "0 found, inconclusive listing")
    ends_early.clear()
    await own_world.work()
    assert await calls(own_world, lost) == ["send", "lookup", "lookup"]
    assert given_back(own_world, promise) == (2, 800)


async def test_a_list_that_does_not_show_a_known_refund_is_no_miss(
    own_world: World, a_day_passes: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    promise = await paid(own_world)
    await own_world.deliver(await ask_refund(own_world, promise, 300))
    own_world.stripe.faults(once("executed_reply_lost"))
    await own_world.deliver(lost := await ask_refund(own_world, promise, 500))
    await a_day_passes(25)
    with monkeypatch.context() as patch:
        patch.setattr(StripeGateway, "list_refunds", lambda *_, **__: _nothing())
        await own_world.deliver(lost)
    assert (await refund(own_world, lost))["history"][-1]["answer"] == "0 found, inconclusive listing"
    await own_world.work()
    assert given_back(own_world, promise) == (2, 800)


async def _nothing() -> AsyncIterator[Refund]:
    nothing: list[Refund] = []
    for one in nothing:
        yield one


async def test_a_refund_of_another_sum_under_the_same_key_is_given_to_a_human_and_never_posted(
    own_world: World, a_day_passes: Passes
) -> None:
    """A life that this database forgot has used the key, and Stripe refuses ours (R31, R32)."""
    promise = await paid(own_world)
    asked = await ask_refund(own_world, promise, 500)
    await _forgotten(own_world, asked, amount=700)
    await own_world.deliver(asked)
    await own_world.deliver(asked)
    row = await own_world.open_row(asked)
    assert row["last_error"] == "key_conflict: Stripe has the key for another request"
    await a_day_passes(25)
    await outbox.retry(own_world.engine, [asked.outbox_id], who=OPERATOR)
    await own_world.deliver(asked)
    assert (await own_world.open_row(asked))["parked_at"] is not None
    assert await calls(own_world, asked) == ["send", "send", "lookup", "lookup"], "no retry posts that key"
    assert given_back(own_world, promise) == (1, 700)


async def test_a_refund_that_was_forgotten_is_found_by_its_producers_key_when_it_is_asked_for_again(
    world: World,
) -> None:
    promise = await paid(world)
    asked = await ask_refund(world, promise, 500)
    await _forgotten(world, asked, amount=500, refund_id=uuid4())
    await world.deliver(asked)
    await world.deliver(asked)
    await assert_given_back_once(world, promise, asked, 500)
    assert await calls(world, asked) == ["send", "send", "lookup"]


async def _forgotten(world: World, asked: Asked, *, amount: int, refund_id: UUID | None = None) -> None:
    """The refund was made under its key in a life that this database forgot."""
    (held,) = await world.open_effects(asked)
    await world.leases_end()
    metadata = held.request["metadata"] | ({"eo_refund": str(refund_id)} if refund_id else {})
    request = held.request | {"amount": amount, "metadata": metadata}
    async with StripeGateway(world.settings) as gateway:
        made = await gateway.post(paths.REFUNDS, request, key=held.idempotency_key, version=held.stripe_version)
    assert made.http_status == 200
    await world.run("UPDATE refunds SET maybe_executed = false, first_sent_at = NULL, last_sent_at = NULL")


async def test_a_refund_that_was_asked_for_long_ago_looks_before_it_is_sent(
    own_world: World, a_day_passes: Passes
) -> None:
    """It may have been sent in a life that this database forgot (R17)."""
    promise = await paid(own_world)
    asked = await ask_refund(own_world, promise, 500)
    await a_day_passes(21)
    await own_world.work()
    assert await calls(own_world, asked) == ["lookup", "send"]
    await assert_given_back_once(own_world, promise, asked, 500)


async def test_what_no_list_of_stripe_shows_is_refused_aloud(world: World) -> None:
    """A look-up that left it out would wait for it without an end."""
    async with StripeGateway(world.settings) as gateway:
        with pytest.raises(TypeError, match="no list"):
            await LookUps(world.engine, gateway, world.settings).look_up([change(call="lookup")])
