"""Every class of discrepancy of a refund is found when it is there, and none when nothing is."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger
from service.stripe_gateway.objects import BalanceTransaction, Charge
from tests.reconcile.conftest import NOW, Ask
from tests.reconcile.records import write
from tests.reconcile.refund_stories import give_back, made_refund, marks_of, unsent
from tests.reconcile.world import HOUR, Story, paid

OLD, YOUNG = NOW - 3 * HOUR, NOW - timedelta(minutes=2)
WEEK = timedelta(days=7)


def _refunded(account: UUID, at: Any = OLD, **how: Any) -> Story:
    story = paid(account, NOW - 5 * HOUR)
    give_back(story, at, **how)
    return story


def _moved(story: Story, **changes: Any) -> None:
    """Stripe tells the balance transaction of the last refund differently; its net follows."""
    txn = story.refunded[-1].balance_transaction
    assert isinstance(txn, BalanceTransaction)
    told = replace(txn, **changes)
    story.refund_at_stripe(balance_transaction=replace(told, net=told.amount - told.fee))


async def test_refunds_that_all_three_sides_know_are_clean(tell: Ask, account: UUID) -> None:
    twice = _refunded(account)
    give_back(twice, OLD)
    outcome = await tell(twice, _refunded(account, amount=1999), paid(account, OLD))
    assert (outcome.verdict, outcome.found) == ("clean", [])
    assert {k: outcome.comparison.coverage[k] for k in ("refunds", "refunds_matched")} == {
        "refunds": 3,
        "refunds_matched": 3,
    }


async def test_a_refund_made_past_us_is_missing_locally_by_its_id(tell: Ask, account: UUID) -> None:
    story = paid(account, NOW - 5 * HOUR)
    made = made_refund(story, OLD, 700)
    outcome = await tell(story)
    found = outcome.only("refund_missing_locally")
    assert (found.refund, found.order_id, found.amount, found.ours) == (made.id, story.order.id, 700, None)
    assert made.id in found.next_step
    assert outcome.money_at_stake == {"usd": 700}


async def test_a_refund_of_a_payment_of_nobody_is_missing_locally(tell: Ask, account: UUID) -> None:
    story = paid(account, NOW - 5 * HOUR)
    made_refund(story, OLD, 1999)
    story.at_stripe(metadata={})
    story.charges, story.entries, story.order.status, story.order.pi = [], [], "canceled", None
    found = (await tell(story)).only("refund_missing_locally")
    assert (found.order_id, found.payment_intent) == (None, story.intent.id)


async def test_a_refund_made_past_us_that_gave_nothing_back_is_nobodys_business(tell: Ask, account: UUID) -> None:
    stories = [paid(account, NOW - 5 * HOUR) for _ in range(2)]
    for story, status in zip(stories, ("failed", "canceled"), strict=True):
        made_refund(story, OLD, 700, status=status)
    assert (await tell(*stories)).verdict == "clean"


async def test_a_settled_refund_that_is_not_on_the_books_is_missing_locally(tell: Ask, account: UUID) -> None:
    stories = {entry: _refunded(account, status="failed") for entry in ("refund_pending", "refund", "refund_failed")}
    for entry, story in stories.items():
        story.entries = [e for e in story.entries if e.kind != entry]
    found = [d for d in (await tell(*stories.values())).found if d.name != "owed"]
    assert {(d.name, d.refund, d.amount) for d in found} == {
        ("refund_missing_locally", story.refund.re, 500) for story in stories.values()
    }
    assert len(found) == len(stories)


async def test_a_refund_that_stripe_does_not_have_is_missing_there(tell: Ask, account: UUID) -> None:
    story = _refunded(account)
    story.refunded.clear()
    charge = story.intent.latest_charge
    assert isinstance(charge, Charge)
    story.at_stripe(latest_charge=replace(charge, amount_refunded=0))
    found = (await tell(story)).only("refund_missing_at_stripe")
    assert (found.refund, found.amount, found.stripe) == (story.refund.re, 500, None)


async def test_a_refund_that_succeeded_here_without_an_id_is_missing_at_stripe(tell: Ask, account: UUID) -> None:
    story = paid(account, NOW - 5 * HOUR)
    row = unsent(story, OLD, status="succeeded")
    assert (await tell(story)).only("refund_missing_at_stripe").refund == str(row.id)


async def test_a_refund_of_another_amount_currency_or_payment_is_an_amount_mismatch(tell: Ask, account: UUID) -> None:
    wrong: list[tuple[dict[str, Any], int]] = [
        ({"amount": 600}, 100), ({"currency": "eur"}, 500), ({"payment_intent": "pi_other"}, 500),
    ]  # fmt: skip
    amounts, stories = {}, []
    for changes, amount in wrong:
        stories.append(story := _refunded(account, YOUNG))
        story.refund_at_stripe(**changes)
        amounts[story.order.id] = amount
    outcome = await tell(*stories)
    assert {d.order_id: d.amount for d in outcome.found if d.name == "refund_amount_mismatch"} == amounts


async def test_a_refund_whose_money_was_another_sum_is_an_amount_mismatch(tell: Ask, account: UUID) -> None:
    story = _refunded(account)
    _moved(story, amount=-450)
    assert (await tell(story)).only("refund_amount_mismatch").amount == 50


CONTRADICT = [
    ("succeeded", "failed"),
    ("succeeded", "canceled"),
    ("succeeded", "pending"),
    ("failed", "succeeded"),
    ("canceled", "succeeded"),
    ("processing", "succeeded"),
    ("processing", "failed"),
    ("pending", "succeeded"),
]


async def test_words_that_contradict_are_a_status_mismatch(tell: Ask, account: UUID) -> None:
    stories = [_refunded(account) for _ in CONTRADICT]
    for story, (ours, theirs) in zip(stories, CONTRADICT, strict=True):
        story.refund.status = ours
        story.refund_at_stripe(status=theirs)
    found = (await tell(*stories)).found
    assert {(d.name, d.order_id, d.amount) for d in found} == {
        ("refund_status_mismatch", story.order.id, 500) for story in stories
    }
    assert len(found) == len(stories)


async def test_a_success_that_failed_later_is_in_flight_until_the_grace_is_over(
    engine: AsyncEngine, ask: Ask, account: UUID
) -> None:
    story = _refunded(account, NOW - 4 * HOUR)
    failed = made_refund(story, YOUNG, 500, status="failed")
    story.refunded.pop()
    story.refund_at_stripe(status="failed", failure_balance_transaction=failed.failure_balance_transaction)
    stripe = await write(engine, [story])
    (await ask(stripe)).only("in_flight")
    (await ask(stripe, None, NOW + HOUR)).only("refund_status_mismatch")


async def test_a_lost_reply_is_matched_by_our_metadata_and_by_it_alone(tell: Ask, account: UUID) -> None:
    story, other = (paid(account, NOW - 5 * HOUR) for _ in range(2))
    row = unsent(story, OLD, status="processing")
    made_refund(story, OLD, 500, metadata=marks_of(story.order, row.id))
    row = unsent(other, OLD, status="processing")
    made_refund(other, OLD, 500, metadata=marks_of(story.order, row.id))
    outcome = await tell(story, other)
    assert {(d.name, d.order_id) for d in outcome.found} == {
        ("refund_status_mismatch", story.order.id),
        ("refund_missing_locally", other.order.id),
        ("stale_pending", other.order.id),
    }


async def test_two_refunds_of_one_request_are_claimed_once(tell: Ask, account: UUID) -> None:
    story = _refunded(account)
    again = made_refund(story, OLD, 500, metadata=marks_of(story.order, story.refund.id))
    assert (await tell(story)).only("refund_missing_locally").refund == again.id


# --- the books


async def test_a_refund_booked_at_another_amount_is_an_imbalance(tell: Ask, account: UUID) -> None:
    stories = {kind: _refunded(account, status="failed") for kind in ("refund_pending", "refund", "refund_failed")}
    for kind, story in stories.items():
        wrong = ledger.refund_entries(
            account_id=account,
            order_id=story.order.id,
            refund=replace(
                story.refunded[-1],
                amount=450,
                balance_transaction=replace(_of(story.refunded[-1].balance_transaction), amount=-450),
                failure_balance_transaction=replace(_of(story.refunded[-1].failure_balance_transaction), amount=450),
            ),
            drawn_minor=0,
            of_duplicate=False,
        )
        story.entries = [e for e in story.entries if e.kind != kind] + [e for e in wrong if e.kind == kind]
    outcome = await tell(*stories.values())
    found = [(d.name, d.order_id, d.amount) for d in outcome.found if d.name != "owed"]
    assert sorted(found, key=str) == sorted(
        (("ledger_imbalance", story.order.id, 50) for story in stories.values()), key=str
    )


def _of(txn: BalanceTransaction | str | None) -> BalanceTransaction:
    assert isinstance(txn, BalanceTransaction)
    return txn


async def test_what_was_drawn_is_not_booked_again(tell: Ask, account: UUID) -> None:
    story = _refunded(account, status="failed")
    give_back(story, OLD, 500, drawn=500)
    story.refund.drawn = 0
    assert (await tell(story)).only("refund_missing_locally").amount == 500


async def test_a_refund_booked_for_nobody_is_an_imbalance(tell: Ask, account: UUID) -> None:
    story, other = paid(account, OLD), paid(account, OLD)
    give_back(other, OLD)
    story.entries += [e for e in other.entries if e.kind == "refund"]
    other.entries = [e for e in other.entries if e.kind in ("charge", "fee")]
    del other.refunds[:], other.refunded[:]
    charge = other.intent.latest_charge
    assert isinstance(charge, Charge)
    other.at_stripe(latest_charge=replace(charge, amount_refunded=0))
    found = (await tell(story, other)).only("ledger_imbalance")
    assert (found.amount, str((found.ours or {})["entry"]).partition(":")[0]) == (500, "refund")


async def test_a_failure_booked_of_a_refund_that_did_not_fail_is_an_imbalance(tell: Ask, account: UUID) -> None:
    story, failed = _refunded(account), _refunded(account, status="failed")
    (booked,) = [e for e in failed.entries if e.kind == "refund_failed"]
    invented = ledger.refund_failed_entry(
        account_id=account,
        order_id=story.order.id,
        payment_intent_id=story.intent.id,
        stripe_refund_id=story.refund.re or "",
        amount_minor=500,
        currency="usd",
        occurred_at=booked.occurred_at,
    )
    assert invented is not None
    story.entries.append(invented)
    assert (await tell(story)).only("ledger_imbalance").amount == 500


@pytest.mark.parametrize(("booked", "name"), [(None, "fee_missing"), (3, "fee_mismatch")])
async def test_a_fee_of_a_refund_is_booked_like_that_of_a_charge(
    tell: Ask, account: UUID, booked: int | None, name: str
) -> None:
    story = _refunded(account)
    _moved(story, fee=7)
    if booked is not None:
        entry = ledger.fee_entry(
            account_id=account,
            order_id=story.order.id,
            payment_intent_id=story.intent.id,
            balance_transaction_id=story.refund.txn or "",
            fee_minor=booked,
            currency="usd",
            occurred_at=OLD,
        )
        assert entry is not None
        story.entries.append(entry)
    assert (await tell(story)).only(name).amount == (7 if booked is None else 4)
