"""The classes of discrepancies between the ledger and Stripe: fees and bookings."""

import dataclasses
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger
from service.stripe_gateway.objects import Charge
from tests.reconcile.conftest import NOW, Ask, Outcome
from tests.reconcile.oracle import compare_streams
from tests.reconcile.records import write
from tests.reconcile.world import HOUR, Story, paid, without_fee

OLD, YOUNG = NOW - 3 * HOUR, NOW - timedelta(minutes=2)


async def test_a_fee_that_never_came_is_missing(tell: Ask, account: UUID) -> None:
    found = (await tell(without_fee(paid(account, OLD)))).only("fee_missing")
    assert (found.amount, found.currency) == (88, "usd")


async def test_a_fee_that_stripe_does_not_know_yet_is_missing_once_it_is_late(tell: Ask, account: UUID) -> None:
    story = without_fee(paid(account, OLD))
    charge = story.intent.latest_charge
    assert isinstance(charge, Charge)
    story.at_stripe(latest_charge=replace(charge, balance_transaction=None))
    assert (await tell(story)).only("fee_missing").amount is None


async def test_a_late_fee_counts_from_when_stripe_made_it(tell: Ask, account: UUID) -> None:
    story = without_fee(paid(account, OLD))
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


def _settled(account: UUID, *, amount: int = 1700, customer: int = 1999, made: datetime = OLD) -> Story:
    """Paid in USD, of which Stripe's balance got 17.00 EUR; booked as is said."""
    story = paid(account, OLD)
    story.fee_at_stripe(currency="eur", amount=1700, fee=70, net=1630, created=int(made.timestamp()))
    right = ledger.charge_entry(
        account_id=account, order_id=story.order.id, payment_intent_id=story.charge.pi,
        stripe_charge_id=story.charge.charge or "", amount_minor=amount, currency="eur", occurred_at=OLD,
        customer=ledger.Money(customer, "usd"),
    )  # fmt: skip
    fee = ledger.fee_entry(
        account_id=account, order_id=story.order.id, payment_intent_id=story.charge.pi,
        balance_transaction_id=story.charge.txn or "", fee_minor=70, currency="eur", occurred_at=OLD,
    )  # fmt: skip
    assert fee is not None
    story.entries = [right, fee]
    return story


def _judged(story: Story, outcome: Outcome) -> list[str]:
    """What both implementations say of it."""
    cut_off = NOW - timedelta(seconds=600)
    assert outcome.names == [found.name for found in compare_streams([story], story.intents, [], cut_off)]
    return outcome.names


async def test_a_settlement_in_another_currency_is_booked_at_what_arrived(tell: Ask, account: UUID) -> None:
    story = _settled(account)
    outcome = await tell(story)
    assert (outcome.verdict, _judged(story, outcome)) == ("clean", [])
    usd = outcome.comparison.totals["usd"]
    assert {side: sums.gross for side, sums in usd.items()} == {"ours": 1999, "ledger": 1999, "stripe": 1999}


async def test_what_was_booked_anew_stands_for_what_was_booked_before(tell: Ask, account: UUID) -> None:
    story, before = _settled(account), paid(account, OLD)
    (right, fee), (old, *_) = story.entries, before.entries
    old = dataclasses.replace(
        old, reference=right.reference, order_id=right.order_id, payment_intent_id=story.charge.pi
    )
    story.entries = [old, ledger.reversal_entry(old), ledger.settled_entry(right), fee]
    assert _judged(story, await tell(story)) == []


@pytest.mark.parametrize(
    ("how", "amount", "currency"),
    [({"amount": 1701}, 1, "eur"), ({"customer": 1998}, 1999, "usd")],
    ids=["Stripe's balance", "the customer"],
)
async def test_a_settlement_of_another_sum_than_either_side_says_is_an_imbalance(
    tell: Ask, account: UUID, how: dict[str, int], amount: int, currency: str
) -> None:
    story = _settled(account, amount=how.get("amount", 1700), customer=how.get("customer", 1999))
    outcome = await tell(story)
    found = outcome.only("ledger_imbalance")
    assert (found.amount, found.currency, _judged(story, outcome)) == (amount, currency, ["ledger_imbalance"])


@pytest.mark.parametrize(("made", "name"), [(OLD, "missing_locally"), (YOUNG, "in_flight")])
async def test_what_is_booked_in_its_own_currency_although_it_settled_in_another_is_missing(
    tell: Ask, account: UUID, made: datetime, name: str
) -> None:
    story = _settled(account, made=made)
    story.entries = paid(account, OLD).entries[:1]
    (old,) = story.entries
    reference = f"charge:{story.charge.charge}"
    story.entries = [dataclasses.replace(old, reference=reference, order_id=story.order.id)]
    assert _judged(story, await tell(story)) == [name]


async def test_the_fee_of_another_currency_is_missed_like_any(tell: Ask, account: UUID) -> None:
    story = _settled(account)
    story.entries.pop()
    assert _judged(story, await tell(story)) == ["fee_missing"]


@pytest.mark.parametrize(("at", "name"), [(YOUNG, "in_flight"), (OLD, "fee_missing")])
async def test_what_waits_for_its_movement_is_in_flight_and_then_missed(
    tell: Ask, account: UUID, engine: AsyncEngine, at: datetime, name: str
) -> None:
    """Its currency is known to settle elsewhere, so nothing is booked before Stripe tells what it got."""
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO settlement_currencies VALUES ('usd', 'eur', 'txn_0', now())"))
    story = without_fee(paid(account, at))
    charge = story.intent.latest_charge
    assert isinstance(charge, Charge)
    story.at_stripe(latest_charge=replace(charge, balance_transaction=None))
    story.entries = []
    assert (await tell(story)).names == [name]


async def _tamper(database: str, statement: str) -> None:
    """What only somebody with the owner's password and bad intentions can do."""
    import asyncpg

    connection = await asyncpg.connect(database)
    try:
        await connection.execute("ALTER TABLE postings DISABLE TRIGGER USER")
        await connection.execute(statement)
    finally:
        await connection.close()
