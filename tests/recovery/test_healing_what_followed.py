"""Healing puts refunds and captures on the books as Stripe shows them, forward only, and sends nothing."""

import pytest

from service.effects.model import Rules
from service.reconcile import Span, reconcile
from service.reconcile.healing import Healer
from service.recovery import Step, Verdict, adopt_refund, heal, heal_refund
from service.stripe_gateway import paths
from service.stripe_gateway.client import StripeGateway
from tests.charges.world import Promise, World
from tests.operators import OPERATOR
from tests.recovery.forgetting import forgotten, fresh_key, promise_of, shown
from tests.recovery.refunding import (
    asks,
    assert_given_back,
    given_back,
    lost_refund,
    paid,
    posted,
    refunds_of,
)
from tests.recovery.test_what_followed_comes_back import captured, taken

pytestmark = pytest.mark.slow


async def healed(world: World, intent_id: str, *, dry_run: bool = False) -> Verdict:
    async with StripeGateway(world.settings) as gateway:
        return await heal(world.engine, gateway, world.settings, intent_id, dry_run=dry_run)


async def refund_healed(world: World, refund_id: str, *, dry_run: bool = False) -> Verdict:
    async with StripeGateway(world.settings) as gateway:
        return await heal_refund(world.engine, gateway, world.settings, refund_id, dry_run=dry_run)


async def test_a_refund_made_past_us_is_booked_once_however_often_it_is_healed(remembering: World) -> None:
    world, order = remembering, await paid(remembering)
    refund_id = await given_back(world, order, 700)
    assert (await refund_healed(world, refund_id, dry_run=True)).step is Step.ADOPT
    assert await refunds_of(world, order) == [], "a dry run only tells"
    assert [(await refund_healed(world, refund_id)).step for _ in range(2)] == [Step.ADOPT, Step.REPORT]
    await assert_given_back(world, order, 700)


async def test_what_reconciliation_finds_of_a_refund_past_us_it_heals(remembering: World) -> None:
    world, order = remembering, await paid(remembering)
    refund_id = await given_back(world, order, 700)
    said: list[str] = []
    for _ in range(2):
        async with (
            StripeGateway(world.settings) as gateway,
            reconcile(world.engine, gateway, Span(), grace_s=0, rules=Rules.of(world.settings)) as report,
        ):
            await Healer(world.engine, gateway, world.settings, said.append).heal(report, who=OPERATOR)
    (about_it,) = [words for words in said if refund_id in words]
    assert about_it.endswith(": adopted")
    await assert_given_back(world, order, 700)


async def test_a_sweep_that_shows_a_refund_again_and_again_books_it_once(remembering: World) -> None:
    world, order = remembering, await paid(remembering)
    refund_id = await (await lost_refund(world, order, 700)).sent(world)
    async with StripeGateway(world.settings) as gateway:
        refund = await gateway.retrieve_refund(refund_id)
    assert refund is not None
    steps = [(await adopt_refund(world.engine, refund, world.settings)).step for _ in range(3)]
    assert steps == [Step.ADOPT, Step.NOTHING, Step.NOTHING]
    await assert_given_back(world, order, 700)


async def test_a_settled_refund_that_is_not_on_the_books_is_booked(remembering: World) -> None:
    world, order = remembering, await paid(remembering)
    ours = await asks(world, order, fresh_key(), amount=700)
    refund_id = await given_back(world, order, 700)
    await world.run(
        "UPDATE refunds SET status = 'succeeded', stripe_refund_id = :re WHERE id = :id", re=refund_id, id=ours
    )
    await world.run("DELETE FROM outbox")
    await world.run(
        "UPDATE orders SET amount_refunding_minor = 0, amount_refunded_minor = 700 WHERE id = :id", id=order.order_id
    )
    assert [(await refund_healed(world, refund_id, dry_run=dry)).step for dry in (True, False)] == [Step.SETTLE] * 2
    await assert_given_back(world, order, 700)


@pytest.mark.parametrize("other", ["amount_minor = 5", "currency = 'eur'"])
async def test_another_sum_is_never_booked(remembering: World, other: str) -> None:
    world, order = remembering, await paid(remembering)
    refund_id = await given_back(world, order, 700)
    assert (await refund_healed(world, refund_id)).step is Step.ADOPT
    await world.run(f"UPDATE refunds SET {other} WHERE order_id = :id", id=order.order_id)
    assert (await refund_healed(world, refund_id)).step is Step.REPORT


async def test_what_stripe_does_not_have_or_another_installation_made_is_left(remembering: World) -> None:
    world, order = remembering, await paid(remembering)
    assert (await refund_healed(world, "re_none")).step is Step.REPORT
    refund_id = await (await lost_refund(world, order, 700)).sent(world)
    await world.run("UPDATE instance SET uuid = gen_random_uuid()")
    assert (await refund_healed(world, refund_id)).step is Step.REPORT
    assert await refunds_of(world, order) == []


async def test_an_order_that_was_forgotten_is_healed_together_with_its_refunds(remembering: World) -> None:
    world = remembering
    lost = await forgotten(world, fresh_key())
    intent = str(await lost.sent(world))
    await posted(world, paths.REFUNDS, payment_intent=intent, amount=500)
    assert (await healed(world, intent)).step is Step.ADOPT
    await assert_given_back(world, promise_of(lost), 500)


async def test_a_partial_capture_that_was_forgotten_is_healed(remembering: World) -> None:
    world = remembering
    world.stripe.control("POST", "fees", {"delay_s": 0})
    lost = await forgotten(world, fresh_key(), capture="manual")
    intent = str(await lost.sent(world))
    await captured(world, intent, 1500)
    assert (await healed(world, intent)).step is Step.ADOPT
    assert (await shown(world, lost))["amount_captured_minor"] == 1500
    assert await taken(world, promise_of(lost)) == ("paid", 1500, [1500])


async def held(world: World) -> tuple[Promise, str]:
    """An order of which 1500 of 1999 usd were captured past us."""
    world.stripe.control("POST", "fees", {"delay_s": 0})
    order = await world.order(fresh_key(), capture="manual")
    await world.deliver(order)
    intent = str((await world.charge(order))["payment_intent_id"])
    await captured(world, intent, 1500)
    return order, intent


async def test_a_partial_capture_past_us_differs_in_nothing(remembering: World) -> None:
    world = remembering
    order, intent = await held(world)
    assert [(await healed(world, intent)).step for _ in range(2)] == [Step.SETTLE, Step.REPORT]
    assert await taken(world, order) == ("paid", 1500, [1500])
    await world.balanced()


async def test_a_settled_capture_that_is_not_on_the_books_is_booked_with_what_was_taken(remembering: World) -> None:
    world = remembering
    order, intent = await held(world)
    await world.run(
        "UPDATE charges SET status = 'succeeded', captured_minor = 1500 WHERE order_id = :id", id=order.order_id
    )
    await world.run("UPDATE orders SET status = 'paid', amount_captured_minor = 1500 WHERE id = :id", id=order.order_id)
    assert (await healed(world, intent)).step is Step.SETTLE
    assert await taken(world, order) == ("paid", 1500, [1500])


async def test_a_settled_capture_of_another_sum_is_left_to_a_human(remembering: World) -> None:
    world = remembering
    order, intent = await held(world)
    await world.run(
        "UPDATE charges SET status = 'succeeded', captured_minor = 1400 WHERE order_id = :id", id=order.order_id
    )
    assert (await healed(world, intent)).step is Step.REPORT
    assert await world.entries(order) == []
