"""A discrepancy is open until it is resolved or acknowledged, however old it is (R36)."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger
from service.foundation.errors import NotFound
from service.foundation.postgres.sql import begin
from service.ledger import JournalEntry
from service.reconcile import Span
from service.reconcile.acknowledging import acknowledge
from service.stripe_gateway.objects import Charge
from tests.operators import OPERATOR
from tests.reconcile.conftest import NOW, Ask, Outcome
from tests.reconcile.fake_stripe import FakeStripe
from tests.reconcile.records import write
from tests.reconcile.world import HOUR, Story, intent, names, paid, success, unknown, waiting

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


def _parked(account: UUID) -> Story:
    story = unknown(account, OLD)
    story.parked = "poison"
    return story


def _paid_but(*changes: Callable[[Story], object]) -> Plant:
    def plant(account: UUID) -> Story:
        story = paid(account, OLD)
        for change in changes:
            change(story)
        return story

    return plant


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


def goes_back(story: Story, **how: Any) -> None:
    charge = story.intent.latest_charge
    assert isinstance(charge, Charge)
    story.at_stripe(latest_charge=replace(charge, **how))


def _without_a_fee(story: Story) -> None:
    story.charge.txn = None


_other_amount = _paid_but(lambda story: story.at_stripe(amount=1))
_refunded = _paid_but(lambda story: goes_back(story, amount_refunded=500))
_duplicate = _paid_but(lambda story: success(story, OLD, duplicate=True))
_unbooked = _paid_but(lambda story: story.entries.clear())
_unbooked_without_a_fee = _paid_but(lambda story: story.entries.clear(), _without_a_fee)
_fee_missing = _paid_but(lambda story: story.entries.pop(), _without_a_fee)
_paid_past_us = _paid_but(lambda story: story.intents.append(intent(OLD, metadata=names(story.order))))
_booked_for_nobody = _paid_but(lambda story: story.entries.append(booking(story, charge="ch_of_nobody", amount=5)))

PLANTS: dict[str, tuple[Plant, str]] = {
    "planted": (_planted, "missing_locally"),
    "unbooked": (_unbooked, "missing_locally"),
    "gone": (_paid_but(lambda story: story.intents.clear()), "missing_at_stripe"),
    "duplicate": (_duplicate, "duplicate_charge"),
    "paid past us": (_paid_past_us, "duplicate_charge"),
    "other amount": (_other_amount, "amount_mismatch"),
    "parked": (_parked, "stale_pending"),
    "never sent": (lambda account: waiting(account, OLD), "stale_pending"),
    "booked for nobody": (_booked_for_nobody, "ledger_imbalance"),
    "fee missing": (_fee_missing, "fee_missing"),
    "refunded": (_refunded, "money_returned"),
}


class Case:
    """One story on record. Each question is answered by Stripe as the story tells it at that moment."""

    def __init__(self, engine: AsyncEngine, ask: Ask, story: Story, stripe: FakeStripe) -> None:
        self.story = story
        self.stripe = stripe
        self._engine = engine
        self._ask = ask

    async def ask(self, span: Span | None = None, now: datetime = NOW) -> Outcome:
        """Reconcile."""
        self.stripe.intents = {i.id: i for i in self.story.intents}
        return await self._ask(self.stripe, span, now)

    async def accept(self, outcome: Outcome) -> None:
        """Acknowledge the one discrepancy there is."""
        (found,) = outcome.found
        await acknowledge(self._engine, found.fingerprint[:12], who=OPERATOR, reason="known")


Planted = Callable[[Plant], Awaitable[Case]]


@pytest.fixture
def planted(engine: AsyncEngine, account: UUID, ask: Ask) -> Planted:
    """Puts a story on record."""

    async def planted(plant: Plant) -> Case:
        story = plant(account)
        return Case(engine, ask, story, await write(engine, [story]))

    return planted


@pytest.fixture
async def acknowledged(planted: Planted) -> Case:
    """A refund that ops knows of."""
    case = await planted(_refunded)
    await case.accept(await case.ask())
    return case


async def test_whatever_is_open_is_found_again_however_old(ask: Ask, engine: AsyncEngine, account: UUID) -> None:
    stripe = await write(engine, [plant(account) for plant, _ in PLANTS.values()])
    first, later = await ask(stripe), await ask(stripe, None, LATER)
    assert sorted(first.names) == sorted(name for _, name in PLANTS.values())
    assert [d.fingerprint for d in later.found] == [d.fingerprint for d in first.found]
    assert (later.verdict, later.money_at_stake) == ("discrepancies", first.money_at_stake)
    assert {d.first_seen for d in later.found} == {NOW}
    assert later.comparison.totals == {}, "totals are the window's own"


async def test_a_named_window_judges_its_own(planted: Planted) -> None:
    case = await planted(_other_amount)
    assert (await case.ask()).verdict == "discrepancies"
    assert (await case.ask(Span(LATER - HOUR, LATER), LATER)).verdict == "clean"
    assert (await case.ask(None, LATER)).verdict == "discrepancies", "which has resolved nothing"


async def test_what_was_put_right_is_resolved_and_not_asked_for_again(planted: Planted) -> None:
    case = await planted(_other_amount)
    await case.ask()
    case.story.at_stripe(amount=1999)
    assert (await case.ask(None, LATER)).verdict == "clean"
    case.stripe.retrieved.clear()
    assert (await case.ask(None, LATER + HOUR)).verdict == "clean"
    assert case.stripe.retrieved == []


async def test_a_run_ends_nothing_that_a_later_one_has_seen(planted: Planted) -> None:
    case = await planted(_other_amount)
    for span, now in ((DAY, NOW), (None, LATER), (DAY, NOW)):
        assert (await case.ask(span, now)).names == ["amount_mismatch"]
    case.story.at_stripe(amount=1999)
    assert (await case.ask(None, LATER - HOUR)).verdict == "clean"
    case.story.at_stripe(amount=1)
    assert (await case.ask(None, LATER + HOUR)).names == ["amount_mismatch"]


async def test_an_incomplete_run_resolves_nothing(planted: Planted) -> None:
    case = await planted(_other_amount)
    await case.ask()
    case.stripe.breaks_after = 0
    assert (await case.ask(None, LATER)).names == ["source_incomplete"]
    case.stripe.breaks_after, case.stripe.unreadable = None, {case.story.intent.id}
    assert (await case.ask(None, LATER)).names == ["source_incomplete"]
    case.stripe.unreadable = set()
    assert (await case.ask(None, LATER)).names == ["amount_mismatch"]


async def test_what_turned_into_something_in_flight_is_looked_at_once_more(
    planted: Planted, engine: AsyncEngine
) -> None:
    case = await planted(_unbooked_without_a_fee)
    assert (await case.ask()).names == ["missing_locally"]
    async with begin(engine) as tx:
        await ledger.post(tx, [booking(case.story, charge=case.story.charge.charge or "", amount=1999)])
    case.story.fee_at_stripe(created=int(LATER.timestamp()) - 5)
    assert (await case.ask(None, LATER)).names == ["in_flight"]
    assert (await case.ask(None, LATER + HOUR)).names == ["fee_missing"]
    assert (await case.ask(None, LATER + WEEK)).names == ["fee_missing"]


# --- acknowledging


async def test_an_acknowledged_one_is_listed_and_leaves_exit_0(acknowledged: Case) -> None:
    for span, now in ((None, NOW), (None, LATER), (DAY, NOW)):
        outcome = await acknowledged.ask(span, now)
        ack = outcome.only("money_returned").acknowledged
        assert ack is not None
        assert (ack.by, ack.reason) == ("ops", "known")
        assert (outcome.verdict, outcome.money_at_stake) == ("clean", {})


async def test_an_acknowledgement_ends_when_more_money_goes_back(acknowledged: Case) -> None:
    goes_back(acknowledged.story, amount_refunded=600)
    for now in (LATER, LATER + HOUR):
        outcome = await acknowledged.ask(None, now)
        assert outcome.only("money_returned").acknowledged is None
        assert (outcome.verdict, outcome.money_at_stake) == ("discrepancies", {"usd": 600})
    await acknowledged.accept(await acknowledged.ask(None, LATER + HOUR))
    assert (await acknowledged.ask(None, LATER + HOUR)).verdict == "clean"


async def test_an_acknowledgement_ends_with_what_it_was_about(acknowledged: Case) -> None:
    for refunded, verdict in ((0, "clean"), (500, "discrepancies")):
        goes_back(acknowledged.story, amount_refunded=refunded)
        assert (await acknowledged.ask()).verdict == verdict


@pytest.mark.usefixtures("acknowledged")
async def test_who_when_and_why_stay_on_record(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        row = (await connection.execute(text("SELECT * FROM acknowledgements"))).one()
    assert (row.acknowledged_by, row.reason, row.amount_minor) == ("ops", "known", 500)
    assert row.stripe["returned"] == 500


async def test_only_an_open_discrepancy_can_be_acknowledged(planted: Planted, engine: AsyncEngine) -> None:
    with pytest.raises(NotFound, match="no open discrepancy 0123456789ab"):
        await acknowledge(engine, "0123456789ab", who=OPERATOR, reason="known")
    case = await planted(_refunded)
    open_one = await case.ask()
    goes_back(case.story, amount_refunded=0)
    await case.ask()
    with pytest.raises(NotFound, match="no open discrepancy"):
        await case.accept(open_one)


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
    tell: Ask, account: UUID, how: dict[str, Any], amount: int
) -> None:
    story = paid(account, NOW - timedelta(minutes=1))
    goes_back(story, **how)
    outcome = await tell(story)
    assert outcome.only("money_returned").amount == amount
    assert (outcome.verdict, outcome.money_at_stake) == ("discrepancies", {"usd": amount})


async def test_a_duplicate_that_was_refunded_whole_is_one_no_more(planted: Planted) -> None:
    case = await planted(_duplicate)
    (await case.ask()).only("duplicate_charge")
    goes_back(case.story, amount_refunded=500)
    assert (await case.ask()).names == ["duplicate_charge", "money_returned"]
    goes_back(case.story, amount_refunded=1999, refunded=True)
    await case.accept(await case.ask())
    assert (await case.ask()).verdict == "clean"


async def test_a_payment_of_nobody_that_was_refunded_is_only_money_that_went_back(ask: Ask) -> None:
    charge = (made := intent(OLD)).latest_charge
    assert isinstance(charge, Charge)
    stripe = FakeStripe([replace(made, latest_charge=replace(charge, refunded=True, amount_refunded=1999))])
    assert (await ask(stripe)).names == ["money_returned"]


async def test_a_charge_settled_in_another_currency_and_not_booked_in_it_is_missing(planted: Planted) -> None:
    case = await planted(_fee_missing)
    case.story.fee_at_stripe(currency="eur", amount=1800)
    assert (await case.ask(None, LATER - 6 * 24 * HOUR)).names == ["missing_locally"]
