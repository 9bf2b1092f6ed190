"""What this database forgot comes back from Stripe before anything is sent: orders, attempts, answers (R31)."""

from typing import Any
from uuid import UUID

import pytest

from service import orders
from service.notices.endpoints import WebhookEndpointRequest, create
from service.notices.model import Fact, NoticeType, webhook_id
from service.orders.timeline import timeline
from service.recovery.adoption import fingerprint_of
from service.stripe_gateway.client import StripeGateway
from tests.charges.world import Promise, World
from tests.recovery.forgetting import (
    ASKS,
    DECLINES,
    Forgotten,
    Passes,
    asked,
    begin_another_life,
    forgotten,
    found,
    fresh_key,
    promise_of,
    shown,
)

pytestmark = pytest.mark.slow

# --- an order that was forgotten


async def test_a_paid_order_comes_back_as_it_was_and_is_booked(world: World) -> None:
    lost = await forgotten(world, fresh_key(), customer="cus_1", description="a mug", metadata={"b": "1", "a": "2"})
    intent = await lost.sent(world)
    assert await asked(world) is None
    order = await shown(world, lost)
    assert (order["status"], order["payment_intent_id"], order["idempotency_key"]) == ("paid", intent, lost.key)
    assert (order["customer"], order["description"], order["metadata"]) == ("cus_1", "a mug", {"b": "1", "a": "2"})
    assert order["created_at"].timestamp() == pytest.approx((lost.marks.order_id.int >> 80) / 1000, abs=0.001)
    await world.assert_charged_once(promise_of(lost))
    assert (await found(world))["adopted"] == 1
    assert (await found(world))["sums"] == {"adopted": {"usd": 1999}, "reported": {}}


async def test_its_producer_who_repeats_the_key_gets_a_replay(world: World) -> None:
    lost = await forgotten(world, fresh_key())
    await lost.sent(world)
    assert await asked(world) is None
    placed = await lost.repeated(world)
    assert (placed.replayed, placed.order.id, placed.order.status) == (True, str(lost.marks.order_id), "paid")


async def test_the_timeline_says_that_it_was_brought_back(world: World) -> None:
    lost = await forgotten(world, fresh_key())
    await lost.sent(world)
    assert await asked(world) is None
    events = [e["event"] for e in await timeline(world.engine, lost.marks.account_id, lost.marks.order_id)]
    assert events.count("order.adopted") == 1
    assert events[-1] == "order.paid"


async def test_of_another_account_it_comes_back_under_its_derived_key(world: World) -> None:
    lost = await forgotten(world, fresh_key(), account_id=await world.other_account())
    await lost.sent(world)
    assert await asked(world) is None
    assert (await world.charge(promise_of(lost)))["idempotency_key"].startswith("eo1:")
    await world.assert_charged_once(promise_of(lost))


async def test_a_decline_comes_back_as_a_failure(world: World) -> None:
    lost = await forgotten(world, fresh_key(), payment_method=DECLINES)
    await lost.sent(world)
    assert await asked(world) is None
    order = await shown(world, lost)
    assert (order["status"], order["failure"]["code"]) == ("failed", "card_declined")
    assert await world.row_of(lost.marks.order_id) is None


async def test_what_waits_for_its_customer_comes_back_and_is_followed_to_its_end(world: World) -> None:
    lost = await forgotten(world, fresh_key(), payment_method=ASKS)
    intent = await lost.sent(world)
    assert await asked(world) is None
    assert (await shown(world, lost))["status"] == "requires_action"
    world.stripe.control("POST", f"payment_intents/{intent}/complete_action", {"succeed": True})
    await world.all_due()
    await world.work()
    await world.assert_charged_once(promise_of(lost))


async def test_more_orders_than_fit_on_a_page_come_back(world: World) -> None:
    lost = [await forgotten(world, fresh_key()) for _ in range(105)]
    for one in lost:
        await one.sent(world)
    assert await asked(world) is None
    assert (await found(world))["adopted"] == 105
    assert (await world.one("SELECT count(*) AS n FROM orders WHERE status = 'paid'"))["n"] == 105
    await world.balanced()


# --- an attempt, a send or an answer that was forgotten


async def test_a_send_that_was_forgotten_is_settled_by_the_payments_id(aging: World, a_day_passes: Passes) -> None:
    world, promise = aging, await aging.order()
    lost = await forgotten(world, promise.key, order_id=promise.order_id)
    await lost.sent(world)  # the backup was made after the order was placed, and before it was opened
    await begin_another_life(world)
    await a_day_passes(25)
    assert await asked(world) is None
    await world.work()
    await world.assert_charged_once(promise)
    assert (await found(world))["adopted"] == 1


async def test_a_send_again_that_was_forgotten_is_settled_by_the_payments_id(
    own_world: World, a_day_passes: Passes
) -> None:
    world, promise = own_world, await own_world.order()
    world.stripe.faults({"fault": "rate_limited", "method": "POST", "path": "^/v1/payment_intents$", "times": 1})
    await world.deliver(promise)
    assert not (await world.charge(promise))["maybe_executed"]
    lost = await forgotten(world, promise.key, order_id=promise.order_id)
    await lost.sent(world)
    await begin_another_life(world)
    await a_day_passes(25)
    await world.work()
    await world.assert_charged_once(promise)


async def test_an_attempt_after_a_decline_that_was_forgotten_comes_back(world: World) -> None:
    await world.run("UPDATE lives SET verified_until = 'infinity'")
    promise = await world.order(payment_method=DECLINES)
    await world.run("UPDATE lives SET identity = database_identity()")
    await world.work()
    assert await world.status(promise) == "failed"
    lost = await forgotten(world, promise.key, order_id=promise.order_id, attempt=2)
    await lost.sent(world)
    await begin_another_life(world)
    assert await asked(world) is None
    assert await world.status(promise) == "paid"
    assert (await world.charge(promise, 2))["status"] == "succeeded"
    assert world.charges_at_stripe(promise) == 1


async def test_an_answer_that_nobody_read_is_settled_and_is_no_loss(
    remembering: World, caplog: pytest.LogCaptureFixture
) -> None:
    world, promise = remembering, await remembering.order()
    world.stripe.faults({"fault": "executed_reply_lost", "method": "POST", "path": "^/v1/payment_intents$", "times": 1})
    await world.deliver(promise)
    await begin_another_life(world)
    assert await asked(world) is None
    await world.assert_charged_once(promise)
    assert (await found(world))["settled"] == 1
    assert "recovery.loss_found" not in caplog.text


async def test_what_a_worker_is_about_to_settle_is_left_to_it(remembering: World) -> None:
    world, promise = remembering, await remembering.order()
    charge = await world.open_one(promise)
    await (await forgotten(world, promise.key, order_id=promise.order_id)).sent(world)
    await begin_another_life(world)
    assert await asked(world) is None
    assert (await world.charge(promise))["token"] == charge.token
    await world.leases_end()
    await world.all_due()
    await world.work()
    await world.assert_charged_once(promise)


async def test_an_adopted_payment_without_a_key_is_followed_to_its_end(aging: World) -> None:
    world = aging  # whose Stripe no other test shares: nothing in such payments tells installations apart
    lost = await forgotten(world, fresh_key(), payment_method=ASKS)
    intent = await lost.sent(world, by_version_before=True)
    repeat = UUID((await lost.repeated(world)).order.id)
    async with StripeGateway(world.settings) as gateway:
        now = await gateway.retrieve_payment_intent(str(intent))
    assert now is not None
    await world.run("UPDATE orders SET fingerprint = :as_shown", as_shown=fingerprint_of(now))
    assert await asked(world) is None
    assert (await orders.get(world.engine, lost.marks.account_id, repeat)).status == "requires_action"
    world.stripe.control("POST", f"payment_intents/{intent}/complete_action", {"succeed": True})
    await world.all_due()
    await world.deliver(*[Promise(repeat, row["id"], lost.marks.account_id, lost.key) for row in await due(world)])
    assert (await orders.get(world.engine, lost.marks.account_id, repeat)).status == "paid"
    await world.balanced()


async def due(world: World) -> list[dict[str, Any]]:
    return await world.all("SELECT id FROM outbox")


# --- payments of the version before bear no key


async def test_an_order_of_the_version_before_comes_back_by_the_key_in_stripes_event(aging: World) -> None:
    world = aging  # whose Stripe no other test shares: nothing in such payments tells installations apart
    lost = await forgotten(world, fresh_key())
    await lost.sent(world, by_version_before=True)
    assert await asked(world) is None
    assert (await shown(world, lost))["idempotency_key"] == lost.key
    await world.assert_charged_once(promise_of(lost))


async def test_of_another_account_an_order_of_the_version_before_is_reported(aging: World) -> None:
    world = aging  # whose Stripe no other test shares: nothing in such payments tells installations apart
    lost = await forgotten(world, fresh_key(), account_id=await world.other_account())
    await lost.sent(world, by_version_before=True)
    assert await asked(world) is None
    (reported,) = (await found(world))["reported"]
    assert "key" in reported["why"]


async def test_what_comes_back_is_told_under_the_id_that_it_always_had(world: World) -> None:
    account = await world.default_account()
    request = WebhookEndpointRequest("https://shop.example/", ["order.paid", "order.failed"])
    await create(world.engine, account, "endpoint", request)
    paid, declined = await forgotten(world, fresh_key()), await forgotten(world, fresh_key(), payment_method=DECLINES)
    await paid.sent(world)
    await declined.sent(world)
    assert await asked(world) is None
    facts: list[tuple[Forgotten, NoticeType, str]] = [
        (paid, "order.paid", ""),
        (declined, "order.failed", "1:card_declined"),
    ]
    always = {webhook_id(Fact(account, kind, str(o.marks.order_id), fact, None, request)) for o, kind, fact in facts}
    rows = await world.all("SELECT webhook_id FROM notices")
    assert {row["webhook_id"] for row in rows} == always
