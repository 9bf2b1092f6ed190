"""A discrepancy is open until it is resolved or acknowledged, however old it is (R36)."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger
from service.foundation.errors import Misconfigured
from service.foundation.postgres.sql import begin
from service.ledger import JournalEntry
from service.reconcile import Span
from service.reconcile.acknowledging import acknowledge
from service.stripe_gateway.objects import Charge
from tests.reconcile.conftest import NOW, Ask, Outcome
from tests.reconcile.world import HOUR, FakeStripe, Story, intent, names, paid, success, unknown, waiting, write

OLD, WEEK = NOW - 3 * HOUR, 7 * 24 * HOUR
LATER = NOW + WEEK
DAY = Span(NOW - 24 * HOUR, NOW)

Plant = Callable[[UUID], Story]


def _planted(account: UUID) -> Story:
    story = waiting(account, OLD)
    story.promised = False
    story.order.status = "canceled"
    story.intents.append(intent(OLD))
    return story


def _other_amount(account: UUID) -> Story:
    story = paid(account, OLD)
    story.at_stripe(amount=1)
    return story


def _gone(account: UUID) -> Story:
    story = paid(account, OLD)
    story.intents.clear()
    return story


def _duplicate(account: UUID) -> Story:
    story = paid(account, OLD)
    success(story, OLD, duplicate=True)
    return story


def _paid_past_us(account: UUID) -> Story:
    story = paid(account, OLD)
    story.intents.append(intent(OLD, metadata=names(story.order)))
    return story


def _refunded(account: UUID) -> Story:
    story = paid(account, OLD)
    goes_back(story, amount_refunded=500)
    return story


def _unbooked(account: UUID) -> Story:
    story = paid(account, OLD)
    story.entries.clear()
    return story


def _fee_missing(account: UUID) -> Story:
    story = paid(account, OLD)
    story.entries.pop()
    story.charge.txn = None
    return story


def _parked(account: UUID) -> Story:
    story = unknown(account, OLD)
    story.parked = "poison"
    return story


def _never_sent(account: UUID) -> Story:
    return waiting(account, OLD)


def _booked_for_nobody(account: UUID) -> Story:
    story = paid(account, OLD)
    story.entries.append(booking(story, charge="ch_of_nobody", amount=5))
    return story


def booking(story: Story, *, charge: str, amount: int) -> JournalEntry:
    """An entry that books a charge of this order."""
    return ledger.charge_entry(
        account_id=story.order.account_id,
        order_id=story.order.id,
        payment_intent_id=story.intent.id,
        stripe_charge_id=charge,
        amount_minor=amount,
        currency="usd",
        occurred_at=OLD,
    )


PLANTS: dict[str, tuple[Plant, str]] = {
    "planted": (_planted, "missing_locally"),
    "unbooked": (_unbooked, "missing_locally"),
    "gone": (_gone, "missing_at_stripe"),
    "duplicate": (_duplicate, "duplicate_charge"),
    "paid past us": (_paid_past_us, "duplicate_charge"),
    "other amount": (_other_amount, "amount_mismatch"),
    "parked": (_parked, "stale_pending"),
    "never sent": (_never_sent, "stale_pending"),
    "booked for nobody": (_booked_for_nobody, "ledger_imbalance"),
    "fee missing": (_fee_missing, "fee_missing"),
    "refunded": (_refunded, "money_returned"),
}


def goes_back(story: Story, **how: Any) -> None:
    charge = story.intent.latest_charge
    assert isinstance(charge, Charge)
    story.at_stripe(latest_charge=replace(charge, **how))


@pytest.fixture
def accept(engine: AsyncEngine) -> Callable[[Outcome], Awaitable[None]]:
    """Acknowledge the one discrepancy there is."""

    async def accept(outcome: Outcome) -> None:
        (found,) = outcome.found
        await acknowledge(engine, found.fingerprint[:12], by="ops", reason="known")

    return accept


async def test_whatever_is_open_is_found_again_however_old(ask: Ask, engine: AsyncEngine, account: UUID) -> None:
    stripe = await write(engine, [plant(account) for plant, _ in PLANTS.values()])
    first, later = await ask(stripe), await ask(stripe, None, LATER)
    assert sorted(first.names) == sorted(name for _, name in PLANTS.values())
    assert [d.fingerprint for d in later.found] == [d.fingerprint for d in first.found]
    assert (later.verdict, later.money_at_stake) == ("discrepancies", first.money_at_stake)
    assert {d.first_seen for d in later.found} == {NOW}
    assert later.comparison.totals == {}, "totals are the window's own"


async def test_a_named_window_judges_its_own(ask: Ask, engine: AsyncEngine, account: UUID) -> None:
    stripe = await write(engine, [_other_amount(account)])
    assert (await ask(stripe)).verdict == "discrepancies"
    empty = Span(LATER - HOUR, LATER)
    assert (await ask(stripe, empty, LATER)).verdict == "clean"
    assert (await ask(stripe, None, LATER)).verdict == "discrepancies", "which has resolved nothing"


async def test_what_was_put_right_is_resolved_and_not_asked_for_again(
    ask: Ask, engine: AsyncEngine, account: UUID
) -> None:
    stripe = await write(engine, [story := _other_amount(account)])
    await ask(stripe)
    story.at_stripe(amount=1999)
    stripe.intents = {i.id: i for i in story.intents}
    assert (await ask(stripe, None, LATER)).verdict == "clean"
    stripe.retrieved.clear()
    assert (await ask(stripe, None, LATER + HOUR)).verdict == "clean"
    assert stripe.retrieved == []


async def test_a_run_ends_nothing_that_a_later_one_has_seen(ask: Ask, engine: AsyncEngine, account: UUID) -> None:
    stripe = await write(engine, [_other_amount(account)])
    for span, now in ((DAY, NOW), (None, LATER), (DAY, NOW)):
        assert (await ask(stripe, span, now)).names == ["amount_mismatch"]
    agreed = await ask(FakeStripe([replace(i, amount=1999) for i in stripe.intents.values()]), None, LATER - HOUR)
    assert agreed.verdict == "clean"
    assert (await ask(stripe, None, LATER + HOUR)).names == ["amount_mismatch"]


async def test_an_incomplete_run_resolves_nothing(ask: Ask, engine: AsyncEngine, account: UUID) -> None:
    stripe = await write(engine, [story := _other_amount(account)])
    await ask(stripe)
    stripe.breaks_after = 0
    assert (await ask(stripe, None, LATER)).names == ["source_incomplete"]
    stripe.breaks_after, stripe.unreadable = None, {story.intent.id}
    assert (await ask(stripe, None, LATER)).names == ["source_incomplete"]
    stripe.unreadable = set()
    assert (await ask(stripe, None, LATER)).names == ["amount_mismatch"]


async def test_what_turned_into_something_in_flight_is_looked_at_once_more(
    ask: Ask, engine: AsyncEngine, account: UUID
) -> None:
    story = _unbooked(account)
    story.charge.txn = None
    stripe = await write(engine, [story])
    assert (await ask(stripe)).names == ["missing_locally"]
    gross = booking(story, charge=story.charge.charge or "", amount=1999)
    async with begin(engine) as tx:
        await ledger.post(tx, [gross])
    story.fee_at_stripe(created=int(LATER.timestamp()) - 5)
    stripe.intents = {i.id: i for i in story.intents}
    assert (await ask(stripe, None, LATER)).names == ["in_flight"]
    assert (await ask(stripe, None, LATER + HOUR)).names == ["fee_missing"]
    assert (await ask(stripe, None, LATER + WEEK)).names == ["fee_missing"]


# --- acknowledging


async def test_an_acknowledged_one_is_listed_and_leaves_exit_0(
    ask: Ask, engine: AsyncEngine, account: UUID, accept: Callable[[Outcome], Awaitable[None]]
) -> None:
    stripe = await write(engine, [_refunded(account)])
    await accept(await ask(stripe))
    for span, now in ((None, NOW), (None, LATER), (DAY, NOW)):
        outcome = await ask(stripe, span, now)
        ack = outcome.only("money_returned").acknowledged
        assert ack is not None
        assert (ack.by, ack.reason) == ("ops", "known")
        assert (outcome.verdict, outcome.money_at_stake) == ("clean", {})


async def test_an_acknowledgement_ends_when_more_money_goes_back(
    ask: Ask, engine: AsyncEngine, account: UUID, accept: Callable[[Outcome], Awaitable[None]]
) -> None:
    stripe = await write(engine, [story := _refunded(account)])
    await accept(await ask(stripe))
    goes_back(story, amount_refunded=600)
    stripe.intents = {i.id: i for i in story.intents}
    for now in (LATER, LATER + HOUR):
        outcome = await ask(stripe, None, now)
        assert outcome.only("money_returned").acknowledged is None
        assert (outcome.verdict, outcome.money_at_stake) == ("discrepancies", {"usd": 600})
    await accept(await ask(stripe, None, LATER + HOUR))
    assert (await ask(stripe, None, LATER + HOUR)).verdict == "clean"


async def test_an_acknowledgement_ends_with_what_it_was_about(
    ask: Ask, engine: AsyncEngine, account: UUID, accept: Callable[[Outcome], Awaitable[None]]
) -> None:
    stripe = await write(engine, [story := _refunded(account)])
    await accept(await ask(stripe))
    for refunded, verdict in ((0, "clean"), (500, "discrepancies")):
        goes_back(story, amount_refunded=refunded)
        stripe.intents = {i.id: i for i in story.intents}
        assert (await ask(stripe)).verdict == verdict


async def test_who_when_and_why_stay_on_record(
    ask: Ask, engine: AsyncEngine, account: UUID, accept: Callable[[Outcome], Awaitable[None]]
) -> None:
    stripe = await write(engine, [_refunded(account)])
    await accept(await ask(stripe))
    async with engine.connect() as connection:
        row = (await connection.execute(text("SELECT * FROM acknowledgements"))).one()
    assert (row.acknowledged_by, row.reason, row.amount_minor) == ("ops", "known", 500)
    assert row.stripe["returned"] == 500


async def test_only_an_open_discrepancy_can_be_acknowledged(
    ask: Ask, engine: AsyncEngine, account: UUID, accept: Callable[[Outcome], Awaitable[None]]
) -> None:
    with pytest.raises(Misconfigured, match="no open discrepancy 0123456789ab"):
        await acknowledge(engine, "0123456789ab", by="ops", reason="known")
    stripe = await write(engine, [story := _refunded(account)])
    open_one = await ask(stripe)
    goes_back(story, amount_refunded=0)
    stripe.intents = {i.id: i for i in story.intents}
    await ask(stripe)
    with pytest.raises(Misconfigured, match="no open discrepancy"):
        await accept(open_one)


# --- money that went back


@pytest.mark.parametrize(
    ("how", "amount"),
    [
        ({"amount_refunded": 500}, 500),
        ({"amount_refunded": 1999}, 1999),
        ({"amount_refunded": 1999, "refunded": True}, 1999),
        ({"refunded": True}, 1999),
        ({"disputed": True}, 1999),
        ({"disputed": True, "amount_refunded": 500}, 1999),
    ],
)
async def test_money_that_went_back_at_stripe_is_a_discrepancy_with_its_amount(
    ask: Ask, engine: AsyncEngine, account: UUID, how: dict[str, Any], amount: int
) -> None:
    story = paid(account, NOW - timedelta(minutes=1))
    goes_back(story, **how)
    outcome = await ask(await write(engine, [story]))
    assert outcome.only("money_returned").amount == amount
    assert (outcome.verdict, outcome.money_at_stake) == ("discrepancies", {"usd": amount})


async def test_a_duplicate_that_was_refunded_whole_is_one_no_more(
    ask: Ask, engine: AsyncEngine, account: UUID, accept: Callable[[Outcome], Awaitable[None]]
) -> None:
    stripe = await write(engine, [story := _duplicate(account)])
    (await ask(stripe)).only("duplicate_charge")
    goes_back(story, amount_refunded=500)
    stripe.intents = {i.id: i for i in story.intents}
    assert (await ask(stripe)).names == ["duplicate_charge", "money_returned"]
    goes_back(story, amount_refunded=1999, refunded=True)
    stripe.intents = {i.id: i for i in story.intents}
    await accept(await ask(stripe))
    assert (await ask(stripe)).verdict == "clean"


async def test_a_payment_of_nobody_that_was_refunded_is_only_money_that_went_back(ask: Ask) -> None:
    charge = (made := intent(OLD)).latest_charge
    assert isinstance(charge, Charge)
    stripe = FakeStripe([replace(made, latest_charge=replace(charge, refunded=True, amount_refunded=1999))])
    assert (await ask(stripe)).names == ["money_returned"]


async def test_a_charge_settled_in_another_currency_is_in_flight(ask: Ask, engine: AsyncEngine, account: UUID) -> None:
    story = _fee_missing(account)
    story.fee_at_stripe(currency="eur", amount=1800)
    assert (await ask(await write(engine, [story]), None, LATER - 6 * 24 * HOUR)).names == ["in_flight"]
