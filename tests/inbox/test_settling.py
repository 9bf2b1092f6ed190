"""R38: an event is a hint. Before our own commit, twice, late or never, it leaves the same state behind."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from service.charges import CHARGE
from service.effects import judge_send
from service.stripe_gateway.client import StripeGateway
from tests.charges.wishes import ask_refund
from tests.charges.world import Promise, World
from tests.inbox.conftest import snapshot, thin
from tests.inbox.telling import as_thin, events_of, hear, inbox, notes, unsettled
from tests.recovery.forgetting import forgotten, fresh_key, shown
from tests.refunds.giving_back import FAILS_LATER, PENDS, paid, refund

ASKS = "pm_card_authenticationRequired"
Tell = Callable[[], Awaitable[None]]


async def state(world: World, promise: Promise) -> Any:
    """What this database says of the order, without moments and without ids of its own."""
    order = await world.one(
        "SELECT status, amount_refunded_minor, amount_refunding_minor, amount_owed_minor, failure, payment_intent_id"
        " FROM orders WHERE id = :id",
        id=promise.order_id,
    )
    charges = await world.all("SELECT status, captured_minor FROM charges WHERE order_id = :id", id=promise.order_id)
    refunds = await world.all("SELECT status, amount_minor FROM refunds WHERE order_id = :id", id=promise.order_id)
    entries = sorted(e["reference"].partition(":")[0] for e in await world.entries(promise))
    left = await world.all("SELECT kind FROM outbox WHERE order_id = :id", id=promise.order_id)
    await world.balanced()
    return {**order, "payment_intent_id": bool(order["payment_intent_id"])}, charges, refunds, entries, left


async def _nothing() -> None:
    return


POINTS = ("never", "before our commit", "twice", "thin and snapshot", "late")


@pytest.mark.parametrize("method", ["pm_card_visa", "pm_card_chargeDeclined"])
async def test_an_event_before_our_commit_twice_late_or_never_leaves_the_same(world: World, method: str) -> None:
    seen = {}
    for point in POINTS:
        promise = await world.order(payment_method=method)
        charge = await world.open_one(promise)
        async with StripeGateway(world.settings) as gateway:
            answer = await CHARGE.send(gateway, charge)
        assert answer.intent is not None
        events = await events_of(world, answer.intent.id)
        assert events
        both = [event for one in events for event in (one, as_thin(one))]
        if point == "before our commit":
            assert await hear(world, events) == [], "the worker that has it in hand is not overtaken"
            assert set(await unsettled(world)) == {"a worker is about to settle it"}
        if point == "thin and snapshot":
            await hear(world, both)
        assert await world.settle(charge, judge_send(CHARGE, charge, answer), answer=answer)
        if point == "twice":
            await hear(world, events)
            await hear(world, events)
        if point == "late":
            await hear(world, list(reversed(both)), rounds=2)
        await hear(world, [])
        assert await unsettled(world) == []
        seen[point] = msgspec.to_builtins(await state(world, promise))
        assert world.charges_at_stripe(promise) == (method == "pm_card_visa")
    assert all(one == seen["never"] for one in seen.values()), seen


async def test_a_success_whose_worker_died_before_its_commit_is_settled_by_the_event(world: World) -> None:
    promise = await world.order()
    charge = await world.open_one(promise)
    async with StripeGateway(world.settings) as gateway:
        answer = await CHARGE.send(gateway, charge)
    assert answer.intent is not None
    events = await events_of(world, answer.intent.id)
    await hear(world, events)
    assert await world.status(promise) == "processing"
    await world.leases_end()
    await hear(world, [])
    assert await unsettled(world) == []
    await world.assert_charged_once(promise)
    # The worker was only slow: its own answer finds the work done.
    assert not await world.settle(charge, judge_send(CHARGE, charge, answer), answer=answer)
    await world.assert_charged_once(promise)


async def _waits(world: World, method: str = ASKS) -> tuple[Promise, str]:
    """An order that waits for its customer, or its bank, for longer than this test; and its PaymentIntent."""
    promise = await world.order(payment_method=method)
    await world.deliver(promise)
    await world.run("UPDATE outbox SET deliver_after = now() + interval '1 hour'")
    return promise, (await world.charge(promise))["payment_intent_id"]


async def _finish(world: World, intent: str, *, succeed: bool = True) -> list[dict[str, Any]]:
    before = {event["id"] for event in await events_of(world, intent)}
    world.stripe.control("POST", f"payment_intents/{intent}/complete_action", {"succeed": succeed})
    return [event for event in await events_of(world, intent) if event["id"] not in before]


@pytest.mark.parametrize("method", [ASKS, "pm_sandbox_processing"])
@pytest.mark.parametrize("form", ["snapshot", "thin"])
async def test_a_payment_that_was_waited_for_is_settled_by_its_event(world: World, method: str, form: str) -> None:
    promise, intent = await _waits(world, method)
    events = await _finish(world, intent)
    asked = await hear(world, [as_thin(one) for one in events] if form == "thin" else events)
    await world.assert_charged_once(promise)
    assert await unsettled(world) == []
    assert sum("payment_intents" in one for one in asked) == 1, "several events of one object are one look"


async def test_many_payments_are_read_by_one_list(world: World) -> None:
    waiting = [await _waits(world) for _ in range(5)]
    events = [event for _, intent in waiting for event in await _finish(world, intent)]
    asked = await hear(world, [one for one in events if one["type"] == "payment_intent.succeeded"])
    assert asked == ["get /v1/payment_intents"]
    await world.assert_charged_once(*(promise for promise, _ in waiting))
    # Once they are on the books, no event of theirs is worth a call.
    assert await hear(world, [as_thin(one) for one in events]) == []
    assert await unsettled(world) == []


async def test_other_news_make_the_orders_own_look_due(world: World) -> None:
    """What is no proof needs the token: the worker asks, and settles."""
    promise, intent = await _waits(world)
    events = await _finish(world, intent, succeed=False)
    await hear(world, events)
    assert await world.status(promise) == "requires_action"
    row = await world.open_row(promise)
    assert row["deliver_after"] <= (await world.one("SELECT now() AS now"))["now"]
    assert await unsettled(world) == []
    await world.work()
    assert await world.status(promise) == "failed"


async def test_an_event_that_says_what_is_known_costs_no_call(world: World) -> None:
    _, intent = await _waits(world)
    told = [one for one in await events_of(world, intent) if one["data"]["object"].get("status") == "requires_action"]
    assert told
    assert await hear(world, told) == []
    assert await unsettled(world) == []


async def test_a_forgotten_payment_is_adopted(world: World) -> None:
    lost = await forgotten(world, fresh_key())
    await lost.sent(world)
    await world.deliver(await world.order())  # this database knows its Stripe by now
    (intent,) = world.stripe.truth(str(lost.marks.order_id))["payment_intents"]
    await hear(world, await events_of(world, intent))
    assert (await shown(world, lost))["status"] == "paid"
    assert await unsettled(world) == []
    await world.balanced()


async def test_a_refund_is_settled_by_its_event(world: World) -> None:
    promise = await paid(world, payment_method=PENDS)
    asked = await ask_refund(world, promise, 500)
    await world.deliver(asked)
    await world.run("UPDATE outbox SET deliver_after = now() + interval '1 hour'")
    row = await refund(world, asked)
    assert row["status"] == "processing"
    world.stripe.control("POST", f"refunds/{row['stripe_refund_id']}/end", {"status": "succeeded"})
    events = await events_of(world, row["stripe_refund_id"])
    await hear(world, [as_thin(events[-1])])
    assert (await refund(world, asked))["status"] == "succeeded"
    assert await unsettled(world) == []
    assert await hear(world, events) == [], "what they tell is known"
    await world.balanced()


async def test_a_refund_that_fails_later_is_noticed_by_its_event(world: World) -> None:
    promise = await paid(world, payment_method=FAILS_LATER)
    asked = await ask_refund(world, promise, 500)
    await world.deliver(asked)
    row = await refund(world, asked)
    world.stripe.control("POST", f"refunds/{row['stripe_refund_id']}/end", {"status": "failed"})
    await hear(world, (await events_of(world, row["stripe_refund_id"]))[-1:], rounds=2)
    assert (await refund(world, asked))["status"] == "failed"
    assert await unsettled(world) == []
    await world.balanced()


async def test_a_refund_made_past_us_is_adopted_by_its_event(world: World) -> None:
    promise = await paid(world)
    intent = (await world.charge(promise))["payment_intent_id"]
    async with StripeGateway(world.settings) as gateway:
        made = await gateway.post("/v1/refunds", {"payment_intent": intent, "amount": 300}, key="k", version="")
    assert made.refund is not None
    await hear(world, await events_of(world, made.refund.id))
    assert await world.all("SELECT status, amount_minor FROM refunds") == [{"status": "succeeded", "amount_minor": 300}]
    assert await unsettled(world) == []


async def test_what_is_not_ours_changes_nothing_and_is_said(world: World) -> None:
    await world.deliver(await world.order())  # this database knows its Stripe by now
    account = (await world.one("SELECT stripe_account_id FROM instance"))["stripe_account_id"]
    gone = [snapshot(about="pi_gone"), thin(about="pi_gone_too"), thin("v1.charge.updated", "ch_gone")]
    others = [
        snapshot(livemode=True),
        snapshot(account="acct_other"),
        thin(context="org_1/acct_other"),
        snapshot("customer.created", "cus_1"),
        snapshot("balance.available", {"object": "balance"}),
        snapshot("charge.succeeded", {"id": "ch_1", "object": "charge", "payment_intent": None, "status": "succeeded"}),
    ]
    own = snapshot("customer.created", "cus_2", account=account)
    before = await world.all("SELECT * FROM orders")
    asked = await hear(world, [*gone, *others, own])
    assert asked == [
        "get /v1/charges/ch_gone",
        "get /v1/payment_intents/pi_gone",
        "get /v1/payment_intents/pi_gone_too",
    ]
    assert await notes(world) == {
        "Stripe has no such object",
        "it is of another Stripe account (acct_other)",
        "it is of another Stripe account (org_1/acct_other)",
        "it is of Stripe's live mode, and this database is not",
        "nothing here follows such objects",
        "it names no object",
        "a charge without a PaymentIntent is none of ours",
    }
    assert await unsettled(world) == []
    assert await world.all("SELECT * FROM orders") == before


async def test_another_installations_payment_is_none_of_ours(world: World) -> None:
    lost = await forgotten(world, fresh_key())
    await lost.sent(world)
    (intent,) = world.stripe.truth(str(lost.marks.order_id))["payment_intents"]
    await world.run("UPDATE instance SET uuid = gen_random_uuid()")
    await hear(world, await events_of(world, intent))
    assert await notes(world) == {"no payment of this installation"}
    assert await world.all("SELECT 1 FROM orders") == []


async def test_stripe_that_cannot_be_asked_costs_no_event_its_next_look(world: World) -> None:
    promise, intent = await _waits(world)
    events = await _finish(world, intent)
    world.stripe.faults(
        {"fault": "error_500_before", "saved": False, "path": "payment_intents", "method": "GET", "times": 1000}
    )
    await hear(world, events)
    rows = await world.all("SELECT looks, note FROM stripe_events")
    assert {row["looks"] for row in rows} == {0}
    assert all(row["note"].startswith("Stripe could not be asked: ") for row in rows), rows
    world.stripe.calm()
    await hear(world, [])
    await world.assert_charged_once(promise)


async def test_what_stays_unknown_is_looked_at_ever_later_said_after_a_day_and_given_up_after_a_month(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    promise, intent = await _waits(world)
    events = await _finish(world, intent)
    await world.run("UPDATE orders SET amount_minor = amount_minor + 1")  # nothing of it agrees any more
    await world.run("UPDATE charges SET payment_intent_id = 'pi_of_another'")
    pauses = []
    for _ in range(5):
        await hear(world, events[:1])
        row = await world.one("SELECT extract(epoch FROM look_at - now()) AS s, note FROM stripe_events")
        pauses.append(float(row["s"]))
        assert row["note"] == "its object is unknown here"
    assert pauses == sorted(pauses)
    assert pauses[0] < 1 < pauses[4] < 10
    for _ in range(2):
        await world.run("UPDATE stripe_events SET received_at = received_at - interval '25 hours'")
        await hear(world, [])
    assert caplog.text.count("inbox.unsettled") == 1
    assert await unsettled(world) == ["for a day: its object is unknown here"]
    await world.run("UPDATE stripe_events SET received_at = received_at - interval '31 days'")
    await hear(world, [])
    assert await notes(world) == {"given up, unsettled: its object is unknown here"}
    assert await world.status(promise) == "requires_action"


async def test_settled_events_are_forgotten_after_as_long_as_they_are_kept(world: World) -> None:
    await hear(world, [snapshot("customer.created", f"cus_{n}") for n in range(3)])
    await world.run(
        "UPDATE stripe_events SET received_at = received_at - interval '31 days' WHERE object_id <> 'cus_0'"
    )
    await world.run("UPDATE stripe_events SET settled_at = NULL WHERE object_id = 'cus_1'")
    async with inbox(world) as (settling, _):
        assert await settling.forget() == 0
    left = await world.all("SELECT object_id FROM stripe_events ORDER BY object_id")
    assert [row["object_id"] for row in left] == ["cus_0", "cus_1"]
