"""Which payments a run judges, and the moments between which it looks."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.instants import instant
from service.reconcile import Span
from service.reconcile.window import day, fix, iso
from tests.reconcile.conftest import NOW, Ask
from tests.reconcile.fake_stripe import FakeStripe
from tests.reconcile.records import write
from tests.reconcile.world import HOUR, declined, intent, names, paid, success, waiting

OLD = NOW - 3 * HOUR
DAY = Span(datetime(2026, 11, 19, tzinfo=UTC), datetime(2026, 11, 20, tzinfo=UTC))
BEFORE, LAST = datetime(2026, 11, 18, 23, 59, 59, tzinfo=UTC), datetime(2026, 11, 19, 23, 59, 59, tzinfo=UTC)


async def test_the_window_begins_with_its_first_second_and_ends_before_its_last(ask: Ask) -> None:
    edges = [BEFORE, DAY.since, LAST, DAY.until]
    stripe = FakeStripe([intent(at) for at in edges if at])
    inside = [list(stripe.intents)[n] for n in (1, 2)]
    assert [d.payment_intent for d in (await ask(stripe, DAY)).found] == inside


async def test_a_charge_whose_payment_lies_outside_is_fetched_by_id(
    ask: Ask, engine: AsyncEngine, account: UUID
) -> None:
    story = paid(account, LAST)
    story.at_stripe(created=int(LAST.timestamp()) + 2)
    stripe = await write(engine, [story])
    outcome = await ask(stripe, DAY)
    assert (outcome.verdict, stripe.retrieved) == ("clean", [story.intent.id])
    assert outcome.comparison.totals == {}, "it belongs to the next day, where Stripe made it"


async def test_a_payment_whose_charge_lies_outside_is_looked_up_by_id(
    ask: Ask, engine: AsyncEngine, account: UUID
) -> None:
    story = paid(account, BEFORE)
    assert DAY.since is not None
    story.at_stripe(created=int(DAY.since.timestamp()) + 2)
    outcome = await ask(await write(engine, [story]), DAY)
    assert (outcome.verdict, outcome.comparison.coverage["matched"]) == ("clean", 1)


async def test_a_payment_without_our_metadata_is_still_matched_by_its_id(tell: Ask, account: UUID) -> None:
    story = paid(account, OLD)
    story.at_stripe(metadata={})
    assert (await tell(story)).verdict == "clean"


@pytest.mark.parametrize(
    "metadata", [{"eo_attempt": "x"}, {"eo_attempt": "99999999"}, {"eo_order": "1"}, {"eo_attempt": "0"}]
)
async def test_metadata_that_is_not_in_our_spelling_counts_as_none(
    ask: Ask, account: UUID, metadata: dict[str, str]
) -> None:
    order = waiting(account, OLD).order
    (await ask(FakeStripe([intent(OLD, metadata=names(order) | metadata)]))).only("missing_locally")


async def test_an_older_success_of_the_same_order_makes_a_duplicate(
    ask: Ask, engine: AsyncEngine, account: UUID
) -> None:
    story = paid(account, BEFORE - 24 * HOUR)
    success(story, LAST, duplicate=True)
    again = intent(LAST, metadata=names(story.order))
    story.intents.append(again)
    stripe = await write(engine, [story])
    assert (await ask(stripe, DAY)).names == ["duplicate_charge"] * 2
    assert story.intents[0].id in stripe.retrieved


async def test_partners_from_beyond_the_window_are_not_judged(ask: Ask, engine: AsyncEngine, account: UUID) -> None:
    story = paid(account, BEFORE - HOUR)
    story.at_stripe(amount=1)
    refused = declined(account, LAST)
    refused.charge.order, refused.charge.attempt = story.order, 2
    story.charges.append(refused.charge)
    story.intents.append(replace(refused.intent, metadata=names(story.order, 2)))
    assert (await ask(await write(engine, [story]), DAY)).verdict == "clean"


async def test_without_a_window_it_is_the_last_48_hours(ask: Ask) -> None:
    stripe = FakeStripe([intent(NOW - 47 * HOUR), intent(NOW - 49 * HOUR)])
    assert (await ask(stripe)).only("missing_locally").payment_intent == next(iter(stripe.intents))


def test_a_window_is_fixed_once_with_its_cut_off() -> None:
    window = fix(Span(), now=NOW, grace_s=600)
    assert (window.cut_off, window.until) == (NOW - timedelta(minutes=10), NOW + timedelta(seconds=1))
    assert window.created_lt - window.created_gte == 48 * 3600


def test_a_window_ends_now_at_the_latest() -> None:
    assert fix(Span(NOW - HOUR, NOW + HOUR), now=NOW, grace_s=0).until == NOW + timedelta(seconds=1)
    assert fix(Span(until=NOW + HOUR), now=NOW, grace_s=0) == fix(Span(), now=NOW, grace_s=0)
    for to_come in (Span(NOW + HOUR, NOW + 2 * HOUR), day("2100-01-01"), Span(since=NOW + HOUR)):
        with pytest.raises(ValueError, match="the window begins at 2"):
            fix(to_come, now=NOW, grace_s=0)


def test_a_year_has_four_digits() -> None:
    assert iso(datetime(7, 1, 2, tzinfo=UTC)) == "0007-01-02T00:00:00Z"


def test_a_fraction_of_a_second_neither_loses_nor_adds_one() -> None:
    at = datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    window = fix(Span(at, at + HOUR), now=NOW, grace_s=0)
    assert (window.created_gte, window.created_lt) == (1767225601, 1767229201)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("2026-11-24", "2026-11-24T00:00:00+00:00"),
        ("2026-11-24T10:00:00+02:00", "2026-11-24T08:00:00+00:00"),
        ("2026-11-24T10:00:00Z", "2026-11-24T10:00:00+00:00"),
        ("2026-11-24t10:00:00z", "2026-11-24T10:00:00+00:00"),
        ("2026-11-24T10:00:00", "2026-11-24T10:00:00+00:00"),
    ],
)
def test_instants_are_utc_unless_they_say_otherwise(given: str, meant: str) -> None:
    assert instant(given).isoformat() == meant


def test_a_day_is_a_utc_day() -> None:
    assert day("2026-11-19") == DAY


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(ValueError, match="before it begins"):
        Span(NOW, NOW)
