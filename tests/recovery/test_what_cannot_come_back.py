"""What cannot be brought back is told, and stops nothing (R31)."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from service.charges.request import payment_intent_request
from service.effects.request import STRIPE_VERSION
from service.foundation.postgres.sql import Connection
from service.recovery import order_rows
from service.recovery.knowing import Listed
from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.objects import Intent
from tests.charges.world import World
from tests.model.tiny_stripe import replace_intent
from tests.recovery.forgetting import (
    ASKS,
    Forgotten,
    asked,
    begin_another_life,
    charges_of,
    forgotten,
    found,
    fresh_key,
    lost_orders,
    shown,
)

pytestmark = pytest.mark.slow


async def test_another_installations_payments_are_not_ours(world: World) -> None:
    lost = await forgotten(world, fresh_key())
    await world.run("UPDATE instance SET uuid = gen_random_uuid()")
    await lost.sent(world)
    assert await asked(world) is None
    assert (await found(world))["adopted"] == 0
    assert (await found(world))["reported"] == []


async def test_a_payment_of_an_unknown_account_is_reported(world: World) -> None:
    lost = await forgotten(world, fresh_key(), account_id=uuid7())
    intent = await lost.sent(world)
    assert await asked(world) is None
    (reported,) = (await found(world))["reported"]
    assert (reported["payment_intent"], reported["amount"], reported["currency"]) == (intent, 1999, "usd")
    assert "account" in reported["why"]


async def test_a_second_payment_of_one_attempt_is_reported(remembering: World) -> None:
    world, promise = remembering, await remembering.order()
    await world.work()
    lost = await forgotten(world, fresh_key(), order_id=promise.order_id)
    await lost.sent(world)
    await begin_another_life(world)
    assert await asked(world) is None
    (reported,) = (await found(world))["reported"]
    assert "another PaymentIntent" in reported["why"]


DAMAGE: dict[str, dict[str, str]] = {
    "attempt 0": {"eo_attempt": "0"},
    "no attempt": {"eo_attempt": "x"},
    "no account": {"eo_account": "x"},
    "no order": {"eo_order": ""},
    "a fingerprint of no version": {"eo_fingerprint": "_w=="},
    "half a fingerprint": {"eo_fingerprint": "AQI="},
    "a fingerprint that is none": {"eo_fingerprint": "?"},
    "a key too long": {"eo_key": "k" * 201},
    "a key of ours": {"eo_key": "eo1:AAAA"},
    "a key that is none": {"eo_key": "two words"},
}


async def sent_with(world: World, lost: Forgotten, metadata: dict[str, str], *, amount: int = 1999) -> None:
    """As somebody left it who edited the metadata in Stripe's dashboard."""
    request = payment_intent_request(
        marks=lost.marks,
        amount=amount,
        currency="usd",
        payment_method="pm_card_visa",
        customer=None,
        description=None,
        metadata={},
    )
    async with StripeGateway(world.settings) as gateway:
        edited = {**request, "metadata": {**lost.marks.metadata({}), **metadata}}
        answer = await gateway.create_payment_intent(edited, key=fresh_key(), version=STRIPE_VERSION)
    assert answer.http_status == 200, answer


@pytest.mark.parametrize("damage", DAMAGE)
async def test_edited_marks_bring_nothing_back_and_stop_nothing(world: World, damage: str) -> None:
    whole = await forgotten(world, fresh_key())
    await sent_with(world, await forgotten(world, fresh_key()), DAMAGE[damage])
    await whole.sent(world)
    assert await asked(world) is None
    assert (await found(world))["adopted"] == 1
    assert (await lost_orders(world)) == [whole.key]


EDITED_LATER: dict[str, dict[str, str]] = {
    "another order": {"eo_order": str(UUID(int=1)), "eo_key": "nobodys"},
    "another attempt": {"eo_attempt": "2"},
    "a zero byte": {"eo_key": "a\x00b"},
}


@pytest.mark.parametrize("edit", EDITED_LATER)
async def test_marks_that_were_edited_on_a_known_payment_stop_nothing(
    remembering: World, monkeypatch: pytest.MonkeyPatch, edit: str
) -> None:
    world, promise = remembering, await remembering.order(fresh_key(), payment_method=ASKS)
    await world.deliver(promise)
    known = (await world.charge(promise))["payment_intent_id"]
    world.stripe.control("POST", f"payment_intents/{known}/complete_action", {"succeed": True})
    whole = await forgotten(world, fresh_key())
    await whole.sent(world)
    listing = StripeGateway.list_payment_intents

    async def edited(self: StripeGateway, *window: Any) -> AsyncIterator[Intent]:
        async for intent in listing(self, *window):
            changed = {**intent.metadata, **EDITED_LATER[edit]} if intent.id == known else intent.metadata
            yield replace_intent(intent, metadata=changed)

    monkeypatch.setattr(StripeGateway, "list_payment_intents", edited)
    await begin_another_life(world)
    assert await asked(world) is None
    assert (await shown(world, whole))["status"] == "paid"
    assert await world.all("SELECT FROM charges WHERE order_id = :id AND attempt = 2", id=promise.order_id) == []


# What Stripe might show of a payment -> whether its order comes back all the same.
ODD: list[tuple[dict[str, Any], bool]] = [
    ({"amount": 10**30}, False),
    ({"currency": "u\0d"}, False),
    ({"status": "\0"}, True),
    ({"amount_received": -(1 << 63)}, True),
]


@pytest.mark.parametrize(("how", "comes_back"), ODD, ids=ascii)
async def test_a_payment_that_no_table_can_hold_is_reported_and_stops_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any], *, comes_back: bool
) -> None:
    odd, whole = await forgotten(world, fresh_key()), await forgotten(world, fresh_key())
    odd_id = await odd.sent(world)
    await whole.sent(world)
    listing = StripeGateway.list_payment_intents

    async def shows_an_odd_one(self: StripeGateway, *window: Any) -> AsyncIterator[Intent]:
        async for intent in listing(self, *window):
            yield replace_intent(intent, **how) if intent.id == odd_id else intent

    monkeypatch.setattr(StripeGateway, "list_payment_intents", shows_an_odd_one)
    assert await asked(world) is None
    assert sorted(await lost_orders(world)) == sorted([whole.key, *[odd.key][:comes_back]])
    reported = (await found(world))["reported"]
    assert [one["payment_intent"] for one in reported] == [odd_id][comes_back:]
    assert all("cannot be stored" in one["why"] for one in reported)


async def test_the_order_of_another_account_gets_no_money_of_ours(remembering: World) -> None:
    world = remembering
    theirs = await world.order(fresh_key(), account_id=await world.other_account())
    await (await forgotten(world, fresh_key(), order_id=theirs.order_id)).sent(world)
    await begin_another_life(world)
    assert await asked(world) is None
    assert await world.status(theirs) == "pending"
    assert await world.all("SELECT FROM charges") == []
    (reported,) = (await found(world))["reported"]
    assert "another account" in reported["why"]


async def test_what_no_table_can_hold_is_reported_and_its_neighbours_come_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd, whole = await forgotten(world, fresh_key()), await forgotten(world, fresh_key())
    await sent_with(world, odd, {"note": "to be spoiled"})
    await whole.sent(world)
    listing = StripeGateway.list_payment_intents

    async def spoiled(self: StripeGateway, *window: Any) -> AsyncIterator[Intent]:
        async for intent in listing(self, *window):
            yield replace_intent(intent, description="a\x00b") if "note" in intent.metadata else intent

    monkeypatch.setattr(StripeGateway, "list_payment_intents", spoiled)
    assert await asked(world) is None
    assert await lost_orders(world) == [whole.key]
    (reported,) = (await found(world))["reported"]
    assert "cannot be stored" in reported["why"]


async def test_a_repeat_that_comes_in_the_very_moment_of_adoption_has_the_money(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = await forgotten(world, fresh_key())
    await lost.sent(world)
    insert = order_rows.insert_order

    async def too_late(tx: Connection, listed: Listed) -> bool:
        await lost.repeated(world)
        return await insert(tx, listed)

    monkeypatch.setattr(order_rows, "insert_order", too_late)
    assert await asked(world) is None
    (order,) = await world.all("SELECT id, status FROM orders")
    assert (order["status"], order["id"] == lost.marks.order_id) == ("paid", False)
    assert charges_of(world, lost.marks.order_id, order["id"]) == 1


async def test_an_order_that_waits_for_its_customer_is_not_parked_by_another_payment(remembering: World) -> None:
    world, key = remembering, fresh_key()
    promise = await world.order(key, payment_method=ASKS)
    await world.deliver(promise)
    await sent_with(world, await forgotten(world, key), {}, amount=777)
    await begin_another_life(world)
    assert await asked(world) is None
    assert (await world.open_row(promise))["parked_at"] is None
    assert len((await found(world))["reported"]) == 1
