"""Every class of discrepancy is found when it is there, and nothing is found when nothing is."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service.stripe_gateway.objects import Charge, Intent
from tests.disputes.arguing import dispute
from tests.reconcile.conftest import NOW, Ask
from tests.reconcile.fake_stripe import FakeStripe
from tests.reconcile.records import write
from tests.reconcile.world import HOUR, Story, declined, intent, names, paid, success, unknown, waiting

OLD, YOUNG = NOW - 3 * HOUR, NOW - timedelta(minutes=2)


async def test_two_sides_that_agree_are_clean(tell: Ask, account: UUID) -> None:
    outcome = await tell(paid(account, OLD), paid(account, OLD, 500, "jpy", fee=0), declined(account, OLD))
    assert (outcome.verdict, outcome.found) == ("clean", [])
    assert outcome.comparison.coverage == {
        "payment_intents": 3,
        "charges": 3,
        "matched": 3,
        "refunds": 0,
        "refunds_matched": 0,
        "edges": 0,
    }


async def test_nothing_at_all_is_clean(tell: Ask) -> None:
    assert (await tell()).verdict == "clean"


async def test_a_payment_planted_at_stripe_is_missing_locally_by_its_id(ask: Ask) -> None:
    planted = intent(OLD, 4200, "eur")
    found = (await ask(FakeStripe([planted]))).only("missing_locally")
    assert (found.payment_intent, found.order_id, found.amount, found.currency) == (planted.id, None, 4200, "eur")
    assert found.ours is None
    assert planted.id in found.next_step


async def test_a_payment_of_our_metadata_that_we_never_opened_names_its_order(tell: Ask, account: UUID) -> None:
    story = waiting(account, OLD)
    story.intents.append(intent(OLD, metadata=names(story.order)))
    assert (await tell(story)).only("missing_locally").order_id == story.order.id


async def test_a_settled_success_that_is_not_on_the_books_is_missing_locally(tell: Ask, account: UUID) -> None:
    story = paid(account, OLD)
    story.entries.clear()
    found = (await tell(story)).only("missing_locally")
    assert (found.ours or {})["charge"] == "succeeded"
    assert "booked" not in (found.ours or {})


@pytest.mark.parametrize("status", ["warning_needs_response", "lost"])
async def test_a_payment_that_is_unknown_here_is_named_although_its_bank_disputes_it(ask: Ask, status: str) -> None:
    """It may be of an order that this database forgot, and healing looks at what is named."""
    planted = _seen_so(intent(OLD, 4200), disputed=True)
    stripe = FakeStripe([planted])
    shown = dispute(planted.id, status, created=int(OLD.timestamp()))
    stripe.disputes[shown.id] = shown
    found = (await ask(stripe)).only("missing_locally")
    assert (found.payment_intent, found.amount) == (planted.id, 4200)


@pytest.mark.parametrize("back", [{"refunded": True}, {"amount_refunded": 1999}])
async def test_somebody_elses_payment_that_refunds_gave_back_is_missed_by_nobody(
    ask: Ask, back: dict[str, Any]
) -> None:
    stripe = FakeStripe([_seen_so(intent(OLD), **back)])
    assert "missing_locally" not in (await ask(stripe)).names


def _seen_so(payment: Intent, **charge: Any) -> Intent:
    """The payment, whose charge Stripe tells differently."""
    assert isinstance(payment.latest_charge, Charge)
    return replace(payment, latest_charge=replace(payment.latest_charge, **charge))


async def test_somebody_elses_payment_that_moved_no_money_is_nobodys_business(ask: Ask) -> None:
    assert (await ask(FakeStripe([replace(intent(OLD), status="canceled")]))).verdict == "clean"


async def test_a_charge_that_stripe_does_not_have_is_missing_there(tell: Ask, account: UUID) -> None:
    story = paid(account, OLD)
    story.intents.clear()
    found = (await tell(story)).only("missing_at_stripe")
    assert (found.payment_intent, found.amount, found.stripe) == (story.charge.pi, 1999, None)


async def test_a_paid_order_without_any_charge_is_missing_at_stripe(tell: Ask, account: UUID) -> None:
    story = waiting(account, OLD)
    story.order.status = "paid"
    (await tell(story)).only("missing_at_stripe")


async def test_a_wrong_id_of_ours_shows_both_ends(tell: Ask, account: UUID) -> None:
    story = paid(account, OLD)
    story.charge.pi = story.order.pi = "pi_wrong"
    outcome = await tell(story)
    assert outcome.names == ["missing_locally", "missing_at_stripe"]
    assert [d.payment_intent for d in outcome.found] == [story.intent.id, "pi_wrong"]


async def test_a_second_success_is_a_duplicate_and_the_booked_first_is_not(tell: Ask, account: UUID) -> None:
    story = paid(account, OLD)
    success(story, OLD - HOUR, duplicate=True)
    found = (await tell(story)).only("duplicate_charge")
    assert (found.payment_intent, found.amount) == (story.intents[1].id, 1999)


async def test_a_second_payment_of_one_attempt_is_a_duplicate(tell: Ask, account: UUID) -> None:
    story = paid(account, OLD)
    again = intent(OLD - HOUR, metadata=names(story.order))
    story.intents.append(again)
    assert (await tell(story)).only("duplicate_charge").payment_intent == again.id


async def test_two_payments_of_one_lost_attempt_are_claimed_once(tell: Ask, account: UUID) -> None:
    story = unknown(account, OLD)
    first, second = (intent(OLD + n * HOUR / 60, metadata=names(story.order)) for n in (0, 1))
    story.intents += [first, second]
    outcome = await tell(story)
    assert [(d.name, d.payment_intent) for d in outcome.found] == [
        ("duplicate_charge", second.id),
        ("status_mismatch", first.id),
    ]


async def test_another_currency_outranks_another_amount(tell: Ask, account: UUID) -> None:
    story = paid(account, OLD)
    story.at_stripe(currency="eur", amount=5, amount_received=5)
    (await tell(story)).only("currency_mismatch")


@pytest.mark.parametrize("changes", [{"amount": 2099, "amount_received": 2099}, {"amount_received": 1899}])
async def test_another_amount_is_found_with_its_difference(tell: Ask, account: UUID, changes: dict[str, int]) -> None:
    story = paid(account, OLD)
    story.at_stripe(**changes)
    outcome = await tell(story)
    assert outcome.only("amount_mismatch").amount == 100
    assert outcome.money_at_stake == {"usd": 100}


async def test_an_order_charged_at_another_amount_is_found(tell: Ask, account: UUID) -> None:
    story = paid(account, OLD)
    story.order.amount = 1000
    assert (await tell(story)).only("amount_mismatch").amount == 999


@pytest.mark.parametrize("status", ["failed", "canceled", "processing", "pending"])
async def test_stripes_success_against_our_order_is_a_status_mismatch(tell: Ask, account: UUID, status: str) -> None:
    story = paid(account, OLD)
    story.order.status = status
    (await tell(story)).only("status_mismatch")


@pytest.mark.parametrize(
    ("ours", "order", "theirs"),
    [
        ("declined", "failed", "requires_payment_method"),
        ("declined", "failed", "canceled"),
        ("canceled", "canceled", "canceled"),
    ],
)
async def test_two_words_for_the_same_end_agree(tell: Ask, account: UUID, ours: str, order: str, theirs: str) -> None:
    story = declined(account, OLD)
    story.charge.status, story.order.status = ours, order
    story.at_stripe(status=theirs)
    assert (await tell(story)).verdict == "clean"


@pytest.mark.parametrize("ours", ["sending", "unknown"])
async def test_a_payment_whose_reply_was_lost_is_stale_while_stripe_processes_it(
    tell: Ask, account: UUID, ours: str
) -> None:
    for at, name in ((OLD, "stale_pending"), (YOUNG, "in_flight")):
        story = declined(account, at)
        story.charge.status, story.order.status = ours, "processing"
        story.at_stripe(status="processing")
        assert name in [d.name for d in (await tell(story)).found if d.order_id == story.order.id]


async def test_a_declined_charge_that_stripe_says_succeeded_is_a_status_mismatch(tell: Ask, account: UUID) -> None:
    story = declined(account, OLD)
    story.intents[0] = replace(intent(OLD, metadata=names(story.order)), id=story.intent.id)
    (await tell(story)).only("status_mismatch")


@pytest.mark.parametrize("status", ["canceled", "requires_payment_method", "processing"])
async def test_a_paid_order_that_stripe_did_not_charge_is_a_status_mismatch(
    tell: Ask, account: UUID, status: str
) -> None:
    story = paid(account, OLD)
    story.at_stripe(status=status, amount_received=0, latest_charge=None)
    (await tell(story)).only("status_mismatch")


async def test_an_order_paid_by_a_declined_charge_is_a_status_mismatch(tell: Ask, account: UUID) -> None:
    story = declined(account, OLD)
    story.order.status = "paid"
    (await tell(story)).only("status_mismatch")


async def test_a_lost_reply_that_succeeded_is_matched_by_our_metadata(tell: Ask, account: UUID) -> None:
    story = unknown(account, OLD)
    story.intents.append(intent(OLD, metadata=names(story.order)))
    found = (await tell(story)).only("status_mismatch")
    assert (found.payment_intent, found.order_id) == (story.intent.id, story.order.id)


async def test_metadata_of_another_account_is_not_ours(tell: Ask, account: UUID) -> None:
    story = unknown(account, YOUNG)
    story.intents.append(intent(OLD, metadata=names(story.order) | {"eo_account": str(story.order.id)}))
    assert (await tell(story)).names == ["missing_locally", "in_flight"]


BEYOND = 1 << 63


@pytest.mark.parametrize(
    "how",
    [{"amount": BEYOND}, {"amount_received": -BEYOND}, {"currency": "u\0d"}, {"status": "x" * 300}, {"fee": 10**30}],
    ids=ascii,
)
async def test_a_payment_that_no_table_can_hold_is_named_and_its_neighbours_are_compared(
    engine: AsyncEngine, ask: Ask, account: UUID, how: dict[str, Any]
) -> None:
    odd, gone = paid(account, OLD), paid(account, OLD)
    planted = intent(OLD, 4200)
    gone.intents.clear()
    stripe = await write(engine, [odd, gone])
    for shown in (odd.intent, intent(OLD)):
        other = Story(odd.order, intents=[shown])
        other.fee_at_stripe(**how) if "fee" in how else other.at_stripe(**how)
        stripe.intents[shown.id] = other.intent
    stripe.intents[planted.id] = planted
    outcome = await ask(stripe)
    assert outcome.verdict == "incomplete"
    (said,) = [d.stripe or {} for d in outcome.found if d.name == "source_incomplete"]
    assert said["reason"].count("cannot be compared: its ") == 2
    assert {d.payment_intent for d in outcome.found} == {None, planted.id, gone.charge.pi}


async def test_totals_stand_side_by_side_per_currency(tell: Ask, account: UUID) -> None:
    lost = paid(account, OLD, 300)
    lost.entries.clear()
    totals = (await tell(paid(account, OLD), lost, paid(account, OLD, 500, "jpy", fee=20))).comparison.totals
    shown = {c: {side: (s.count, s.gross, s.fees, s.net) for side, s in sides.items()} for c, sides in totals.items()}
    assert shown == {
        "jpy": dict.fromkeys(("ours", "ledger", "stripe"), (1, 500, 20, 480)),
        "usd": {"ours": (2, 2299, 88, 2211), "ledger": (1, 1999, 88, 1911), "stripe": (2, 2299, 176, 2123)},
    }


async def test_our_tables_are_left_as_they_were(tell: Ask, account: UUID, engine: AsyncEngine) -> None:
    await tell(paid(account, OLD), waiting(account, OLD))
    async with engine.connect() as connection:
        left = (await connection.execute(text("SELECT count(*) FROM pg_class WHERE relname LIKE 'recon\\_%'"))).scalar()
        timeout = (await connection.execute(text("SHOW statement_timeout"))).scalar()
    assert left == 0
    assert timeout != "0", "the next user of the engine has limits again"
