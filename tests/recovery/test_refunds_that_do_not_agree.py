"""A refund that contradicts what is known here is booked all the same, and told; a listing proves itself (R31, R35)."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.objects import Refund
from tests.charges.world import World
from tests.recovery.forgetting import Passes, asked, found, fresh_key
from tests.recovery.refunding import (
    REFUNDS,
    asks,
    assert_given_back,
    forgets,
    lost_refund,
    paid,
    refunds_of,
)

pytestmark = pytest.mark.slow


async def test_a_key_that_was_used_again_for_another_sum_moves_no_money(own_world: World, a_day_passes: Passes) -> None:
    world = own_world
    order = await paid(world)
    lost = await lost_refund(world, order, 700)
    stripe_id = await lost.sent(world)
    await forgets(world)
    await a_day_passes(25)
    repeat = await asks(world, order, lost.key, amount=900)
    assert await asked(world) is None
    await world.work()
    await assert_given_back(world, order, 700)
    rows = {row["id"]: row for row in await refunds_of(world, order)}
    assert (rows[repeat]["status"], rows[repeat]["failure"]["code"]) == ("failed", "key_conflict")
    (reported,) = (await found(world))["reported"]
    assert (reported["refund"], reported["amount"]) == (stripe_id, 700)


async def test_a_refund_that_was_made_twice_is_booked_twice_and_told(remembering: World) -> None:
    world, order = remembering, await paid(remembering)
    lost = await lost_refund(world, order, 700)
    await lost.sent(world)
    await lost.sent(world, wire_key=fresh_key())
    await forgets(world)
    assert await asked(world) is None
    await assert_given_back(world, order, 700, 700)
    assert len((await found(world))["reported"]) == 1
    assert sorted(row["producer_key"] is None for row in await refunds_of(world, order)) == [False, True]


EDITED: dict[str, dict[str, str]] = {
    "an account that is none": {"eo_account": "x"},
    "another account": {"eo_account": str(UUID(int=5))},
    "no key": {"eo_key": "two words"},
    "a zero byte": {"eo_key": "a\x00b"},
}


@pytest.mark.parametrize("edit", EDITED)
async def test_edited_marks_never_keep_a_refund_off_the_books(
    remembering: World, monkeypatch: pytest.MonkeyPatch, edit: str
) -> None:
    world, order = remembering, await paid(remembering)
    await (await lost_refund(world, order, 700)).sent(world)
    listing = StripeGateway.list_refunds

    async def edited(self: StripeGateway, **window: Any) -> AsyncIterator[Refund]:
        async for shown in listing(self, **window):
            yield replaced(shown, metadata={**(shown.metadata or {}), **EDITED[edit]})

    monkeypatch.setattr(StripeGateway, "list_refunds", edited)
    await forgets(world)
    assert await asked(world) is None
    await assert_given_back(world, order, 700)
    assert [row["producer_key"] for row in await refunds_of(world, order)] == [None]


async def test_another_installations_refund_is_not_ours(remembering: World) -> None:
    world, order = remembering, await paid(remembering)
    await (await lost_refund(world, order, 700)).sent(world)
    await world.run("UPDATE instance SET uuid = gen_random_uuid()")
    await forgets(world)
    assert await asked(world) is None
    assert await refunds_of(world, order) == []


# --- a listing proves itself


async def test_a_listing_of_refunds_that_breaks_off_verifies_nothing(remembering: World) -> None:
    world, order = remembering, await paid(remembering)
    await (await lost_refund(world, order, 700)).sent(world)
    await forgets(world)
    world.stripe.faults({"fault": "unauthorized_401", **REFUNDS, "times": 1})
    assert "could not be asked" in str(await asked(world))
    assert await asked(world) is None
    await assert_given_back(world, order, 700)


async def test_a_listing_that_hides_a_known_refund_verifies_nothing(
    remembering: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, order = remembering, await paid(remembering)
    await asks(world, order, fresh_key(), amount=700)
    await world.work()
    (known,) = await refunds_of(world, order)
    await forgets(world)
    listing = StripeGateway.list_refunds

    async def without(self: StripeGateway, **window: Any) -> AsyncIterator[Refund]:
        async for shown in listing(self, **window):
            if shown.id != known["stripe_refund_id"]:
                yield shown

    with monkeypatch.context() as hiding:
        hiding.setattr(StripeGateway, "list_refunds", without)
        assert "did not show" in str(await asked(world))
    assert await asked(world) is None


def replaced(shown: Refund, **changes: Any) -> Refund:
    """The refund with these fields changed."""
    fields = {name: getattr(shown, name) for name in shown.__struct_fields__}
    return Refund(**{**fields, **changes})
