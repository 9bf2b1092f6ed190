"""Every class of discrepancy is found when it is there, and nothing is found when nothing is."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger
from service.charges.model import Rules
from service.foundation.settings import Settings
from service.reconcile import Span
from service.stripe_gateway.objects import Charge
from tests.reconcile.conftest import NOW, Ask
from tests.reconcile.world import (
    HOUR,
    FakeStripe,
    Story,
    declined,
    intent,
    names,
    paid,
    success,
    unknown,
    waiting,
    write,
)  # fmt: skip

OLD, YOUNG = NOW - 3 * HOUR, NOW - timedelta(minutes=2)


async def test_two_sides_that_agree_are_clean(tell: Ask, account: UUID) -> None:
    outcome = await tell(paid(account, OLD), paid(account, OLD, 500, "jpy", fee=0), declined(account, OLD))
    assert (outcome.verdict, outcome.found) == ("clean", [])
    assert outcome.comparison.coverage == {"payment_intents": 3, "charges": 3, "matched": 3, "edges": 0}


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


def _without_fee(story: Story) -> Story:
    story.entries.pop()
    story.charge.txn = None
    return story


async def test_a_fee_that_never_came_is_missing(tell: Ask, account: UUID) -> None:
    found = (await tell(_without_fee(paid(account, OLD)))).only("fee_missing")
    assert (found.amount, found.currency) == (88, "usd")


async def test_a_fee_that_stripe_does_not_know_yet_is_missing_once_it_is_late(tell: Ask, account: UUID) -> None:
    story = _without_fee(paid(account, OLD))
    charge = story.intent.latest_charge
    assert isinstance(charge, Charge)
    story.at_stripe(latest_charge=replace(charge, balance_transaction=None))
    assert (await tell(story)).only("fee_missing").amount is None


async def test_a_late_fee_counts_from_when_stripe_made_it(tell: Ask, account: UUID) -> None:
    story = _without_fee(paid(account, OLD))
    story.fee_at_stripe(created=int(YOUNG.timestamp()))
    (await tell(story)).only("in_flight")


async def test_a_fee_of_nothing_is_not_missing(tell: Ask, account: UUID) -> None:
    assert (await tell(paid(account, OLD, fee=0))).verdict == "clean"


async def test_another_fee_is_a_mismatch(tell: Ask, account: UUID) -> None:
    story = paid(account, OLD)
    story.fee_at_stripe(fee=90)
    assert (await tell(story)).only("fee_mismatch").amount == 2


async def test_a_charge_booked_at_another_amount_is_an_imbalance(tell: Ask, account: UUID) -> None:
    story = paid(account, OLD)
    story.charge.amount = story.order.amount = 1500
    story.at_stripe(amount=1500, amount_received=1500)
    assert (await tell(story)).only("ledger_imbalance").amount == 499


async def test_a_charge_booked_twice_is_an_imbalance(tell: Ask, account: UUID) -> None:
    story = paid(account, OLD)
    story.entries.append(
        ledger.charge_entry(
            account_id=account, order_id=story.order.id, payment_intent_id=story.charge.pi, stripe_charge_id="ch_again",
            amount_minor=1999, currency="usd", occurred_at=OLD,
        )
    )  # fmt: skip
    found = (await tell(story)).only("ledger_imbalance")
    assert (found.ours or {})["entry"] == "charge:ch_again"


async def test_an_entry_that_does_not_balance_is_found(
    account: UUID, engine: AsyncEngine, database: str, ask: Ask
) -> None:
    story = paid(account, OLD)
    stripe = await write(engine, [story])
    await _tamper(database, "UPDATE postings SET amount_minor = amount_minor + 1 WHERE amount_minor = 88")
    outcome = await ask(stripe)
    assert ("ledger_imbalance", f"fee:{story.charge.txn}") in [
        (d.name, (d.ours or {}).get("entry")) for d in outcome.found
    ]


async def test_a_settlement_in_another_currency_is_booked_at_what_arrived(tell: Ask, account: UUID) -> None:
    story = paid(account, OLD)
    story.fee_at_stripe(currency="eur", amount=1700, fee=70, net=1630)
    story.entries[0] = ledger.charge_entry(
        account_id=account, order_id=story.order.id, payment_intent_id=story.charge.pi,
        stripe_charge_id=story.charge.charge or "", amount_minor=1700, currency="eur", occurred_at=OLD,
    )  # fmt: skip
    fee = ledger.fee_entry(
        account_id=account, order_id=story.order.id, payment_intent_id=story.charge.pi,
        balance_transaction_id=story.charge.txn or "", fee_minor=70, currency="eur", occurred_at=OLD,
    )  # fmt: skip
    assert fee is not None
    story.entries[1] = fee
    assert (await tell(story)).verdict == "clean"


async def test_what_is_young_is_in_flight_and_clean(tell: Ask, account: UUID) -> None:
    late_fee, refused = _without_fee(paid(account, YOUNG)), declined(account, YOUNG)
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


async def test_totals_stand_side_by_side_per_currency(tell: Ask, account: UUID) -> None:
    lost = paid(account, OLD, 300)
    lost.entries.clear()
    totals = (await tell(paid(account, OLD), lost, paid(account, OLD, 500, "jpy", fee=20))).comparison.totals
    shown = {c: {side: (s.count, s.gross, s.fees, s.net) for side, s in sides.items()} for c, sides in totals.items()}
    assert shown == {
        "jpy": dict.fromkeys(("ours", "ledger", "stripe"), (1, 500, 20, 480)),
        "usd": {"ours": (2, 2299, 88, 2211), "ledger": (1, 1999, 88, 1911), "stripe": (2, 2299, 176, 2123)},
    }


async def _tamper(database: str, statement: str) -> None:
    """What only somebody with the owner's password and bad intentions can do."""
    import asyncpg

    connection = await asyncpg.connect(database)
    try:
        await connection.execute("ALTER TABLE postings DISABLE TRIGGER USER")
        await connection.execute(statement)
    finally:
        await connection.close()


async def test_our_tables_are_left_as_they_were(tell: Ask, account: UUID, engine: AsyncEngine) -> None:
    await tell(paid(account, OLD), waiting(account, OLD))
    async with engine.connect() as connection:
        left = (await connection.execute(text("SELECT count(*) FROM pg_class WHERE relname LIKE 'recon\\_%'"))).scalar()
        timeout = (await connection.execute(text("SHOW statement_timeout"))).scalar()
    assert left == 0
    assert timeout != "0", "the next user of the engine has limits again"
