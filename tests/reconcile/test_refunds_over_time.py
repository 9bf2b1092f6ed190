"""What waits, what is owed, what is counted and what is read of refunds."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from service.reconcile import Span
from service.stripe_gateway.objects import BalanceTransaction, Charge
from tests.reconcile.conftest import NOW, Ask
from tests.reconcile.records import write
from tests.reconcile.refund_stories import give_back, made_refund, unsent
from tests.reconcile.world import HOUR, Story, paid, success

OLD, YOUNG = NOW - 3 * HOUR, NOW - timedelta(minutes=2)
WEEK = timedelta(days=7)


def _refunded(account: UUID, at: Any = OLD, **how: Any) -> Story:
    story = paid(account, NOW - 5 * HOUR)
    give_back(story, at, **how)
    return story


def _moved(story: Story, **changes: Any) -> None:
    """Stripe tells the balance transaction of the last refund differently."""
    txn = story.refunded[-1].balance_transaction
    assert isinstance(txn, BalanceTransaction)
    story.refund_at_stripe(balance_transaction=replace(txn, **changes))


# --- what waits


async def test_a_refund_that_is_not_settled_is_in_flight_within_the_grace_and_stale_after_it(
    tell: Ask, account: UUID
) -> None:
    expected, stories = {}, []
    for status in ("pending", "processing"):
        for at, name in ((YOUNG, "in_flight"), (OLD, "stale_pending")):
            stories.append(story := paid(account, NOW - 5 * HOUR))
            unsent(story, at, status=status)
            expected[story.order.id] = name
    assert {d.order_id: d.name for d in (await tell(*stories)).found} == expected


async def test_a_refund_pending_at_stripe_is_in_flight_for_a_month_and_stale_after_it(
    engine: AsyncEngine, ask: Ask, account: UUID
) -> None:
    stripe = await write(engine, [story := _refunded(account, status="pending")])
    for now, names in (
        (NOW, ["in_flight"]),
        (NOW + timedelta(days=30), []),
        (NOW + timedelta(days=31), ["stale_pending"]),
    ):
        assert (await ask(stripe, None, now)).names == names
    assert story.refund.re in stripe.retrieved, "it is older than the window, and asked for by id"


async def test_a_parked_refund_is_stale_at_any_age_and_says_why(tell: Ask, account: UUID) -> None:
    story = paid(account, NOW - 5 * HOUR)
    unsent(story, YOUNG).parked = "key_conflict"
    found = (await tell(story)).only("stale_pending")
    assert (found.amount, (found.ours or {})["parked"]) == (500, "key_conflict")


async def test_a_refund_that_nobody_sent_is_found_beyond_the_window(tell: Ask, account: UUID) -> None:
    story = paid(account, NOW - WEEK)
    unsent(story, NOW - WEEK + HOUR)
    (await tell(story)).only("stale_pending")
    window = Span(NOW - timedelta(days=1), NOW)
    assert (await tell(paid(account, OLD), span=window)).verdict == "clean"


# --- what is owed


async def test_a_refund_that_failed_is_owed_and_no_discrepancy(tell: Ask, account: UUID) -> None:
    outcome = await tell(*(_refunded(account, NOW - WEEK, status=status) for status in ("failed", "canceled")))
    assert (outcome.verdict, outcome.money_at_stake) == ("clean", {})
    assert [(d.name, d.amount) for d in outcome.found] == [("owed", 500)] * 2


async def test_what_the_next_refund_draws_on_is_owed_no_more(tell: Ask, account: UUID) -> None:
    story = _refunded(account, status="failed")
    give_back(story, OLD, 700, drawn=500)
    assert (await tell(story)).found == []


# --- totals


async def test_totals_tell_what_was_given_back_on_each_side(tell: Ask, account: UUID) -> None:
    unbooked, failed, pending, past_us = (paid(account, OLD) for _ in range(4))
    give_back(unbooked, OLD, 300)
    unbooked.entries = unbooked.entries[:2]
    give_back(failed, OLD, 400, status="failed")
    give_back(pending, OLD, 200, status="pending")
    made_refund(past_us, OLD, 50)
    totals = (await tell(_refunded(account), unbooked, failed, pending, past_us)).comparison.totals["usd"]
    shown = {side: (s.refunds, s.refunded, s.net) for side, s in totals.items()}
    gross = 5 * (1999 - 88)
    assert shown == {
        "ours": (2, 800, gross - 800),
        "ledger": (1, 500, gross - 500),
        "stripe": (3, 850, gross - 850),
    }


# --- reading them


async def test_a_daily_run_sees_the_refund_of_an_old_charge(ask: Ask, engine: AsyncEngine, account: UUID) -> None:
    good, past_us, gone = (paid(account, NOW - 30 * WEEK) for _ in range(3))
    for story in (good, gone):
        give_back(story, OLD)
    made = made_refund(past_us, OLD, 700)
    gone.refunded.clear()
    stripe = await write(engine, [good, past_us, gone])
    day = Span(OLD - HOUR, OLD + HOUR)
    outcome = await ask(stripe, day)
    assert [(d.name, d.refund, d.order_id) for d in outcome.found] == [
        ("refund_missing_locally", made.id, past_us.order.id),
        ("refund_missing_at_stripe", gone.refund.re, gone.order.id),
    ]
    assert outcome.comparison.coverage["payment_intents"] == 0


async def test_a_refund_whose_other_side_lies_outside_is_fetched_by_id(
    ask: Ask, engine: AsyncEngine, account: UUID
) -> None:
    story = _refunded(account, NOW - 4 * HOUR)
    story.refund_at_stripe(created=int(OLD.timestamp()) + 20_000)
    story.refund.stripe_created = OLD + timedelta(seconds=20_000)
    stripe = await write(engine, [story])
    outcome = await ask(stripe, Span(NOW - 6 * HOUR, NOW - 3.9 * HOUR))
    assert (outcome.verdict, stripe.retrieved) == ("clean", [story.refund.re])
    assert outcome.comparison.totals["usd"]["stripe"].refunds == 0, "it belongs to the window in which Stripe made it"


async def test_a_listing_without_a_refund_that_we_know_is_never_clean(
    ask: Ask, engine: AsyncEngine, account: UUID
) -> None:
    story = _refunded(account)
    give_back(story, OLD)
    stripe = await write(engine, [story])
    stripe.hidden_refunds = {story.refund.re or ""}
    outcome = await ask(stripe)
    assert (outcome.verdict, outcome.names) == ("incomplete", ["source_incomplete"])
    assert str(story.refund.re) in str(outcome.found[0].stripe)


async def test_refunds_that_could_not_be_listed_are_never_clean_and_not_missing(
    ask: Ask, engine: AsyncEngine, account: UUID
) -> None:
    known, past_us, disputed = _refunded(account), paid(account, OLD), paid(account, OLD)
    made_refund(past_us, OLD, 500)
    charge = disputed.intent.latest_charge
    assert isinstance(charge, Charge)
    disputed.at_stripe(latest_charge=replace(charge, disputed=True))
    stripe = await write(engine, [known, past_us, disputed])
    stripe.refunds.clear()
    stripe.refunds_break = True
    assert (await ask(stripe)).names == ["source_incomplete", "money_returned"]


async def test_a_refund_that_no_table_can_hold_is_named_and_its_neighbours_are_compared(
    ask: Ask, engine: AsyncEngine, account: UUID
) -> None:
    story, past_us = _refunded(account), paid(account, OLD)
    made = made_refund(past_us, OLD, 500)
    story.refund_at_stripe(amount=1 << 63)
    outcome = await ask(await write(engine, [story, past_us]))
    assert outcome.verdict == "incomplete"
    assert {d.refund for d in outcome.found if d.name != "in_flight"} == {None, made.id}


async def test_whatever_is_open_of_refunds_is_found_again_however_old(
    ask: Ask, engine: AsyncEngine, account: UUID
) -> None:
    past_us, of_nobody, gone, wrong, unbooked = (paid(account, NOW - 5 * HOUR) for _ in range(5))
    made_refund(past_us, OLD, 100)
    made_refund(of_nobody, OLD, 1999)
    of_nobody.charges, of_nobody.entries = [], []
    of_nobody.order.status, of_nobody.order.pi = "canceled", None
    of_nobody.at_stripe(metadata={})
    for story in (gone, wrong, unbooked):
        give_back(story, OLD)
    gone.refunded.clear()
    wrong.refund.status = "failed"
    unbooked.entries.pop()
    stripe = await write(engine, [past_us, of_nobody, gone, wrong, unbooked])
    first, later = await ask(stripe), await ask(stripe, None, NOW + WEEK)
    assert sorted(first.names) == sorted(
        ["refund_missing_locally"] * 3 + ["refund_missing_at_stripe", "refund_status_mismatch", "money_returned"]
    )
    assert [d.fingerprint for d in later.found] == [d.fingerprint for d in first.found]
    stripe.retrieved.clear()
    wrong_now = replace(stripe.refunds[wrong.refund.re or ""], status="failed")
    stripe.refunds[wrong_now.id] = wrong_now
    assert "refund_status_mismatch" not in (await ask(stripe, None, NOW + 2 * WEEK)).names


# --- money that went back without a refund


async def test_what_refunds_explain_is_not_money_that_went_back(tell: Ask, account: UUID) -> None:
    story = _refunded(account)
    charge = story.intent.latest_charge
    assert isinstance(charge, Charge)
    story.at_stripe(latest_charge=replace(charge, amount_refunded=600))
    found = (await tell(story)).only("money_returned")
    assert (found.amount, (found.stripe or {})["returned"]) == (100, 600)


async def test_a_dispute_takes_what_no_refund_gave_back(tell: Ask, account: UUID) -> None:
    story = _refunded(account)
    charge = story.intent.latest_charge
    assert isinstance(charge, Charge)
    story.at_stripe(latest_charge=replace(charge, disputed=True))
    assert (await tell(story)).only("money_returned").amount == 1499


async def test_a_duplicate_that_was_refunded_is_a_refund_past_us_until_it_is_adopted(tell: Ask, account: UUID) -> None:
    story = paid(account, NOW - 5 * HOUR)
    success(story, NOW - 5 * HOUR, duplicate=True)
    made_refund(story, OLD, 1999)
    (await tell(story)).only("refund_missing_locally")


async def test_a_refund_made_while_stripe_is_read_is_not_money_that_went_back(tell: Ask, account: UUID) -> None:
    story = paid(account, OLD)
    made_refund(story, NOW + timedelta(minutes=5), 500)
    assert (await tell(story)).verdict == "clean"
