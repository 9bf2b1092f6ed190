"""Payments that are authorized first: what was captured counts, and an authorization has an end."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from service.stripe_gateway.objects import Charge
from tests.reconcile.conftest import NOW, Ask
from tests.reconcile.records import write
from tests.reconcile.refund_stories import give_back
from tests.reconcile.world import HOUR, Story, captured, held

OLD, YOUNG = NOW - 3 * HOUR, NOW - timedelta(minutes=2)
DAY = timedelta(days=1)


def _canceled(account: UUID, at: Any) -> Story:
    story = held(account, at)
    story.at_stripe(status="canceled", latest_charge=None)
    return story


async def test_what_is_held_is_in_flight_for_seven_days_and_expired_after_them(
    engine: AsyncEngine, ask: Ask, account: UUID
) -> None:
    stripe = await write(engine, [held(account, OLD)])
    (await ask(stripe)).only("in_flight")
    assert (await ask(stripe, None, NOW + 6 * DAY)).names == []
    found = (await ask(stripe, None, NOW + 7 * DAY)).only("authorization_expired")
    assert (found.amount, found.currency) == (1999, "usd")
    (await ask(stripe, None, NOW + 30 * DAY)).only("authorization_expired")


async def test_an_authorization_canceled_at_stripe_is_expired_once_we_asked_and_did_not_follow(
    engine: AsyncEngine, ask: Ask, account: UUID
) -> None:
    story = _canceled(account, OLD)
    story.asked_at = NOW + HOUR
    stripe = await write(engine, [story])
    (await ask(stripe)).only("in_flight")
    (await ask(stripe, None, NOW + 2 * HOUR)).only("authorization_expired")


async def test_a_change_under_way_is_in_flight_and_stale_after_the_grace(tell: Ask, account: UUID) -> None:
    for make in (held, _canceled):
        for asked_for, name in (
            (YOUNG, "in_flight"),
            (OLD, "stale_pending" if make is held else "authorization_expired"),
        ):
            story = make(account, NOW - 5 * HOUR)
            story.charge.asked_for_at = asked_for
            assert [d.name for d in (await tell(story)).found if d.order_id == story.order.id] == [name]


async def test_a_success_that_a_capture_is_about_to_settle_is_in_flight(tell: Ask, account: UUID) -> None:
    story = captured(account, NOW - 5 * HOUR, taken=1500)
    story.entries.clear()
    story.charge.status = story.order.status = "authorized"
    story.charge.taken, story.charge.asked_for_at = None, YOUNG
    (await tell(story)).only("in_flight")


async def test_a_part_that_was_captured_is_clean_and_counts(tell: Ask, account: UUID) -> None:
    story = captured(account, OLD, taken=1500)
    outcome = await tell(story)
    assert (outcome.verdict, outcome.found) == ("clean", [])
    assert {side: s.gross for side, s in outcome.comparison.totals["usd"].items()} == dict.fromkeys(
        ("ours", "ledger", "stripe"), 1500
    )


@pytest.mark.parametrize(("ours", "theirs", "amount"), [(1500, 1400, 100), (None, 1500, 499)])
async def test_another_sum_captured_is_an_amount_mismatch(
    tell: Ask, account: UUID, ours: int | None, theirs: int, amount: int
) -> None:
    story = captured(account, OLD, taken=theirs)
    story.charge.taken = ours
    assert (await tell(story)).only("amount_mismatch").amount == amount


async def test_a_capture_booked_at_what_was_held_is_an_imbalance(tell: Ask, account: UUID) -> None:
    story = captured(account, OLD, taken=1999)
    charge = story.intent.latest_charge
    assert isinstance(charge, Charge)
    story.at_stripe(amount_received=1500, latest_charge=replace(charge, amount_captured=1500))
    story.charge.taken = 1500
    assert (await tell(story)).only("ledger_imbalance").amount == 499


async def test_a_part_captured_and_refunded_whole_is_explained(tell: Ask, account: UUID) -> None:
    story = captured(account, NOW - 5 * HOUR, taken=1500)
    give_back(story, OLD, 1500)
    charge = story.intent.latest_charge
    assert isinstance(charge, Charge)
    story.at_stripe(latest_charge=replace(charge, refunded=True, amount_captured=0))
    assert (await tell(story)).verdict == "clean"
