"""R25, R36: every state has an end. Nothing is asked for for ever, and what is asked costs little."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from service import outbox
from service.changes import CHANGE
from service.changes.answers import judge_retrieve as judge_change
from service.charges import CHARGE
from service.charges.answers import judge_intent, judge_retrieve
from service.charges.model import OpenCharge
from service.effects.answers import judge_send
from service.effects.model import Outcome, Rules
from service.effects.parking import Parked
from service.effects.patience import WAITS, with_an_end
from service.effects.request import STRIPE_VERSION
from service.foundation.settings import Settings
from service.states import CHARGE_FINAL, WaitsFor
from service.stripe_gateway import paths
from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.objects import Answer
from tests.charges.answers import NOW, RULES, change, charge, decline, error, intent, nothing, ok, resent
from tests.charges.world import Promise, World
from tests.operators import OPERATOR

CUSTOMER = "pm_card_authenticationRequired"
BANK = "pm_sandbox_processing"
# Every status of a PaymentIntent that Stripe documents, and one of tomorrow.
STATUSES = (
    "requires_payment_method", "requires_confirmation", "requires_action", "processing", "requires_capture",
    "canceled", "succeeded", "requires_weather",
)  # fmt: skip
LONG = timedelta(days=365)
CANCEL = {"method": "POST", "path": "/cancel$"}
Hours = Callable[[float], Awaitable[None]]


def known(status: str = "unknown", *, age: timedelta = timedelta(0), **changes: Any) -> OpenCharge:
    """A charge whose PaymentIntent is known, as old as `age`."""
    defaults = {"status": status, "payment_intent_id": "pi_1", "call": "retrieve", "first_sent_at": NOW - age}
    return resent(**defaults | changes)


def shown(status: str, age: timedelta) -> Answer:
    return ok(status, created=int((NOW - age).timestamp()))


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("before", ["unknown", "requires_action", "processing"])
def test_no_state_at_stripe_is_asked_for_without_an_end(status: str, before: str) -> None:
    young = judge_retrieve(known(before), shown(status, timedelta(0)))
    assert young.final or young.waits_for is not None, "a fact that is no end names whose turn it is"
    old = known(before, age=LONG)
    outcome = with_an_end(old, judge_retrieve(old, shown(status, LONG)), RULES)
    assert outcome.final or outcome.parked or outcome.expires


@pytest.mark.parametrize("status", STATUSES)
def test_no_state_of_an_answer_to_a_send_is_without_an_end_either(status: str) -> None:
    for sent in (charge(), resent()):
        outcome = judge_send(CHARGE, sent, shown(status, LONG))
        old = replace(sent, first_sent_at=NOW - LONG)
        ended = with_an_end(old, outcome, RULES)
        is_looked_up = outcome.next_call in ("lookup", "retrieve") and outcome.intent is None
        assert ended.final or ended.parked or ended.expires or is_looked_up


ODD = {
    "gone": error(404, "invalid_request_error", code="resource_missing"),
    "another sum": ok("succeeded", amount=1, created=int((NOW - LONG).timestamp())),
    "another's metadata": ok("succeeded", metadata={}, created=int((NOW - LONG).timestamp())),
}


@pytest.mark.parametrize("name", ODD)
def test_a_payment_that_is_not_what_it_should_be_is_given_to_a_human(name: str) -> None:
    old = known(age=LONG)
    parked = with_an_end(old, judge_retrieve(old, ODD[name]), RULES).parked
    assert parked is not None
    assert parked.startswith(Parked.UNFINISHED)
    young = known(age=timedelta(hours=1))
    soon = replace(ODD[name], intent=None) if ODD[name].intent else ODD[name]
    assert with_an_end(young, judge_retrieve(young, soon), RULES).parked is None


@pytest.mark.parametrize("answer", [error(429), error(500), error(503), nothing(), error(401), error(409)])
def test_what_says_nothing_about_the_payment_parks_nobody(answer: Answer) -> None:
    old = known("requires_action", age=LONG)
    assert with_an_end(old, judge_retrieve(old, answer), RULES).parked is None
    for nth in (1, 9):
        late = change(nth=nth, born_at=NOW - LONG, first_send=False)
        for outcome in (judge_send(CHANGE, late, answer), judge_change(late, answer)):
            assert with_an_end(late, outcome, RULES).parked is None


def test_each_wait_has_a_bound_and_an_end_and_the_docs_have_its_row() -> None:
    assert set(WAITS) == set(get_args(WaitsFor))
    assert all(wait.bound_s(RULES) > 0 and wait.end for wait in WAITS.values())
    page = (Path(__file__).parents[2] / "docs/explanation/protocol.md").read_text()
    assert all(f"| {wait.means} | " in page and f" | {wait.end} | " in page for wait in WAITS.values())
    assert WAITS["customer"].bound_s(Rules.of(Settings(action_max_s=5.0))) == 5.0


def test_a_payment_is_asked_for_ever_more_rarely_and_not_past_its_bound() -> None:
    asked, age = 0, 0.0
    while True:
        waiting = known("requires_action", age=timedelta(seconds=age))
        outcome = with_an_end(waiting, judge_retrieve(waiting, shown("requires_action", timedelta(seconds=age))), RULES)
        if outcome.expires:
            break
        assert outcome.wait_s is not None
        assert outcome.wait_s <= max(30.0, age / 2)
        age, asked = age + outcome.wait_s, asked + 1
    assert asked < 45, "a day of waiting costs some forty questions"
    assert age < RULES.action_max_s + 60, "and the cancellation is not late"


@pytest.mark.parametrize("created", [1_795_046_399, 1_795_046_380])  # within 80 s before midnight, UTC
def test_a_success_that_may_be_of_the_next_day_is_asked_for_its_moment(created: int) -> None:
    outcome = judge_send(CHARGE, charge(), ok(created=created))
    assert (outcome.next_call, outcome.retry_s) == ("retrieve", 0.0)
    assert outcome.status == "unknown"
    assert judge_send(CHARGE, charge(), ok(created=created - 80)).status == "succeeded"
    assert judge_retrieve(known(), ok(created=created)).status == "succeeded", "a GET shows it, and is believed"


# What Stripe may answer to a cancellation, without an end of the payment in it.
NO_ENDS = (
    error(400, "invalid_request_error", code="payment_intent_unexpected_state"),
    error(400, "invalid_request_error", code="payment_intent_unexpected_state", replayed=True),
    error(500),
    error(500, replayed=True),
    decline(),
    error(404, "invalid_request_error"),
    error(404, "invalid_request_error", code="resource_missing"),
)


def test_a_canceled_payment_is_canceled_and_only_an_end_that_is_shown_is_believed_of_a_cancellation() -> None:
    assert judge_send(CHANGE, change(), ok("canceled")).status == "done"
    assert judge_send(CHANGE, change(), ok("succeeded")).status == "refused", "and the payment itself is the proof"
    for answer in NO_ENDS:
        for asked in (change(), change(first_send=False, unclear_answers=1)):
            outcome = judge_send(CHANGE, asked, answer)
            assert (outcome.status, outcome.next_call) == ("sending", "retrieve")
    raced = judge_send(CHANGE, change(), NO_ENDS[0])
    assert raced.next_try, "the refusal is saved under this key"
    assert with_an_end(change(), raced, RULES).retry_s == 0.0, "it may have succeeded just now"
    lost = judge_send(CHANGE, change(), nothing())
    assert (lost.status, lost.next_call, lost.next_try) == ("sending", "send", False), "the same bytes, the same key"


@pytest.mark.parametrize("another", [{"amount": 1}, {"currency": "eur"}, {"metadata": {}}, {"id": "pi_2"}])
def test_a_cancellation_is_not_done_by_another_payment(another: dict[str, Any]) -> None:
    for status in ("canceled", "succeeded"):
        outcome = judge_send(CHANGE, change(), ok(status, **another))
        assert (outcome.status, outcome.intent) == ("sending", None)


def test_a_refused_cancellation_parks_nobody_before_the_payment_is_asked_for() -> None:
    """Days late, after an outage: it may have succeeded, or been canceled by the worker that died."""
    refused = NO_ENDS[0]
    for nth in (1, 9):
        late = change(nth=nth, born_at=NOW - LONG)
        outcome = with_an_end(late, judge_send(CHANGE, late, refused), RULES)
        assert (outcome.parked, outcome.next_call, outcome.retry_s) == (None, "retrieve", 0.0)
    still = shown("requires_action", LONG)
    ends = {}
    for nth in (1, 2, 9):
        late = change(nth=nth, born_at=NOW - LONG, call="retrieve")
        ends[nth] = with_an_end(late, judge_change(late, still), RULES)
    assert [(ends[nth].next_call, ends[nth].parked) for nth in (1, 2)] == [("send", None)] * 2
    assert ends[9].parked == "unfinished: Stripe does not do it (requires_action)"
    young = change(nth=9, born_at=NOW - timedelta(hours=23), call="retrieve")
    assert with_an_end(young, judge_change(young, still), RULES).parked is None, "Stripe has a day"


async def _wait_for_the_customer(world: World) -> Promise:
    promise = await world.order(payment_method=CUSTOMER)
    await world.deliver(promise)
    assert await world.status(promise) == "requires_action"
    return promise


async def _is(world: World, promise: Promise, status: str) -> None:
    async def there() -> bool:
        return await world.status(promise) == status

    await world.work(done=there)


async def test_an_abandoned_3d_secure_is_canceled_at_stripe_after_24_hours(
    own_world: World, a_day_passes: Hours
) -> None:
    promise = await _wait_for_the_customer(own_world)
    await a_day_passes(23.9)
    await own_world.deliver(promise)
    assert await own_world.status(promise) == "requires_action", "the customer has until then"
    await a_day_passes(0.2)
    await _is(own_world, promise, "canceled")
    assert await own_world.row(promise) is None
    assert await own_world.calls(promise) == ["send", "retrieve", "retrieve"], "what says nothing new is not noted"
    (cancellation,) = await own_world.changes(promise)
    assert (cancellation["kind"], cancellation["wanted_by"], cancellation["status"]) == ("cancel", "expiry", "done")
    assert [h["call"] for h in cancellation["history"] if "call" in h] == ["send"]
    assert own_world.charges_at_stripe(promise) == 0
    row = await own_world.charge(promise)
    async with own_world.stack:
        worker = await own_world.worker()
        answer = await worker._gateway.get_payment_intent(row["payment_intent_id"])
    assert answer.intent is not None
    assert answer.intent.status == "canceled"


async def test_a_success_that_races_the_cancellation_wins_and_is_dated_by_its_charge(
    own_world: World, a_day_passes: Hours
) -> None:
    promise = await _wait_for_the_customer(own_world)
    await a_day_passes(24.1)
    await own_world.deliver(promise)  # still waiting: to be canceled next
    row = await own_world.charge(promise)
    assert [(c["kind"], c["wanted_by"], c["status"]) for c in await own_world.changes(promise)] == [
        ("cancel", "expiry", "pending")
    ]
    own_world.stripe.control("POST", f"payment_intents/{row['payment_intent_id']}/complete_action", {"succeed": True})
    await own_world.work()
    await own_world.assert_charged_once(promise)
    (cancellation,) = await own_world.changes(promise)
    assert cancellation["status"] == "refused"
    (entry,) = await own_world.entries(promise)
    charged = (await own_world.charge(promise))["charged_at"]
    assert entry["occurred_at"] == charged
    assert charged - row["stripe_created"] > timedelta(hours=24), "today, and not in yesterday's closed balance"


@pytest.mark.parametrize("is_paid", [True, False])
async def test_what_ended_at_stripe_long_before_our_cancellation_is_not_given_to_a_human(
    own_world: World, a_day_passes: Hours, *, is_paid: bool
) -> None:
    """The workers were away for days. What Stripe answers to a cancellation that comes too late is a refusal."""
    promise = await _wait_for_the_customer(own_world)
    await a_day_passes(72)
    await own_world.deliver(promise)
    intent_id = (await own_world.charge(promise))["payment_intent_id"]
    if is_paid:
        own_world.stripe.control("POST", f"payment_intents/{intent_id}/complete_action", {"succeed": True})
    else:
        async with StripeGateway(own_world.settings) as gateway:
            await gateway.post(paths.cancel(intent_id), {}, key="a key that Stripe forgot", version=STRIPE_VERSION)
    for _ in range(2):  # refused, and asked for
        await own_world.deliver(*await own_world.promises_of_changes(promise))
    assert await own_world.all("SELECT id FROM outbox") == [], "neither parked nor asked for again"
    assert await own_world.status(promise) == ("paid" if is_paid else "canceled")


async def test_a_lost_reply_to_a_cancellation_is_no_harm(own_world: World, a_day_passes: Hours) -> None:
    promise = await _wait_for_the_customer(own_world)
    await a_day_passes(24.1)
    own_world.stripe.faults({"fault": "executed_reply_lost", "times": 1, **CANCEL})
    await _is(own_world, promise, "canceled")
    assert await own_world.row(promise) is None


async def test_a_refused_cancellation_has_a_new_key_the_next_time(own_world: World, a_day_passes: Hours) -> None:
    """Stripe saves a refusal and replays it for a day: with the same key nothing would ever be canceled (R37)."""
    promise = await _wait_for_the_customer(own_world)
    await a_day_passes(24.1)
    own_world.stripe.faults({"fault": "error_500_before", "saved": True, "times": 1, **CANCEL})
    await own_world.deliver(promise)  # its time is over
    await own_world.work()  # refused, asked for, and canceled
    assert await own_world.status(promise) == "canceled"
    (cancellation,) = await own_world.changes(promise)
    assert cancellation["nth"] == 2
    assert [h["call"] for h in cancellation["history"] if "call" in h] == ["send", "retrieve", "send"]


async def test_a_poll_that_brings_no_news_writes_no_history_and_keeps_no_token(own_world: World) -> None:
    worker = await own_world.worker(stripe_max_rps=5)
    promise = await own_world.order(payment_method=CUSTOMER)
    await own_world.deliver(promise, worker=worker)
    await own_world.deliver(promise, worker=worker)
    before = await own_world.charge(promise)
    for _ in range(6):
        await own_world.deliver(promise, worker=worker)
    after = await own_world.charge(promise)
    assert after["history"] == before["history"]
    assert after["polls"] == before["polls"] + 6
    assert await worker._bucket.take(4) >= 3, "a question is not a charge: the rate of those is left to them"


async def test_an_order_in_a_banks_hands_shows_its_payment_and_is_parked_after_two_weeks(
    own_world: World, a_day_passes: Hours
) -> None:
    promise = await own_world.order(payment_method=BANK)
    await own_world.deliver(promise)
    order = await own_world.one("SELECT status, payment_intent_id FROM orders WHERE id = :id", id=promise.order_id)
    assert order["status"] == "processing"
    assert order["payment_intent_id"] == (await own_world.charge(promise))["payment_intent_id"] is not None
    await a_day_passes(24 * 13.9)
    await own_world.deliver(promise)
    assert (await own_world.open_row(promise))["parked_at"] is None, "a bank may take days"
    await a_day_passes(24 * 0.2)
    await own_world.deliver(promise)
    row = await own_world.open_row(promise)
    assert row["parked_at"] is not None
    assert row["last_error"].startswith("unfinished: still processing")
    own_world.stripe.control("POST", f"payment_intents/{order['payment_intent_id']}/complete_action", {"succeed": True})
    await outbox.retry(own_world.engine, [promise.outbox_id], who=OPERATOR)
    await own_world.work()
    await own_world.assert_charged_once(promise)


def test_finals_are_not_waited_for() -> None:
    for status in CHARGE_FINAL:
        outcome = Outcome(status=status)
        assert with_an_end(known(), outcome, RULES) is outcome
    assert judge_intent(known(), intent("canceled"), Answer(http_status=200)).final
