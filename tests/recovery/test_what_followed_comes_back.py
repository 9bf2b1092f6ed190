"""Captures, cancellations and further attempts that were forgotten: the PaymentIntent's own state tells (R31)."""

import pytest

from service import changes
from service.changes import CancelRequest, CaptureRequest
from service.orders.operations import Wish
from service.stripe_gateway import paths
from service.stripe_gateway.client import StripeGateway
from tests.charges.wishes import api
from tests.charges.world import Promise, World
from tests.recovery.forgetting import (
    DECLINES,
    Forgotten,
    Passes,
    asked,
    begin_another_life,
    forgotten,
    fresh_key,
    promise_of,
    shown,
)
from tests.recovery.refunding import forgets, posted

pytestmark = pytest.mark.slow


async def captured(world: World, intent: str, amount: int) -> None:
    await posted(world, paths.capture(intent), amount_to_capture=amount)


async def authorized(world: World) -> tuple[Promise, str]:
    """An order of 1999 usd whose money is held, and its PaymentIntent."""
    order = await world.order(fresh_key(), capture="manual")
    await world.deliver(order)
    assert await world.status(order) == "authorized"
    return order, str((await world.charge(order))["payment_intent_id"])


async def taken(world: World, order: Promise) -> tuple[str, int | None, list[int]]:
    """The order's state, what was captured where that is less than all, and what is booked of it."""
    row = await world.one(
        "SELECT status, amount_captured_minor AS captured FROM orders WHERE id = :id", id=order.order_id
    )
    booked = [p["amount"] for e in await world.entries(order) for p in e["postings"] if e["kind"] == "charge"]
    return row["status"], row["captured"], sorted(amount for amount in booked if amount > 0)


def capture_of(order: Promise, key: str, amount: int) -> tuple[Wish, CaptureRequest]:
    request = CaptureRequest(amount=amount)
    return Wish("capture", order.account_id, order.order_id, key, request), request


# --- the whole order was forgotten


async def test_an_order_whose_money_is_held_comes_back_as_authorized(world: World) -> None:
    lost = await forgotten(world, fresh_key(), capture="manual")
    await lost.sent(world)
    assert await asked(world) is None
    row = await shown(world, lost)
    assert (row["status"], row["capture"]) == ("authorized", "manual")
    order = promise_of(lost)
    assert await world.row_of(order.order_id) is not None
    await changes.capture(api(world.engine), *capture_of(order, fresh_key(), 1500))
    await world.all_due()
    await world.work()
    assert await taken(world, order) == ("paid", 1500, [1500])


async def test_an_order_of_which_a_part_was_captured_comes_back_as_paid(world: World) -> None:
    world.stripe.control("POST", "fees", {"delay_s": 0})
    lost = await forgotten(world, fresh_key(), capture="manual")
    await captured(world, str(await lost.sent(world)), 1500)
    assert await asked(world) is None
    assert await taken(world, promise_of(lost)) == ("paid", 1500, [1500])
    await world.balanced()


async def test_an_order_that_was_canceled_comes_back_as_canceled(world: World) -> None:
    lost = await forgotten(world, fresh_key(), capture="manual")
    await posted(world, paths.cancel(str(await lost.sent(world))))
    assert await asked(world) is None
    assert (await shown(world, lost))["status"] == "canceled"
    assert await world.row_of(lost.marks.order_id) is None


async def test_a_repeat_finds_what_came_back_whatever_its_capture(world: World) -> None:
    lost = await forgotten(world, fresh_key(), capture="manual")
    await lost.sent(world)
    assert await asked(world) is None
    placed = await lost.repeated(world)
    assert (placed.replayed, placed.order.id) == (True, str(lost.marks.order_id))


# --- the order is known, what was asked of it is not


async def test_a_forgotten_capture_that_is_asked_for_again_takes_the_money_once(
    own_world: World, a_day_passes: Passes
) -> None:
    world = own_world
    order, intent = await authorized(world)
    await captured(world, intent, 1500)
    await forgets(world)
    await a_day_passes(25)
    key = fresh_key()
    await changes.capture(api(world.engine), *capture_of(order, key, 1500))  # before Stripe was asked
    assert await asked(world) is None
    assert await taken(world, order) == ("paid", 1500, [1500])
    await world.all_due()
    await world.work()
    assert [change["status"] for change in await world.changes(order)] == ["done"]
    again = await changes.capture(api(world.engine), *capture_of(order, key, 1500))
    assert (again.order.status, again.replayed) == ("paid", True)
    assert await taken(world, order) == ("paid", 1500, [1500])
    assert world.stripe.truth(str(order.order_id))["captured"] == {"usd": 1500}
    await world.balanced()


async def test_a_forgotten_capture_that_is_asked_for_after_it_came_back_is_done_already(remembering: World) -> None:
    world = remembering
    world.stripe.control("POST", "fees", {"delay_s": 0})
    order, intent = await authorized(world)
    await captured(world, intent, 1500)
    await forgets(world)
    assert await asked(world) is None
    answer = await changes.capture(api(world.engine), *capture_of(order, fresh_key(), 1500))
    assert (answer.answered, answer.order.status) == (200, "paid")
    assert await world.changes(order) == []


async def test_a_capture_that_does_not_show_its_moment_yet_is_left_to_a_worker(remembering: World) -> None:
    world = remembering
    world.stripe.control("POST", "fees", {"delay_s": 3600})
    order, intent = await authorized(world)
    await captured(world, intent, 1500)
    await forgets(world)
    assert await asked(world) is None
    assert await world.status(order) == "authorized"
    await world.leases_end()
    await world.all_due()
    await world.work()
    assert await taken(world, order) == ("paid", 1500, [1500])


async def test_a_forgotten_cancellation_ends_the_order_and_its_repeat(remembering: World) -> None:
    world = remembering
    order, intent = await authorized(world)
    await posted(world, paths.cancel(intent), cancellation_reason="requested_by_customer")
    await forgets(world)
    wish = Wish("cancel", order.account_id, order.order_id, fresh_key(), CancelRequest())
    await changes.cancel(api(world.engine), wish)
    assert await asked(world) is None
    assert await world.status(order) == "canceled"
    await world.all_due()
    await world.work()
    assert [change["status"] for change in await world.changes(order)] == ["done"]


# --- attempts


async def attempts(world: World) -> tuple[Forgotten, Forgotten]:
    """A declined attempt and the one that paid after it, both forgotten."""
    first = await forgotten(world, fresh_key(), payment_method=DECLINES)
    await first.sent(world)
    second = await forgotten(
        world, first.key, order_id=first.marks.order_id, attempt=2, payment_method="pm_card_mastercard"
    )
    await second.sent(world)
    return first, second


async def test_a_forgotten_decline_does_not_fail_the_order_that_its_next_attempt_paid(world: World) -> None:
    first, second = await attempts(world)
    assert await asked(world) is None
    row = await shown(world, second)
    assert (row["status"], row["attempt"], row["failure"]) == ("paid", 2, None)
    order = promise_of(first)
    assert [(await world.charge(order, n))["status"] for n in (1, 2)] == ["declined", "succeeded"]
    assert await world.row_of(order.order_id) is None
    assert row["payment_method"] == (await method_of(world, str(row["payment_intent_id"])))
    await world.balanced()


async def method_of(world: World, intent_id: str) -> str | None:
    async with StripeGateway(world.settings) as gateway:
        intent = await gateway.retrieve_payment_intent(intent_id)
    assert intent is not None
    return intent.payment_method


async def test_an_order_of_which_only_the_second_attempt_is_listed_comes_back_with_it(world: World) -> None:
    second = await forgotten(world, fresh_key(), attempt=2)
    await second.sent(world)
    assert await asked(world) is None
    row = await shown(world, second)
    assert (row["status"], row["attempt"]) == ("paid", 2)


async def test_a_forgotten_attempt_brings_its_number_and_its_payment_method(remembering: World) -> None:
    world, order = remembering, await remembering.order(fresh_key(), payment_method=DECLINES)
    await world.work()
    assert await world.status(order) == "failed"
    lost = await forgotten(world, order.key, order_id=order.order_id, attempt=2, payment_method=DECLINES)
    await lost.sent(world)
    before = await shown(world, lost)
    await begin_another_life(world)
    assert await asked(world) is None
    row = await shown(world, lost)
    assert (row["status"], row["attempt"], row["failure"] is None) == ("failed", 2, False)
    assert row["payment_method"] != before["payment_method"]
