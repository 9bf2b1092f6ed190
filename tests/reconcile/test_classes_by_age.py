"""Until when a difference may disappear by itself: what is in flight, what is stale."""

from datetime import timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from service.effects.model import Rules
from service.foundation.settings import Settings
from service.reconcile import Span
from tests.reconcile.conftest import NOW, Ask
from tests.reconcile.records import write
from tests.reconcile.world import HOUR, Story, declined, intent, names, paid, success, unknown, waiting, without_fee

OLD, YOUNG = NOW - 3 * HOUR, NOW - timedelta(minutes=2)


async def test_an_order_nobody_sent_is_stale(tell: Ask, account: UUID) -> None:
    assert (await tell(waiting(account, OLD))).only("stale_pending").age_s == 3 * 3600


async def test_an_unknown_outcome_that_stays_unknown_is_stale(tell: Ask, account: UUID) -> None:
    (await tell(unknown(account, OLD))).only("stale_pending")


async def test_a_parked_order_is_stale_at_any_age_and_says_why(tell: Ask, account: UUID) -> None:
    for story in (waiting(account, YOUNG), unknown(account, YOUNG)):
        story.parked = "key_conflict"
        found = next(d for d in (await tell(story)).found if d.order_id == story.order.id)
        assert (found.name, (found.ours or {})["parked"]) == ("stale_pending", "key_conflict")


def _asked_for(account: UUID, status: str, age: timedelta) -> Story:
    """A payment that waits in the same state on both sides."""
    story = declined(account, NOW - age)
    story.charge.status, story.order.status = status, "requires_action" if status == "requires_action" else "processing"
    story.at_stripe(status=status)
    story.asked_at = NOW + HOUR
    return story


async def test_a_customer_has_a_day_for_3d_secure_and_a_bank_two_weeks(tell: Ask, account: UUID) -> None:
    stories = [
        _asked_for(account, "requires_action", 30 * HOUR),
        _asked_for(account, "requires_action", 20 * HOUR),
        _asked_for(account, "processing", 47 * HOUR),
    ]
    outcome = await tell(*stories)
    assert {d.order_id: d.name for d in outcome.found} == {
        stories[0].order.id: "stale_pending",
        stories[1].order.id: "in_flight",
        stories[2].order.id: "in_flight",
    }


@pytest.mark.parametrize("status", ["requires_action", "processing"])
async def test_the_settings_say_how_long_a_payment_may_wait(tell: Ask, account: UUID, status: str) -> None:
    rules = Rules.of(Settings(action_max_s=2 * 3600, bank_max_s=2 * 3600))
    for age, name in ((3 * HOUR, "stale_pending"), (HOUR, "in_flight")):
        story = _asked_for(account, status, age)
        assert name in [d.name for d in (await tell(story, rules=rules)).found if d.order_id == story.order.id]


async def test_what_waits_beyond_the_window_is_found_when_its_time_is_over(
    engine: AsyncEngine, ask: Ask, account: UUID
) -> None:
    waits, late, parked, forgotten = (
        *(_asked_for(account, "processing", timedelta(days=days)) for days in (10, 15, 10)),
        waiting(account, NOW - timedelta(days=3)),
    )
    parked.parked = "unfinished"
    stripe = await write(engine, [waits, late, parked, forgotten])
    outcome = await ask(stripe)
    assert {d.order_id: d.name for d in outcome.found} == {
        story.order.id: "stale_pending" for story in (late, parked, forgotten)
    }
    assert sorted(stripe.retrieved) == sorted([late.intent.id, parked.intent.id])
    window = Span(NOW - timedelta(days=1), NOW)
    assert (await ask(stripe, window)).verdict == "clean", "a named window judges its own"


async def test_what_changed_since_a_payment_was_asked_for_is_in_flight_until_it_is_asked_for_again(
    engine: AsyncEngine, ask: Ask, account: UUID
) -> None:
    story = _asked_for(account, "processing", 40 * HOUR)
    story.intents[0] = replace(intent(NOW - 40 * HOUR, metadata=names(story.order)), id=story.intent.id)
    stripe = await write(engine, [story])
    (await ask(stripe)).only("in_flight")
    (await ask(stripe, now=NOW + 2 * HOUR)).only("status_mismatch")


async def test_what_is_young_is_in_flight_and_clean(tell: Ask, account: UUID) -> None:
    late_fee, refused = without_fee(paid(account, YOUNG)), declined(account, YOUNG)
    refused.at_stripe(status="succeeded", amount_received=1999)
    planted = waiting(account, YOUNG)
    planted.intents.append(intent(YOUNG, metadata=names(planted.order)))
    outcome = await tell(waiting(account, YOUNG), unknown(account, YOUNG), late_fee, refused, planted)
    assert (outcome.verdict, outcome.names) == ("clean", ["in_flight"] * 5)
    assert outcome.money_at_stake == {}


async def test_what_waiting_does_not_change_is_a_discrepancy_at_any_age(tell: Ask, account: UUID) -> None:
    duplicate, amount, missing = (paid(account, YOUNG) for _ in range(3))
    success(duplicate, YOUNG, duplicate=True)
    amount.at_stripe(amount=1)
    missing.intents.clear()
    assert (await tell(duplicate, amount, missing)).names == [
        "missing_at_stripe",
        "duplicate_charge",
        "amount_mismatch",
    ]


async def test_in_flight_is_measured_against_now_not_against_the_end_of_the_window(tell: Ask, account: UUID) -> None:
    midnight = NOW.replace(hour=0)
    story = waiting(account, midnight - timedelta(minutes=1))
    assert (await tell(story, span=Span(midnight - 24 * HOUR, midnight))).names == ["stale_pending"]
