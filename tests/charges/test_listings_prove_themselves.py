"""`has_more: false` is not believed alone (R35)."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest

from service.effects.listing import List, in_order
from service.stripe_gateway import listings as stripe_gateway
from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.objects import ContradictoryListing, Intent
from tests.charges.world import POST, World

PAGE = 4
SPAN = (1_000, 2_000)

Lie = Callable[[list[Intent]], list[Intent]]


def payment(created: int, name: str = "") -> Intent:
    return Intent(
        id=f"pi_{name or created}", created=created, amount=1, currency="usd", status="succeeded", metadata={}
    )


# Two of one second at the end, as a busy second brings them.
PAYMENTS = [*(payment(created) for created in range(1_990, 1_980, -1)), payment(1_980, "a"), payment(1_980, "b")]


def lists(payments: list[Intent], lie: Lie = lambda shown: shown) -> List[Intent]:
    """A Stripe that has `payments`, newest first, and shows of each window what `lie` leaves of it."""

    async def ask(gte: int, lt: int) -> AsyncIterator[Intent]:
        for one in lie([p for p in payments if gte <= p.created < lt]):
            yield one

    return ask


async def shown(ask: List[Intent]) -> list[Intent]:
    return [intent async for intent in in_order(ask, *SPAN)]


async def test_all_pages_are_all_there_is() -> None:
    assert await shown(lists(PAYMENTS)) == PAYMENTS


async def test_nothing_twice_is_nothing() -> None:
    assert await shown(lists([])) == []


LIES: dict[str, Lie] = {
    "page 2 is empty and the last": lambda shown: shown[:PAGE],
    "the younger half": lambda shown: shown[: len(shown) // 2],
    "the elder half": lambda shown: shown[len(shown) // 2 :] if len(shown) > PAGE else [],
    "always empty but for the first time": lambda shown: shown[:PAGE] if len(shown) > PAGE else [],
    "one short": lambda shown: shown[:-1] if len(shown) > PAGE else shown,
    "the first page again": lambda shown: shown[:PAGE] + shown[:PAGE] + shown[PAGE:],
    "the first page instead of the second": lambda shown: shown[:PAGE] + shown[:PAGE] + shown[2 * PAGE :],
    "two pages changed places": lambda shown: shown[PAGE : 2 * PAGE] + shown[:PAGE] + shown[2 * PAGE :],
    "a page upside down": lambda shown: shown[:PAGE][::-1] + shown[PAGE:],
    "one object on two pages": lambda shown: shown[: PAGE + 1] + shown[PAGE:],
    "one of the oldest second twice": lambda shown: [*shown, *shown[-1:]],
    "something of another window": lambda shown: [*shown, payment(SPAN[0] - 1)],
    "something from after the window": lambda shown: [payment(SPAN[1] + 1), *shown],
}


@pytest.mark.parametrize("lie", LIES.values(), ids=list(LIES))
async def test_pages_that_contradict_each_other_are_no_listing(lie: Lie) -> None:
    with pytest.raises(ContradictoryListing):
        await shown(lists(PAYMENTS, lie))


async def test_a_page_that_ends_early_within_a_busy_second_is_no_listing() -> None:
    busy = [payment(1_985, f"busy{n}") for n in range(3 * PAGE)] + [payment(1_984)]
    with pytest.raises(ContradictoryListing, match="pi_1984"):
        await shown(lists(busy, LIES["page 2 is empty and the last"]))


async def test_a_first_page_that_is_empty_is_not_believed_once_another_ask_shows_something() -> None:
    asks: list[int] = []

    def late(shown: list[Intent]) -> list[Intent]:
        asks.append(len(shown))
        return shown if len(asks) > 1 else []

    with pytest.raises(ContradictoryListing, match="asked for what is older it shows pi_1990"):
        await shown(lists(PAYMENTS, late))


async def test_what_was_shown_before_a_contradiction_was_shown() -> None:
    listing = in_order(lists(PAYMENTS, LIES["page 2 is empty and the last"]), *SPAN)
    assert [await anext(listing) for _ in range(PAGE)] == PAYMENTS[:PAGE]
    with pytest.raises(ContradictoryListing):
        await anext(listing)


async def test_a_look_up_whose_pages_end_early_fails_no_order(
    own_world: World, a_day_passes: Callable[[float], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, promise = own_world, await own_world.order()
    world.stripe.faults({"fault": "executed_reply_lost", **POST, "metadata_order": str(promise.order_id), "times": 1})
    await world.deliver(promise)
    world.stripe.control("POST", "age", {"seconds": 2})
    await world.deliver(await world.order())
    page, ends_early = StripeGateway._page, [True]

    async def first_page_only(gateway: StripeGateway, path: str, params: Mapping[str, object]) -> Any:
        if ends_early and "starting_after" in params:
            return stripe_gateway._Page([], has_more=False)
        return await page(gateway, path, params)

    monkeypatch.setattr(stripe_gateway, "PAGE", 1)
    monkeypatch.setattr(StripeGateway, "_page", first_page_only)
    await a_day_passes(25)
    await world.deliver(promise)
    assert (await world.answers(promise))[-1] == "0 found, inconclusive listing"
    assert await world.status(promise) == "processing"
    ends_early.clear()
    await world.work()
    await world.assert_charged_once(promise)
