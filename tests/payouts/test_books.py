"""With its movements booked, a payout that has ended leaves nothing in transit; `verify` finds where it does."""

from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger, payouts
from service.foundation.postgres.sql import begin
from service.ledger import JournalEntry, Money, payout_entry, payout_failed_entry, suspense_entry
from service.ledger.journal import SUSPENDED
from service.stripe_gateway.objects import BalanceTransaction
from tests.payouts.bodies import payout
from tests.payouts.conftest import balances
from tests.reconcile.records import default_account
from tests.web.afterwards import rows


async def moves(engine: AsyncEngine, status: str, payout_id: str, amount: int, *, booked: bool = True) -> None:
    """Stripe's balance moves as this payout shows, and that is swept and booked."""
    account, shown = await default_account(engine), payout(status, id=payout_id, amount=amount)
    named: dict[str, Any] = {"account_id": account, "payout_id": payout_id, "paid": Money(amount, "usd")}
    for make, transaction in (
        (payout_entry, shown.balance_transaction),
        (payout_failed_entry, shown.failure_balance_transaction),
    ):
        if isinstance(transaction, BalanceTransaction):
            entry = make(transaction=transaction, **named)
            assert entry is not None
            suspense = suspense_entry(
                transaction=transaction, account_id=account, order_id=None, payment_intent_id=None
            )
            assert suspense is not None
            await _swept(engine, transaction, entry if booked else suspense)


async def _swept(engine: AsyncEngine, one: BalanceTransaction, entry: JournalEntry) -> None:
    await rows(
        engine,
        """INSERT INTO balance_transactions (id, type, category, source, amount_minor, fee_minor, net_minor, currency,
               stripe_created, status)
           VALUES (:id, :type, :type, :source, :amount, 0, :amount, 'usd', now(), :status)
           ON CONFLICT DO NOTHING""",
        id=one.id, type=one.type, source=one.source, amount=one.amount,
        status="suspense" if entry.kind == SUSPENDED else "booked",
    )  # fmt: skip
    async with begin(engine) as tx:
        await ledger.post(tx, [entry])


async def faults(engine: AsyncEngine) -> list[tuple[str, tuple[str, ...]]]:
    """What `verify` finds."""
    return [(found.name, found.ids) for found in await ledger.verify(engine)]


@pytest.mark.parametrize("amount", [1411, -1411, 2**53 - 1])
async def test_each_ended_payout_leaves_nothing_in_transit(engine: AsyncEngine, amount: int) -> None:
    """A negative payout takes money from the bank; a large one is a sum of many payments."""
    for po, states in {"po_1": ("paid",), "po_2": ("paid", "failed"), "po_3": ("canceled",)}.items():
        for status in states:
            await payouts.settle(engine, [payout(status, id=po, amount=amount)])
        await moves(engine, states[-1], po, amount)
    assert await balances(engine) == {"assets:bank": amount, "assets:stripe:balance": -amount}
    assert await faults(engine) == []


async def test_what_is_left_in_transit_is_found(engine: AsyncEngine) -> None:
    """By hand: a row that says paid, of which nobody booked the arrival."""
    for po in ("po_1", "po_2"):
        await moves(engine, "paid", po, 1411)
    await payouts.settle(engine, [payout("in_transit"), payout("paid", id="po_2")])
    assert await faults(engine) == []
    await rows(engine, "UPDATE payouts SET status = 'paid'")
    assert await faults(engine) == [("payout_not_even", ("po_1",))]
    await payouts.settle(engine, [payout("paid")])
    assert await faults(engine) == []


async def test_what_is_on_its_way_to_the_books_is_no_fault(engine: AsyncEngine) -> None:
    """Movements and states are seen in any order; one in suspense is named elsewhere."""
    await payouts.settle(engine, [payout("paid")])
    assert await faults(engine) == []
    await moves(engine, "failed", "po_1", 1411)
    assert await faults(engine) == [], "the sweep of payouts has not seen that it failed"
    await payouts.settle(engine, [payout("failed")])
    assert await faults(engine) == []
    await moves(engine, "paid", "po_2", 1411, booked=False)
    await payouts.settle(engine, [payout("paid", id="po_2")])
    assert await faults(engine) == []
