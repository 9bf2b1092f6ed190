"""The sandbox disputes, and no event comes: lists alone bring the database to what Stripe says."""

from typing import Any

from service import disputes
from service.disputes import DisputeSweep, WarningSweep
from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.disputes import Dispute
from service.sweeps import Sweeping
from tests.charges.world import Promise, World
from tests.disputes.arguing import disputed, paid


async def sweep(world: World, gateway: StripeGateway) -> None:
    """One round of both lists."""

    async def yes() -> bool:
        return True

    for kind in (DisputeSweep(), WarningSweep()):
        one: Sweeping[Any, Any] = Sweeping(world.engine, gateway, kind, world.settings, gateway.clock, may_go_on=yes)
        assert await one.once()


async def states(world: World, promise: Promise) -> list[tuple[str, int]]:
    rows = await world.all("SELECT status, amount_minor FROM disputes WHERE order_id = :id", id=promise.order_id)
    return [(row["status"], row["amount_minor"]) for row in rows]


async def test_what_test_cards_dispute_is_found_by_the_sweep(world: World) -> None:
    made = {
        card: (await paid(world, payment_method=card))[0]
        for card in ("pm_card_createDispute", "pm_card_createDisputeInquiry", "pm_card_visa")
    }
    world.stripe.control("POST", "disputes/flush")
    async with StripeGateway(world.settings) as gateway:
        await sweep(world, gateway)
    assert await states(world, made["pm_card_createDispute"]) == [("needs_response", 1999)]
    assert await states(world, made["pm_card_createDisputeInquiry"]) == [("warning_needs_response", 1999)]
    assert await states(world, made["pm_card_visa"]) == []
    assert [await disputed(world, promise) for promise in made.values()] == [1999, 0, 0]


async def test_each_state_of_the_sandbox_is_read_and_shown_as_it_is_now(world: World) -> None:
    promise, _ = await paid(world)
    charge_id = (await world.charge(promise))["stripe_charge_id"]
    opened = world.stripe.control("POST", f"charges/{charge_id}/dispute", {"amount": 700, "fee": 1500})
    async with StripeGateway(world.settings) as gateway:
        for status in ("under_review", "lost", "appeal_needs_response", "appeal_under_review", "won"):
            world.stripe.control("POST", f"disputes/{opened['id']}/end", {"status": status})
            shown = await DisputeSweep().retrieve(gateway, opened["id"])
            assert shown is not None
            assert isinstance(shown.shown, Dispute)
            assert shown.shown.flaw is None
            await disputes.settle(world.engine, [shown])
            assert await states(world, promise) == [(status, 700)]
            moved = len(shown.shown.balance_transactions)
            assert moved == (2 if status == "won" else 1)
        assert await DisputeSweep().retrieve(gateway, "dp_nobody") is None


async def test_a_warning_of_the_sandbox_is_found_by_the_sweep(world: World) -> None:
    promise, _ = await paid(world)
    charge_id = (await world.charge(promise))["stripe_charge_id"]
    warned = world.stripe.control("POST", f"charges/{charge_id}/fraud_warning", {})
    async with StripeGateway(world.settings) as gateway:
        await sweep(world, gateway)
        shown = await WarningSweep().retrieve(gateway, warned["id"])
        assert shown is not None
    (row,) = await world.all("SELECT * FROM fraud_warnings WHERE order_id = :id", id=promise.order_id)
    assert (row["id"], row["actionable"]) == (warned["id"], True)
