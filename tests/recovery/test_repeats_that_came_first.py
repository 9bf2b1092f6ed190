"""An order that was forgotten, and repeated before Stripe was asked: the money is charged once (R31)."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from service import orders
from service.effects.model import Rules
from service.orders.timeline import timeline
from service.reconcile import Span, reconcile
from service.stripe_gateway.client import StripeGateway
from tests.balance.support import sweep_balance
from tests.charges.world import World
from tests.recovery.forgetting import (
    Passes,
    charges_of,
    forgotten,
    found,
    fresh_key,
)

pytestmark = pytest.mark.slow


def days_ago(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


async def test_a_repeat_that_came_first_has_the_money_and_both_ids(world: World) -> None:
    lost = await forgotten(world, fresh_key())
    await lost.sent(world)
    repeat = (await lost.repeated(world)).order
    assert repeat.id != str(lost.marks.order_id)
    await world.work()
    assert charges_of(world, lost.marks.order_id, UUID(repeat.id)) == 1
    for order_id in (lost.marks.order_id, UUID(repeat.id)):
        order = await orders.get(world.engine, lost.marks.account_id, order_id)
        assert (order.id, order.status) == (repeat.id, "paid")
    assert (await timeline(world.engine, lost.marks.account_id, lost.marks.order_id))[-1]["event"] == "order.paid"
    await world.balanced()


async def test_a_repeat_a_day_later_is_not_charged_again(aging: World, a_day_passes: Passes) -> None:
    world, lost = aging, await forgotten(aging, fresh_key())
    await lost.sent(world)
    await a_day_passes(25)
    repeat = (await lost.repeated(world)).order
    await world.work()
    assert charges_of(world, lost.marks.order_id, UUID(repeat.id)) == 1
    assert (await orders.get(world.engine, lost.marks.account_id, UUID(repeat.id))).status == "paid"


@pytest.mark.parametrize("hours", [0, 25])
async def test_a_repeat_with_another_body_is_parked_and_never_sent(
    aging: World, a_day_passes: Passes, hours: int
) -> None:
    world, lost = aging, await forgotten(aging, fresh_key())
    await lost.sent(world)
    if hours:
        await a_day_passes(hours)
    repeat = (await lost.repeated(world, amount=2500)).order
    for _ in range(3):
        await world.work()
        await world.run("UPDATE outbox SET parked_at = NULL, deliver_after = now()")
    assert charges_of(world, lost.marks.order_id, UUID(repeat.id)) == 1
    assert await world.calls_of(UUID(repeat.id)) == ["lookup"] * 2, "what the listing parked is only looked up"
    (reported,) = (await found(world))["reported"]
    assert reported["order_id"] == str(lost.marks.order_id)


async def test_a_repeat_that_has_the_money_reconciles_also_in_a_window_that_it_is_not_part_of(
    aging: World, a_day_passes: Passes
) -> None:
    world = aging
    lost = await forgotten(world, fresh_key())
    await lost.sent(world)
    await a_day_passes(25)
    await lost.repeated(world)
    await world.work()
    await sweep_balance(world.engine, world.settings)
    for span in (Span(since=days_ago(3)), Span(since=days_ago(3), until=days_ago(0.5)), Span(since=days_ago(0.5))):
        async with (
            StripeGateway(world.settings) as gateway,
            reconcile(world.engine, gateway, span, grace_s=0, rules=Rules.of(world.settings)) as report,
        ):
            assert [d async for d in report.discrepancies()] == []
