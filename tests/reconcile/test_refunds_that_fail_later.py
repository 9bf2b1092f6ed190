"""A refund that fails long after it was made: no window on its `created` shows it, what came back does."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from service.reconcile import Span
from tests.reconcile.conftest import NOW, Ask
from tests.reconcile.records import write
from tests.reconcile.refund_stories import book_failure, fails, give_back, made_refund
from tests.reconcile.world import HOUR, Story, paid

DAY = timedelta(days=1)
MADE, FAILED = NOW - 10 * DAY, NOW - 3 * HOUR
THAT_DAY = Span(NOW - 6 * HOUR, NOW - HOUR)


def _failed(account: UUID, at: datetime = FAILED) -> Story:
    """Succeeded ten days ago, and failed at `at`; we say that it succeeded."""
    story = paid(account, NOW - 12 * DAY)
    give_back(story, MADE, 500)
    fails(story, at)
    return story


@pytest.mark.parametrize("span", [None, THAT_DAY])
async def test_it_is_found_in_the_window_in_which_it_failed(
    engine: AsyncEngine, ask: Ask, account: UUID, span: Span | None
) -> None:
    story = _failed(account)
    stripe = await write(engine, [story, *(paid(account, MADE) for _ in range(2))])
    found = (await ask(stripe, span)).only("refund_status_mismatch")
    assert (found.refund, found.order_id, found.amount) == (story.refund.re, story.order.id, 500)
    assert stripe.retrieved.count(story.refund.re or "") == 1
    assert (await ask(stripe, Span(MADE + DAY, FAILED))).verdict == "clean", "it had not failed by then"


async def test_it_is_in_flight_within_the_grace_and_open_after_it_however_old(
    engine: AsyncEngine, ask: Ask, account: UUID
) -> None:
    stripe = await write(engine, [_failed(account, NOW - timedelta(minutes=2))])
    (await ask(stripe)).only("in_flight")
    for now in (NOW + DAY, NOW + 30 * DAY):
        (await ask(stripe, None, now)).only("refund_status_mismatch")


async def test_one_that_we_know_of_and_one_that_is_none_of_ours_are_clean(tell: Ask, account: UUID) -> None:
    known, past_us = _failed(account), paid(account, NOW - 12 * DAY)
    book_failure(known)
    made_refund(past_us, MADE, 500)
    fails(past_us, FAILED)
    outcome = await tell(known, past_us)
    assert (outcome.verdict, outcome.names) == ("clean", ["owed"])


async def test_one_that_is_not_on_the_books_is_missing_there(tell: Ask, account: UUID) -> None:
    story = _failed(account)
    book_failure(story)
    story.entries.pop()
    assert (await tell(story)).names == ["refund_missing_locally", "owed"]


@pytest.mark.parametrize("known_by", ["books", "listing"])
async def test_a_listing_without_a_failure_that_we_know_is_never_clean(
    engine: AsyncEngine, ask: Ask, account: UUID, known_by: str
) -> None:
    story = _failed(account)
    if known_by == "listing":
        story.refund_at_stripe(created=int((NOW - DAY).timestamp()))
    else:
        book_failure(story)
    stripe = await write(engine, [story])
    assert "source_incomplete" not in (await ask(stripe)).names
    stripe.hidden_failures = {story.refund.re or ""}
    outcome = await ask(stripe)
    assert outcome.verdict == "incomplete"
    assert "txn_back" in str(next(d.stripe for d in outcome.found if d.name == "source_incomplete"))


async def test_what_brings_money_back_by_another_type_need_not_be_listed(
    engine: AsyncEngine, ask: Ask, account: UUID
) -> None:
    story = paid(account, FAILED)
    give_back(story, FAILED, 500, status="failed")
    back = story.refunded[-1].failure_balance_transaction
    assert not isinstance(back, str | None)
    story.refund_at_stripe(failure_balance_transaction=replace(back, type="adjustment"))
    stripe = await write(engine, [story])
    stripe.hidden_failures = {story.refund.re or ""}
    assert (await ask(stripe)).verdict == "clean"


async def test_money_that_came_back_of_a_refund_that_stripe_does_not_show_is_never_clean(
    engine: AsyncEngine, ask: Ask, account: UUID
) -> None:
    stripe = await write(engine, [story := _failed(account)])
    stripe.gone = {story.refund.re or ""}
    outcome = await ask(stripe)
    assert outcome.verdict == "incomplete"
    assert "source_incomplete" in outcome.names
