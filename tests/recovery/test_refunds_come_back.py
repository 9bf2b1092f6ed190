"""A refund that was forgotten is found at Stripe, booked once, and never made again (R31)."""

from dataclasses import replace
from typing import Any

import pytest

from service.foundation.postgres.sql import Connection
from service.orders.timeline import timeline
from service.recovery import refund_rows
from service.stripe_gateway.client import StripeGateway
from tests.charges.world import World
from tests.recovery.forgetting import Passes, asked, forgotten, found, fresh_key, promise_of
from tests.recovery.refunding import (
    asks,
    assert_given_back,
    forgets,
    given_back,
    lost_refund,
    paid,
    refunds_of,
    sums,
)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("comes_first", [True, False])
async def test_a_forgotten_refund_that_is_asked_for_again_a_day_later_is_made_once(
    own_world: World, a_day_passes: Passes, *, comes_first: bool
) -> None:
    world = own_world
    order = await paid(world)
    lost = await lost_refund(world, order, 700)
    stripe_id = await lost.sent(world)
    await forgets(world)
    await a_day_passes(25)
    if comes_first:
        await asks(world, order, lost.key, amount=700)
    assert await asked(world) is None
    ours = await asks(world, order, lost.key, amount=700)
    await world.work()
    await assert_given_back(world, order, 700)
    (row,) = await refunds_of(world, order)
    assert (row["id"], row["producer_key"], row["stripe_refund_id"]) == (ours, lost.key, stripe_id)
    assert (row["id"] == lost.marks.refund_id) is not comes_first


async def test_a_send_that_was_forgotten_is_settled_by_the_refunds_id(own_world: World, a_day_passes: Passes) -> None:
    world = own_world
    order, key = await paid(world), fresh_key()
    ours = await asks(world, order, key, amount=700)
    lost = await lost_refund(world, order, 700, key=key)
    await replace(lost, marks=replace(lost.marks, refund_id=ours)).sent(world)
    await forgets(world)
    await a_day_passes(25)
    await world.work()
    await assert_given_back(world, order, 700)
    assert (await found(world))["refunds"]["settled"] == 1


async def test_a_forgotten_refund_comes_back_with_all_that_its_producer_gave(remembering: World) -> None:
    world, order = remembering, await paid(remembering)
    lost = await lost_refund(world, order, 700, why="too late")
    await lost.sent(world)
    await forgets(world)
    assert await asked(world) is None
    (row,) = await refunds_of(world, order)
    assert (row["id"], row["producer_key"], row["metadata"]) == (lost.marks.refund_id, lost.key, {"why": "too late"})
    await assert_given_back(world, order, 700)
    events = [event["event"] for event in await timeline(world.engine, order.account_id, order.order_id)]
    assert "refund.adopted" in events
    assert (await found(world))["refunds"] == {"adopted": 1, "past_us": 0, "settled": 0, "sums": {"usd": 700}}


async def test_a_forgotten_order_comes_back_with_its_refund(world: World) -> None:
    lost = await forgotten(world, fresh_key())
    intent = await lost.sent(world)
    async with StripeGateway(world.settings) as gateway:
        answer = await gateway.post(
            "/v1/refunds", {"payment_intent": intent, "amount": 500}, key=fresh_key(), version="2026-10-28.endive"
        )
    assert answer.refund is not None
    assert await asked(world) is None
    await assert_given_back(world, promise_of(lost), 500)


async def test_one_that_was_forgotten_while_another_is_pending_leaves_that_one_alone(remembering: World) -> None:
    world, order = remembering, await paid(remembering)
    ours = await asks(world, order, fresh_key(), amount=600)
    lost = await lost_refund(world, order, 700)
    await lost.sent(world)
    await forgets(world)
    assert await asked(world) is None
    assert await sums(world, order) == (700, 600, 0)
    await world.work()
    await assert_given_back(world, order, 700, 600)
    assert ours in [row["id"] for row in await refunds_of(world, order)]


async def test_two_equal_forgotten_refunds_are_two(remembering: World) -> None:
    world, order = remembering, await paid(remembering)
    for _ in range(2):
        await (await lost_refund(world, order, 700)).sent(world)
    await forgets(world)
    assert await asked(world) is None
    await assert_given_back(world, order, 700, 700)


async def test_a_refund_made_past_us_is_booked_without_a_key_and_is_no_loss(
    remembering: World, caplog: pytest.LogCaptureFixture
) -> None:
    world, order = remembering, await paid(remembering)
    await given_back(world, order, 700)
    await forgets(world)
    assert await asked(world) is None
    await assert_given_back(world, order, 700)
    assert [row["producer_key"] for row in await refunds_of(world, order)] == [None]
    assert (await found(world))["refunds"]["past_us"] == 1
    assert "recovery.loss_found" not in caplog.text


async def test_one_of_ours_that_a_refund_past_us_left_nothing_for_fails(remembering: World) -> None:
    world, order = remembering, await paid(remembering)
    ours = await asks(world, order, fresh_key())
    await given_back(world, order, 1999)
    await forgets(world)
    assert await asked(world) is None
    assert await sums(world, order) == (1999, 1999, 0)
    await world.work()
    await assert_given_back(world, order, 1999)
    assert {row["id"]: row["status"] for row in await refunds_of(world, order)}[ours] == "failed"


async def test_asking_twice_and_in_two_lives_brings_back_once(remembering: World) -> None:
    world, order = remembering, await paid(remembering)
    await (await lost_refund(world, order, 700)).sent(world)
    await given_back(world, order, 300)
    for _ in range(3):
        await forgets(world)
        assert await asked(world) is None
    await assert_given_back(world, order, 700, 300)


async def test_a_crash_in_the_middle_of_adoption_leaves_nothing_half_done(
    remembering: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, order = remembering, await paid(remembering)
    await (await lost_refund(world, order, 700)).sent(world)
    await forgets(world)

    async def dies(tx: Connection, *_: Any) -> None:
        raise SystemError("killed")

    with monkeypatch.context() as dying:
        dying.setattr(refund_rows, "_settle", dies)
        with pytest.raises(SystemError):
            await asked(world)
    assert await refunds_of(world, order) == []
    assert await sums(world, order) == (0, 0, 0)
    assert await asked(world) is None
    await assert_given_back(world, order, 700)


async def test_one_that_waits_at_stripe_is_followed_to_its_end(own_world: World) -> None:
    world = own_world
    order = await paid(world, payment_method="pm_sandbox_refundAsks")
    lost = await lost_refund(world, order, 700)
    stripe_id = await lost.sent(world)
    await forgets(world)
    assert await asked(world) is None
    (row,) = await refunds_of(world, order)
    assert (row["status"], row["stripe_refund_id"]) == ("processing", stripe_id)
    assert await sums(world, order) == (0, 700, 0)
    world.stripe.control("POST", f"refunds/{stripe_id}/end", {"status": "succeeded"})
    await world.all_due()
    await world.work()
    await assert_given_back(world, order, 700)


async def test_what_failed_is_owed_and_the_next_one_draws_it_down_though_both_were_forgotten(own_world: World) -> None:
    world = own_world
    order = await paid(world, payment_method="pm_card_refundFail")
    first = await (await lost_refund(world, order, 700)).sent(world)
    world.stripe.control("POST", f"refunds/{first}/end", {"status": "failed"})
    world.stripe.control("POST", "age", {"seconds": 60})
    second = await (await lost_refund(world, order, 700)).sent(world)
    await forgets(world)
    assert await asked(world) is None
    rows = {row["stripe_refund_id"]: row for row in await refunds_of(world, order)}
    assert [(rows[one]["status"], rows[one]["drawn_minor"]) for one in (first, second)] == [
        ("failed", 0),
        ("succeeded", 700),
    ]
    assert await sums(world, order) == (700, 0, 0)
    await world.balanced()


async def test_a_success_that_failed_at_stripe_meanwhile_is_settled(own_world: World) -> None:
    world = own_world
    order = await paid(world, payment_method="pm_card_refundFail")
    await asks(world, order, fresh_key(), amount=700)
    await world.work()
    (row,) = await refunds_of(world, order)
    assert row["status"] == "succeeded"
    world.stripe.control("POST", f"refunds/{row['stripe_refund_id']}/end", {"status": "failed"})
    await forgets(world)
    assert await asked(world) is None
    assert await sums(world, order) == (0, 0, 700)
    assert (await found(world))["refunds"]["settled"] == 1
    await world.balanced()


async def test_what_a_worker_is_about_to_settle_is_left_to_it(remembering: World) -> None:
    world, order = remembering, await paid(remembering)
    key = fresh_key()
    ours = await asks(world, order, key, amount=700)
    promise = await world.row_of(order.order_id)
    assert promise is not None
    await world.run("UPDATE refunds SET lease_until = now() + interval '1 minute' WHERE id = :id", id=ours)
    lost = await lost_refund(world, order, 700, key=key)
    await lost.sent(world)
    await forgets(world)
    assert await asked(world) is None
    assert [row["status"] for row in await refunds_of(world, order)] == ["pending"]
    await world.leases_end()
    await world.work()
    await assert_given_back(world, order, 700)
