"""The classes of discrepancies between the ledger and Stripe: fees and bookings."""

from datetime import timedelta
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger
from service.stripe_gateway.objects import Charge
from tests.reconcile.conftest import NOW, Ask
from tests.reconcile.records import write
from tests.reconcile.world import HOUR, paid, without_fee

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


async def _tamper(database: str, statement: str) -> None:
    """What only somebody with the owner's password and bad intentions can do."""
    import asyncpg

    connection = await asyncpg.connect(database)
    try:
        await connection.execute("ALTER TABLE postings DISABLE TRIGGER USER")
        await connection.execute(statement)
    finally:
        await connection.close()
