"""What this database forgot comes back from Stripe before anything is sent: orders, attempts, answers (R31)."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import count
from typing import Any, Self
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from service import orders
from service.charges.request import STRIPE_VERSION, payment_intent_request
from service.fees import sweep_once
from service.reconcile import Span, reconcile
from service.recovery import current, store, verification, verify
from service.recovery.adoption import fingerprint_of
from service.recovery.knowing import Listed
from service.sql import Connection
from service.stripe_gateway import StripeGateway
from service.stripe_objects import IncompleteListing, Intent
from service.timeline import timeline
from tests.charges.world import Promise, World
from tests.ledger.test_fees import Always
from tests.model.tiny_stripe import replace_intent
from tests.recovery.forgetting import Forgotten, begin_another_life, charges_of, forgotten, fresh_key

Passes = Callable[[float], Awaitable[None]]
LIST = {"method": "GET", "path": "^/v1/payment_intents$"}
DECLINES, ASKS = "pm_card_chargeDeclined", "pm_card_threeDSecureRequired"


async def asked(world: World) -> str | None:
    """Stripe is asked; why sending must wait, or None."""
    async with StripeGateway(world.settings) as gateway:
        return await verify(world.engine, gateway, world.settings)


async def shown(world: World, lost: Forgotten) -> dict[str, Any]:
    """The order as the database has it, by the id it was accepted under."""
    return await world.one("SELECT * FROM orders WHERE id = :id", id=lost.marks.order_id)


async def found(world: World) -> dict[str, Any]:
    """What the life's listings have brought back."""
    return (await current(world.engine, world.settings)).found or {}


def unreadable(*calls: int) -> Callable[..., Awaitable[Any]]:
    """A gateway's way to read a page, which fails at these calls of it."""
    page, numbers = StripeGateway._page, count(1)

    async def sometimes(gateway: StripeGateway, path: str, params: Mapping[str, object]) -> Any:
        if next(numbers) in calls:
            raise IncompleteListing("a page could not be read")
        return await page(gateway, path, params)

    return sometimes


class SlowClock(datetime):
    """A host's clock that is half an hour behind the database's and Stripe's."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) - timedelta(minutes=30)


def days_ago(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def promise_of(lost: Forgotten) -> Promise:
    return Promise(lost.marks.order_id, UUID(int=0), lost.marks.account_id, lost.key)


# --- an order that was forgotten


async def test_a_paid_order_comes_back_as_it_was_and_is_booked(world: World) -> None:
    lost = await forgotten(world, fresh_key(), customer="cus_1", description="a mug", metadata={"b": "1", "a": "2"})
    intent = await lost.sent(world)
    assert await asked(world) is None
    order = await shown(world, lost)
    assert (order["status"], order["payment_intent_id"], order["idempotency_key"]) == ("paid", intent, lost.key)
    assert (order["customer"], order["description"], order["metadata"]) == ("cus_1", "a mug", {"b": "1", "a": "2"})
    assert order["created_at"].timestamp() == pytest.approx((lost.marks.order_id.int >> 80) / 1000, abs=0.001)
    await world.assert_charged_once(promise_of(lost))
    assert (await found(world))["adopted"] == 1
    assert (await found(world))["sums"] == {"adopted": {"usd": 1999}, "reported": {}}


async def test_its_producer_who_repeats_the_key_gets_a_replay(world: World) -> None:
    lost = await forgotten(world, fresh_key())
    await lost.sent(world)
    assert await asked(world) is None
    placed = await lost.repeated(world)
    assert (placed.replayed, placed.order.id, placed.order.status) == (True, str(lost.marks.order_id), "paid")


async def test_the_timeline_says_that_it_was_brought_back(world: World) -> None:
    lost = await forgotten(world, fresh_key())
    await lost.sent(world)
    assert await asked(world) is None
    events = [e["event"] for e in await timeline(world.engine, lost.marks.account_id, lost.marks.order_id)]
    assert events.count("order.adopted") == 1
    assert events[-1] == "order.paid"


async def test_of_another_account_it_comes_back_under_its_derived_key(world: World) -> None:
    lost = await forgotten(world, fresh_key(), account_id=await world.other_account())
    await lost.sent(world)
    assert await asked(world) is None
    assert (await world.charge(promise_of(lost)))["idempotency_key"].startswith("eo1:")
    await world.assert_charged_once(promise_of(lost))


async def test_a_decline_comes_back_as_a_failure(world: World) -> None:
    lost = await forgotten(world, fresh_key(), payment_method=DECLINES)
    await lost.sent(world)
    assert await asked(world) is None
    order = await shown(world, lost)
    assert (order["status"], order["failure"]["code"]) == ("failed", "card_declined")
    assert await world.row_of(lost.marks.order_id) is None


async def test_what_waits_for_its_customer_comes_back_and_is_followed_to_its_end(world: World) -> None:
    lost = await forgotten(world, fresh_key(), payment_method=ASKS)
    intent = await lost.sent(world)
    assert await asked(world) is None
    assert (await shown(world, lost))["status"] == "requires_action"
    world.stripe.control("POST", f"payment_intents/{intent}/complete_action", {"succeed": True})
    await world.all_due()
    await world.work()
    await world.assert_charged_once(promise_of(lost))


async def test_more_orders_than_fit_on_a_page_come_back(world: World) -> None:
    lost = [await forgotten(world, fresh_key()) for _ in range(105)]
    for one in lost:
        await one.sent(world)
    assert await asked(world) is None
    assert (await found(world))["adopted"] == 105
    assert (await world.one("SELECT count(*) AS n FROM orders WHERE status = 'paid'"))["n"] == 105
    await world.balanced()


# --- an order that was forgotten and repeated before Stripe was asked


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
    async with StripeGateway(world.settings) as gateway:
        await sweep_once(world.engine, gateway, now=datetime.now(UTC), rng=Always())
    for span in (Span(since=days_ago(3)), Span(since=days_ago(3), until=days_ago(0.5)), Span(since=days_ago(0.5))):
        async with (
            StripeGateway(world.settings) as gateway,
            reconcile(world.engine, gateway, span, grace_s=0) as report,
        ):
            assert [d async for d in report.discrepancies()] == []


# --- an attempt, a send or an answer that was forgotten


async def test_a_send_that_was_forgotten_is_settled_by_the_payments_id(aging: World, a_day_passes: Passes) -> None:
    world, promise = aging, await aging.order()
    lost = await forgotten(world, promise.key, order_id=promise.order_id)
    await lost.sent(world)  # the backup was made after the order was placed, and before it was opened
    await begin_another_life(world)
    await a_day_passes(25)
    assert await asked(world) is None
    await world.work()
    await world.assert_charged_once(promise)
    assert (await found(world))["adopted"] == 1


async def test_a_send_again_that_was_forgotten_is_settled_by_the_payments_id(
    own_world: World, a_day_passes: Passes
) -> None:
    world, promise = own_world, await own_world.order()
    world.stripe.faults({"fault": "rate_limited", "method": "POST", "path": "^/v1/payment_intents$", "times": 1})
    await world.deliver(promise)
    assert not (await world.charge(promise))["maybe_executed"]
    lost = await forgotten(world, promise.key, order_id=promise.order_id)
    await lost.sent(world)
    await begin_another_life(world)
    await a_day_passes(25)
    await world.work()
    await world.assert_charged_once(promise)


async def test_an_attempt_after_a_decline_that_was_forgotten_comes_back(world: World) -> None:
    await world.run("UPDATE lives SET verified_until = 'infinity'")
    promise = await world.order(payment_method=DECLINES)
    await world.run("UPDATE lives SET identity = database_identity()")
    await world.work()
    assert await world.status(promise) == "failed"
    lost = await forgotten(world, promise.key, order_id=promise.order_id, attempt=2)
    await lost.sent(world)
    await begin_another_life(world)
    assert await asked(world) is None
    assert await world.status(promise) == "paid"
    assert (await world.charge(promise, 2))["status"] == "succeeded"
    assert world.charges_at_stripe(promise) == 1


async def test_an_answer_that_nobody_read_is_settled_and_is_no_loss(
    remembering: World, caplog: pytest.LogCaptureFixture
) -> None:
    world, promise = remembering, await remembering.order()
    world.stripe.faults({"fault": "executed_reply_lost", "method": "POST", "path": "^/v1/payment_intents$", "times": 1})
    await world.deliver(promise)
    await begin_another_life(world)
    assert await asked(world) is None
    await world.assert_charged_once(promise)
    assert (await found(world))["settled"] == 1
    assert "recovery.loss_found" not in caplog.text


async def test_what_a_worker_is_about_to_settle_is_left_to_it(remembering: World) -> None:
    world, promise = remembering, await remembering.order()
    charge = await world.open_one(promise)
    await (await forgotten(world, promise.key, order_id=promise.order_id)).sent(world)
    await begin_another_life(world)
    assert await asked(world) is None
    assert (await world.charge(promise))["token"] == charge.token
    await world.leases_end()
    await world.all_due()
    await world.work()
    await world.assert_charged_once(promise)


async def test_an_order_that_waits_for_its_customer_is_not_parked_by_another_payment(remembering: World) -> None:
    world, key = remembering, fresh_key()
    promise = await world.order(key, payment_method=ASKS)
    await world.deliver(promise)
    await sent_with(world, await forgotten(world, key), {}, amount=777)
    await begin_another_life(world)
    assert await asked(world) is None
    assert (await world.open_row(promise))["parked_at"] is None
    assert len((await found(world))["reported"]) == 1


async def test_an_adopted_payment_without_a_key_is_followed_to_its_end(aging: World) -> None:
    world = aging  # whose Stripe no other test shares: nothing in such payments tells installations apart
    lost = await forgotten(world, fresh_key(), payment_method=ASKS)
    intent = await lost.sent(world, by_version_before=True)
    repeat = UUID((await lost.repeated(world)).order.id)
    async with StripeGateway(world.settings) as gateway:
        now = await gateway.retrieve_payment_intent(str(intent))
    assert now is not None
    await world.run("UPDATE orders SET fingerprint = :as_shown", as_shown=fingerprint_of(now))
    assert await asked(world) is None
    assert (await orders.get(world.engine, lost.marks.account_id, repeat)).status == "requires_action"
    world.stripe.control("POST", f"payment_intents/{intent}/complete_action", {"succeed": True})
    await world.all_due()
    await world.deliver(*[Promise(repeat, row["id"], lost.marks.account_id, lost.key) for row in await due(world)])
    assert (await orders.get(world.engine, lost.marks.account_id, repeat)).status == "paid"
    await world.balanced()


async def due(world: World) -> list[dict[str, Any]]:
    return await world.all("SELECT id FROM outbox")


# --- what cannot be brought back is told, and stops nothing


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


async def lost_orders(world: World) -> list[str]:
    return [row["idempotency_key"] for row in await world.all("SELECT idempotency_key FROM orders")]


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
    insert = store._insert_order

    async def too_late(tx: Connection, listed: Listed) -> bool:
        await lost.repeated(world)
        return await insert(tx, listed)

    monkeypatch.setattr(store, "_insert_order", too_late)
    assert await asked(world) is None
    (order,) = await world.all("SELECT id, status FROM orders")
    assert (order["status"], order["id"] == lost.marks.order_id) == ("paid", False)
    assert charges_of(world, lost.marks.order_id, order["id"]) == 1


# --- payments of the version before bear no key


async def test_an_order_of_the_version_before_comes_back_by_the_key_in_stripes_event(aging: World) -> None:
    world = aging  # whose Stripe no other test shares: nothing in such payments tells installations apart
    lost = await forgotten(world, fresh_key())
    await lost.sent(world, by_version_before=True)
    assert await asked(world) is None
    assert (await shown(world, lost))["idempotency_key"] == lost.key
    await world.assert_charged_once(promise_of(lost))


async def test_of_another_account_an_order_of_the_version_before_is_reported(aging: World) -> None:
    world = aging  # whose Stripe no other test shares: nothing in such payments tells installations apart
    lost = await forgotten(world, fresh_key(), account_id=await world.other_account())
    await lost.sent(world, by_version_before=True)
    assert await asked(world) is None
    (reported,) = (await found(world))["reported"]
    assert "key" in reported["why"]


# --- a listing proves itself


async def test_a_listing_that_breaks_off_verifies_nothing_and_nothing_is_sent(world: World) -> None:
    lost = await forgotten(world, fresh_key())
    await lost.sent(world)
    repeat = (await lost.repeated(world)).order
    world.stripe.faults({"fault": "unauthorized_401", **LIST, "times": 1})
    assert "could not be asked" in str(await asked(world))
    assert (await world.one("SELECT status FROM orders WHERE id = :id", id=UUID(repeat.id)))["status"] == "pending"
    assert await asked(world) is None


async def test_a_listing_that_hides_what_is_known_verifies_nothing(remembering: World) -> None:
    world, promise = remembering, await remembering.order()
    await world.work()
    await begin_another_life(world)
    with hidden(await world.charge(promise)):
        assert "did not show" in str(await asked(world))
    assert await asked(world) is None


async def test_a_known_payment_that_stripe_has_deleted_stops_nothing(remembering: World) -> None:
    world, promise = remembering, await remembering.order()
    await world.work()
    await world.run("UPDATE charges SET payment_intent_id = 'pi_deleted' WHERE order_id = :id", id=promise.order_id)
    await begin_another_life(world)
    assert await asked(world) is None


async def test_a_payment_made_after_the_bound_minus_its_margin_is_on_the_listing(own_world: World) -> None:
    world = own_world
    await world.run("UPDATE lives SET heartbeat_at = now()")
    lost = await forgotten(world, fresh_key())
    await lost.sent(world)
    world.stripe.control("POST", "age", {"seconds": 300})
    await begin_another_life(world)
    assert await asked(world) is None
    assert (await found(world))["adopted"] == 1
    bound = (await current(world.engine, world.settings)).bound
    assert (await shown(world, lost))["created_at"] - bound > timedelta(0)


async def test_what_a_listing_that_broke_off_has_brought_back_is_counted_and_told_by_the_next(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = [await forgotten(world, fresh_key()) for _ in range(101)]
    for one in lost:
        await one.sent(world)
    with monkeypatch.context() as broken:
        broken.setattr(StripeGateway, "_page", unreadable(2, 3))
        assert "could not be asked" in str(await asked(world))
    assert await asked(world) is None
    assert (await found(world))["adopted"] == 101
    (told,) = [record for record in caplog.records if record.message == "recovery.loss_found"]
    assert told.__dict__["fields"]["adopted"] == 101
    assert told.__dict__["fields"]["minor_units"] == [f"{101 * 1999} usd"]


async def test_a_listing_goes_on_where_a_page_could_not_be_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = [await forgotten(world, fresh_key()) for _ in range(101)]
    for one in lost:
        await one.sent(world)
    monkeypatch.setattr(StripeGateway, "_page", unreadable(2))
    assert await asked(world) is None
    assert (await found(world))["adopted"] == 101


async def test_a_host_whose_clock_is_behind_hides_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = await forgotten(world, fresh_key())
    await lost.sent(world)
    monkeypatch.setattr(verification, "datetime", SlowClock, raising=False)
    assert await asked(world) is None
    await world.assert_charged_once(promise_of(lost))


# --- once more is the same


async def test_asking_twice_brings_nothing_back_twice(world: World) -> None:
    lost = await forgotten(world, fresh_key())
    await lost.sent(world)
    for _ in range(2):
        assert await asked(world) is None
        await world.run(
            "UPDATE lives SET seen_at = seen_at - margin, verified_until = now() WHERE identity = database_identity()"
        )
    assert (await found(world))["adopted"] == 1
    await world.assert_charged_once(promise_of(lost))


async def test_what_a_zombie_has_sent_after_the_first_listing_comes_back_by_the_second(world: World) -> None:
    assert await asked(world) is None
    lost = await forgotten(world, fresh_key())
    await lost.sent(world)
    await world.run("UPDATE lives SET seen_at = seen_at - margin")
    assert await asked(world) is None
    life = await current(world.engine, world.settings)
    assert (life.closed, (life.found or {})["adopted"]) == (True, 1)
    await world.assert_charged_once(promise_of(lost))


@contextmanager
def hidden(charge: dict[str, Any]) -> Iterator[None]:
    """A Stripe whose lists leave this charge's PaymentIntent out."""
    listing = StripeGateway.list_payment_intents

    def without(self: StripeGateway, *window: Any) -> Any:
        async def others() -> Any:
            async for intent in listing(self, *window):
                if intent.id != charge["payment_intent_id"]:
                    yield intent

        return others()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StripeGateway, "list_payment_intents", without)
        yield
