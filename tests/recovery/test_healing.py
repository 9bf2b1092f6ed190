"""Stripe's own success puts right what reconciliation lists, forward only, and charges nobody."""

from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from service import outbox
from service.effects.model import Rules
from service.reconcile import Span, reconcile
from service.recovery import Step, Verdict, heal
from service.stripe_gateway.client import StripeGateway
from tests.charges.world import POST, Promise, World
from tests.operators import OPERATOR
from tests.recovery.forgetting import DECLINES, charges_of, forgotten, fresh_key, promise_of, shown


async def healed(world: World, intent_id: str, *, dry_run: bool = False) -> Verdict:
    async with StripeGateway(world.settings) as gateway:
        return await heal(world.engine, gateway, world.settings, intent_id, dry_run=dry_run)


async def discrepancies(world: World, intent_id: str) -> list[str]:
    """What reconciliation says of this payment, fees aside."""
    async with (
        StripeGateway(world.settings) as gateway,
        reconcile(world.engine, gateway, Span(), grace_s=0, rules=Rules.of(world.settings)) as report,
    ):
        return [
            d.name
            async for d in report.discrepancies()
            if d.payment_intent == intent_id and not d.name.startswith("fee")
        ]


def paid_with_another_card(world: World, intent_id: str) -> None:
    """As a customer does on Stripe's page, past us."""
    body = urlencode({"payment_method": "pm_card_visa"}).encode()
    headers = {"Authorization": f"Bearer {world.settings.stripe_api_key}"}
    with urlopen(Request(f"{world.stripe.base}/v1/payment_intents/{intent_id}/confirm", body, headers)):  # noqa: S310
        pass


async def intent_of(world: World, promise: Promise) -> str:
    return str((await world.charge(promise))["payment_intent_id"])


async def declined_here_and_paid_there(world: World) -> tuple[Promise, str]:
    promise = await world.order(fresh_key(), payment_method=DECLINES)
    await world.work()
    assert await world.status(promise) == "failed"
    intent_id = await intent_of(world, promise)
    paid_with_another_card(world, intent_id)
    return promise, intent_id


async def test_what_was_declined_here_and_paid_at_stripe_with_another_card_is_booked(remembering: World) -> None:
    world = remembering
    promise, intent_id = await declined_here_and_paid_there(world)
    assert await discrepancies(world, intent_id) == ["status_mismatch"]
    assert (await healed(world, intent_id, dry_run=True)).step is Step.SETTLE
    assert await world.status(promise) == "failed", "a dry run only tells"
    assert (await healed(world, intent_id)).step is Step.SETTLE
    await world.assert_charged_once(promise)
    assert await discrepancies(world, intent_id) == []


async def test_healing_twice_is_healing_once(remembering: World) -> None:
    world = remembering
    promise, intent_id = await declined_here_and_paid_there(world)
    assert [(await healed(world, intent_id)).step for _ in range(2)] == [Step.SETTLE, Step.REPORT]
    await world.assert_charged_once(promise)


async def test_an_order_that_was_forgotten_is_adopted(remembering: World) -> None:
    world = remembering
    lost = await forgotten(world, fresh_key())
    intent_id = await lost.sent(world)
    assert intent_id is not None
    assert await discrepancies(world, intent_id) == ["missing_locally"]
    assert [(await healed(world, intent_id, dry_run=dry)).step for dry in (True, False)] == [Step.ADOPT] * 2
    assert (await shown(world, lost))["status"] == "paid"
    await world.assert_charged_once(promise_of(lost))


async def test_a_lost_reply_is_settled_without_another_send(remembering: World) -> None:
    world, promise = remembering, await remembering.order(fresh_key())
    world.stripe.faults({"fault": "executed_reply_lost", **POST, "metadata_order": str(promise.order_id), "times": 1})
    await world.deliver(promise)
    (intent_id,) = [i async for i in _of_order(world, promise)]
    assert (await healed(world, intent_id)).step in (Step.SETTLE, Step.NOTHING)
    await world.work()
    await world.assert_charged_once(promise)


@pytest.mark.parametrize("status", ["failed", "canceled", "processing", "requires_action"])
async def test_an_order_whose_charge_is_settled_is_moved_to_paid(remembering: World, status: str) -> None:
    world, promise = remembering, await remembering.order(fresh_key())
    await world.work()
    await world.run("UPDATE orders SET status = :status WHERE id = :id", status=status, id=promise.order_id)
    intent_id = await intent_of(world, promise)
    assert [(await healed(world, intent_id, dry_run=dry)).step for dry in (True, False)] == [Step.SETTLE] * 2
    await world.assert_charged_once(promise)


async def test_a_settled_charge_that_is_not_on_the_books_is_booked(remembering: World) -> None:
    world, promise = remembering, await remembering.order(fresh_key(), payment_method=DECLINES)
    await world.work()
    intent_id = await intent_of(world, promise)
    paid_with_another_card(world, intent_id)
    await world.run("UPDATE charges SET status = 'succeeded' WHERE order_id = :id", id=promise.order_id)
    await world.run("UPDATE orders SET status = 'paid' WHERE id = :id", id=promise.order_id)
    assert await world.entries(promise) == []
    assert (await healed(world, intent_id, dry_run=True)).step is Step.SETTLE
    assert await world.entries(promise) == []
    assert (await healed(world, intent_id)).step is Step.SETTLE
    await world.assert_charged_once(promise)


async def test_a_parked_row_that_is_brought_back_is_worked_on_and_stale_no_more(remembering: World) -> None:
    world, promise = remembering, await remembering.order(fresh_key())
    await outbox.park(world.engine, promise.outbox_id, "by hand", who=OPERATOR)
    assert await of_order(world, promise) == ["stale_pending"]
    assert await outbox.retry(world.engine, [promise.outbox_id], who=OPERATOR) == [promise.outbox_id]
    await world.work()
    await world.assert_charged_once(promise)
    assert set(await of_order(world, promise)) <= {"fee_missing"}, "which the relay books"


async def of_order(world: World, promise: Promise) -> list[str]:
    """What reconciliation says of this order."""
    async with (
        StripeGateway(world.settings) as gateway,
        reconcile(world.engine, gateway, Span(), grace_s=0, rules=Rules.of(world.settings)) as report,
    ):
        return [d.name async for d in report.discrepancies() if d.order_id == promise.order_id]


async def test_another_sum_is_never_booked(remembering: World) -> None:
    world = remembering
    promise, intent_id = await declined_here_and_paid_there(world)
    await world.run("UPDATE charges SET amount_minor = 5 WHERE order_id = :id", id=promise.order_id)
    for dry_run in (True, False):
        verdict = await healed(world, intent_id, dry_run=dry_run)
        assert (verdict.step, verdict.reason) == (Step.REPORT, "its amount or currency is not its charge's")
    assert await world.status(promise) == "failed"


@pytest.mark.parametrize("other", ["amount_minor = 5", "currency = 'eur'"])
async def test_another_sum_of_a_settled_charge_is_not_booked_either(remembering: World, other: str) -> None:
    world = remembering
    promise, intent_id = await declined_here_and_paid_there(world)
    await world.run("UPDATE orders SET status = 'paid' WHERE id = :id", id=promise.order_id)
    await world.run(f"UPDATE charges SET status = 'succeeded', {other} WHERE order_id = :id", id=promise.order_id)
    assert (await healed(world, intent_id)).step is Step.REPORT
    assert await world.entries(promise) == []


async def test_what_is_not_ours_or_took_nothing_is_left(remembering: World) -> None:
    world, promise = remembering, await remembering.order(fresh_key(), payment_method=DECLINES)
    await world.work()
    untaken = await healed(world, await intent_of(world, promise))
    assert (untaken.step, untaken.reason) == (Step.REPORT, "Stripe did not take its money")
    assert (await healed(world, "pi_none")).step is Step.REPORT
    lost = await forgotten(world, fresh_key())
    intent_id = await lost.sent(world)
    assert intent_id is not None
    await world.run("UPDATE instance SET uuid = gen_random_uuid()")
    assert "no marks of this installation" in (await healed(world, intent_id)).reason
    assert charges_of(world, lost.marks.order_id) == 1


async def _of_order(world: World, promise: Promise) -> Any:
    async with StripeGateway(world.settings) as gateway:
        async for intent in gateway.list_payment_intents(0, 4_102_444_800):
            if intent.metadata.get("eo_order") == str(promise.order_id):
                yield intent.id
