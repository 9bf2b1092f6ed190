"""One order and one thing that goes wrong, on the real Stripe stand-in: at most one charge, and the right next call.

The witness is Stripe's own books, read past its API: what was really charged, whatever anybody was told.
"""

from collections.abc import Mapping
from typing import Any

import pytest

from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.objects import Answer
from tests.cards import shows_the_card
from tests.charges.faults import STALL, once
from tests.charges.world import World

AGAIN, LOOK_UP, MISSED = ["send", "send"], ["send", "lookup"], ["send", "lookup", "send"]
# fault: (the rest of its rule, settings, what is asked of Stripe)
FAULTS: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "executed_reply_lost": ({}, {}, AGAIN),
    "cut_body": ({}, {}, AGAIN),
    "drop_before": ({}, {}, AGAIN),
    "stall": ({"stall_s": 0.5}, STALL, AGAIN),
    "stall unexecuted": ({"stall_s": 0.5, "executed": False}, STALL, AGAIN),
    "html_502": ({}, {}, AGAIN),
    "html_502_executed": ({}, {}, AGAIN),
    "wrong_amount": ({}, {}, LOOK_UP),
    "no_request_id": ({}, {}, AGAIN),
    "conflict_409": ({}, {}, AGAIN),
    "rate_limited": ({}, {}, AGAIN),
    "lock_timeout": ({}, {}, AGAIN),
    "failed_dependency_424": ({}, {}, MISSED),
    "failed_dependency_424 executed": ({"executed": True}, {}, LOOK_UP),
    "unauthorized_401": ({}, {}, AGAIN),
    "forbidden_403": ({}, {}, AGAIN),
    "executed_500": ({}, {}, LOOK_UP),
    "error_500_before unsaved": ({"saved": False}, {}, MISSED),
    "error_500_roll_forward": ({"delay_s": 0.2}, {}, LOOK_UP),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_after_one_fault_the_order_is_paid_and_was_charged_once(world: World, fault: str) -> None:
    how, settings, calls = FAULTS[fault]
    promise = await world.order(customer="cus_17")
    world.stripe.faults(once(fault.split(maxsplit=1)[0], promise, **how))
    await world.work(await world.worker(**settings))
    assert world.stripe.fired() == [1]
    await world.assert_charged_once(promise)
    assert (await world.calls(promise))[: len(calls)] == calls


async def test_a_lost_reply_is_resent_with_the_same_bytes_and_charges_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, str, str]] = []
    post = StripeGateway.create_payment_intent

    async def listened(self: StripeGateway, request: Mapping[str, Any], *, key: str, version: str) -> Answer:
        sent.append((repr(request), key, version))
        return await post(self, request, key=key, version=version)

    monkeypatch.setattr(StripeGateway, "create_payment_intent", listened)
    promise = await world.order(description="a mug", metadata={"z": "1", "a": "2"})
    world.stripe.faults(once("executed_reply_lost", promise))
    await world.deliver(promise)
    await world.run("UPDATE orders SET description = 'two mugs'")
    await world.work()
    assert len(sent) == 2
    assert sent[0] == sent[1]
    assert (await world.charge(promise))["history"][-1]["replayed"], "Stripe took it for the same request"
    await world.assert_charged_once(promise)


async def test_the_second_lost_reply_in_a_row_is_looked_up(world: World) -> None:
    promise = await world.order()
    world.stripe.faults(once("executed_reply_lost", promise, times=2))
    await world.work()
    assert await world.calls(promise) == ["send", "send", "lookup"]
    await world.assert_charged_once(promise)


async def test_a_500_is_looked_up_and_not_sent_again(world: World) -> None:
    promise = await world.order()
    world.stripe.faults(once("executed_500", promise))
    await world.work()
    assert await world.calls(promise) == ["send", "lookup"]
    await world.assert_charged_once(promise)


async def test_a_decline_is_final_and_names_its_reason(world: World) -> None:
    promise = await world.order(payment_method="pm_card_visa_chargeDeclinedInsufficientFunds")
    await world.work()
    order = await world.one("SELECT status, failure, payment_intent_id FROM orders WHERE id = :id", id=promise.order_id)
    assert order["status"] == "failed"
    assert order["failure"]["decline_code"] == "insufficient_funds"
    assert order["payment_intent_id"].startswith("pi_")
    assert world.charges_at_stripe(promise) == 0


async def test_a_replayed_decline_is_as_final_as_the_first(world: World) -> None:
    promise = await world.order(payment_method="pm_card_visa_chargeDeclined")
    world.stripe.faults(once("executed_reply_lost", promise))
    await world.work()
    assert await world.status(promise) == "failed"
    assert (await world.answers(promise))[1:] == ["402 card_declined"]
    assert (await world.charge(promise))["history"][-1]["replayed"]


async def test_a_card_that_needs_its_customer_is_asked_for_and_never_posted_again(world: World) -> None:
    promise = await world.order(payment_method="pm_card_authenticationRequired")
    await world.deliver(promise)
    assert await world.status(promise) == "requires_action"
    await world.deliver(promise)
    pi = (await world.charge(promise))["payment_intent_id"]
    world.stripe.control("POST", f"payment_intents/{pi}/complete_action", {"succeed": True})
    await world.deliver(promise)
    assert await world.calls(promise) == ["send", "retrieve", "retrieve"]
    await world.assert_charged_once(promise)


async def test_nothing_of_stripes_that_is_secret_is_kept(world: World) -> None:
    cards = ("pm_card_visa", "pm_card_visa_chargeDeclined", "pm_card_authenticationRequired")
    promises = [await world.order(payment_method=card) for card in cards]
    world.stripe.faults(once("executed_reply_lost", promises[0]))
    await world.deliver(*promises)
    await world.deliver(*promises)
    for table in ("orders", "charges", "outbox", "journal_entries"):
        for row in await world.all(f"SELECT row_to_json(t)::text AS kept FROM {table} t"):
            assert "_secret_" not in row["kept"]
            assert not shows_the_card(row["kept"])


async def test_a_pause_that_stripe_asks_for_is_kept(world: World) -> None:
    promise = await world.order()
    world.stripe.faults(once("rate_limited", promise, retry_after=30))
    await world.deliver(promise)
    row = await world.one("SELECT deliver_after - clock_timestamp() > interval '29 s' AS kept FROM outbox")
    assert row["kept"]
    assert not (await world.charge(promise))["maybe_executed"]
