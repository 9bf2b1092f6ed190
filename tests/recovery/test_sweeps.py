"""R38: what this database forgot, or what no event told, is found by the sweeps of payments and refunds."""

from typing import Any

import pytest

from service.effects import Sweep
from service.recovery import PaymentSweep, RefundSweep
from service.stripe_gateway.client import StripeGateway
from service.sweeps import Sweeping
from tests.charges.world import World
from tests.recovery.forgetting import ASKS, charges_of, forgotten, fresh_key, shown
from tests.recovery.refunding import given_back, lost_refund, paid


async def sweep(world: World, kind: Sweep[Any, StripeGateway]) -> bool:
    """One round, as a relay makes it."""

    async def always() -> bool:
        return True

    async with StripeGateway(world.settings) as gateway:
        return await Sweeping(world.engine, gateway, kind, world.settings, gateway.clock, may_go_on=always).once()


async def test_a_forgotten_payment_is_adopted_without_a_new_life(
    remembering: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A zombie sent it after the second listing of the life: nobody would look again."""
    lost = await forgotten(remembering, fresh_key())
    await lost.sent(remembering)
    for _ in range(2):
        assert await sweep(remembering, PaymentSweep())
    assert (await shown(remembering, lost))["status"] == "paid"
    assert charges_of(remembering, lost.marks.order_id) == 1
    assert caplog.text.count("sweep.adopted") == 1
    await remembering.balanced()


async def test_a_payment_that_its_customer_finished_is_settled_though_no_event_told(remembering: World) -> None:
    promise = await remembering.order(payment_method=ASKS)
    await remembering.deliver(promise)
    intent = (await remembering.charge(promise))["payment_intent_id"]
    remembering.stripe.control("POST", f"payment_intents/{intent}/complete_action", {"succeed": True})
    assert await sweep(remembering, PaymentSweep())
    assert await remembering.status(promise) == "paid"


async def test_what_a_worker_has_in_its_hands_is_left_to_it(remembering: World) -> None:
    promise = await remembering.order()
    charge = await remembering.open_one(promise)
    assert await sweep(remembering, PaymentSweep())
    assert (await remembering.charge(promise))["status"] == "sending"
    await remembering.deliver(promise)
    assert charge.order_id == promise.order_id


async def test_a_refund_made_at_stripe_past_us_is_on_the_books_after_a_sweep(remembering: World) -> None:
    promise = await paid(remembering)
    refund = await given_back(remembering, promise, 700)
    for _ in range(2):
        assert await sweep(remembering, RefundSweep())
    kept = await remembering.all("SELECT status, amount_minor, stripe_refund_id FROM refunds")
    assert [tuple(row.values()) for row in kept] == [("succeeded", 700, refund)]
    await remembering.balanced()


async def test_a_forgotten_refund_comes_back_under_its_producers_key(remembering: World) -> None:
    promise = await paid(remembering)
    lost = await lost_refund(remembering, promise, 500)
    await lost.sent(remembering)
    assert await sweep(remembering, RefundSweep())
    row = await remembering.one("SELECT producer_key, status FROM refunds WHERE order_id = :id", id=promise.order_id)
    assert (row["producer_key"], row["status"]) == (lost.key, "succeeded")
