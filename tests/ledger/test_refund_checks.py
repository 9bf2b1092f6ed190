"""`verify` holds the books against the refunds: no more back than was taken, and what is owed is booked as owed."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger
from tests.ledger.support import ALICE, NOON, book, charged, damage

ORDER = UUID("0192e4a0-0000-7000-8000-0000000000f1")
CHARGE = UUID("0192e4a0-0000-7000-8000-0000000000f2")


class Books:
    """One order of 100.00 that was charged, its refunds, and what of them is booked."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    async def run(self, statement: str, **values: Any) -> None:
        async with self.engine.begin() as connection:
            await connection.execute(text(statement), values)

    async def charge(self) -> None:
        who = {"order": ORDER, "account": ALICE}
        await self.run(_ORDER, **who)
        await self.run(_CHARGE, **who, charge=CHARGE)
        await book(self.engine, charged("a", 10_000, order_id=ORDER))

    async def refund(self, name: str, status: str, amount: int = 4000, drawn: int = 0, **ids: str | None) -> None:
        """A refund as it is stored, and all that is to be booked of it in that state."""
        row = {"re": f"re_{name}", "txn": None, "back": None} | ids
        await self.run(
            _REFUND,
            id=uuid4(),
            account=ALICE,
            order=ORDER,
            charge=CHARGE,
            status=status,
            amount=amount,
            drawn=drawn,
            **row,
        )
        of: dict[str, Any] = {
            "account_id": ALICE, "order_id": ORDER, "payment_intent_id": "pi_a", "stripe_refund_id": f"re_{name}",
            "amount_minor": amount, "currency": "usd", "occurred_at": NOON,
        }  # fmt: skip
        booked = [
            ledger.refund_pending_entry(drawn_minor=drawn, **of) if row["re"] else None,
            ledger.refund_entry(**of) if row["txn"] else None,
            ledger.refund_failed_entry(**of) if row["back"] else None,
        ]
        await book(self.engine, *(entry for entry in booked if entry))

    async def owe(self, amount: int) -> None:
        await self.run("UPDATE orders SET amount_owed_minor = :amount", amount=amount)

    async def faults(self) -> list[str]:
        return [finding.name for finding in await ledger.verify(self.engine)]


@pytest.fixture
async def books(engine: AsyncEngine) -> Books:
    books = Books(engine)
    await books.charge()
    return books


async def test_every_state_of_a_refund_agrees_with_the_books(books: Books) -> None:
    await books.refund("asked", "pending", re=None)
    assert await books.faults() == []
    await books.refund("waits", "processing", 500)
    await books.refund("gone", "succeeded", 1500, txn="txn_1")
    await books.refund("failed", "failed", 1000, txn="txn_2", back="txn_3")
    await books.refund("canceled", "canceled", 700)
    await books.refund("refused", "failed", 900, re=None)
    await books.owe(1700)
    assert await books.faults() == []
    await books.refund("draws", "pending", 1800, drawn=1700, re=None)
    await books.owe(0)
    assert await books.faults() == []


async def test_money_that_is_on_its_way_back_agrees_with_the_books(books: Books) -> None:
    await books.refund("failed", "failed", txn="txn_1")
    await books.owe(4000)
    assert await books.faults() == []


async def test_a_draw_that_was_made_and_one_that_has_gone_agree_with_the_books(books: Books) -> None:
    await books.refund("failed", "failed", txn="txn_1", back="txn_2")
    await books.refund("draws", "processing", 3000, drawn=3000)
    await books.owe(1000)
    assert await books.faults() == []
    await books.refund("rest", "succeeded", 1500, drawn=1000, txn="txn_3")
    await books.owe(0)
    assert await books.faults() == []


async def test_more_given_back_than_was_taken_is_found(books: Books) -> None:
    await books.refund("a", "succeeded", 6000, txn="txn_1")
    await books.refund("b", "succeeded", 4000, txn="txn_2")
    assert await books.faults() == []
    await books.refund("c", "succeeded", 1, txn="txn_3")
    assert await books.faults() == ["refunded_too_much"]


async def test_a_refund_of_a_part_that_was_captured_counts_that_part(books: Books) -> None:
    """Another payment of the same order does not make up for it."""
    await book(books.engine, charged("b", 300, order_id=ORDER))
    await books.refund("a", "succeeded", 10_001, txn="txn_1")
    assert await books.faults() == ["refunded_too_much"]


@pytest.mark.parametrize(
    "fault",
    [
        "UPDATE orders SET amount_owed_minor = 3999",
        "UPDATE refunds SET balance_transaction_id = 'txn_9' WHERE stripe_refund_id = 're_waits'",
        "UPDATE refunds SET stripe_refund_id = NULL WHERE stripe_refund_id = 're_waits'",
        "DELETE FROM refunds WHERE stripe_refund_id = 're_waits'",
        "UPDATE refunds SET failure_transaction_id = NULL WHERE stripe_refund_id = 're_failed'",
    ],
)
async def test_what_is_owed_and_not_booked_so_is_found(books: Books, database: str, fault: str) -> None:
    await books.refund("failed", "failed", txn="txn_1", back="txn_2")
    await books.refund("waits", "processing", 500)
    await books.owe(4000)
    assert await books.faults() == []
    await damage(database, fault)
    assert await books.faults() == ["payable_differs"]


@pytest.fixture
async def settled(engine: AsyncEngine) -> Books:
    """The same order, whose 100.00 USD were settled as 90.01 EUR; a third of it failed, and another is under way."""
    books, worth = Books(engine), ledger.Worth("eur", 3000, 0)
    await books.run(_ORDER, order=ORDER, account=ALICE)
    await books.run(_CHARGE, order=ORDER, account=ALICE, charge=CHARGE)
    await books.run(
        "UPDATE charges SET settlement_currency = 'eur', settled_minor = 9001, balance_transaction_id = 'txn_0'"
    )
    await book(engine, charged("a", 9001, "eur", order_id=ORDER, customer=ledger.Money(10_000, "usd")))
    for name, status, ids in (("failed", "failed", {"txn": "txn_1", "back": "txn_2"}), ("waits", "processing", {})):
        row = {"re": f"re_{name}", "txn": None, "back": None} | ids
        await books.run(
            _REFUND, id=uuid4(), account=ALICE, order=ORDER, charge=CHARGE, status=status, amount=3333, drawn=0, **row
        )
        of: dict[str, Any] = {
            "account_id": ALICE, "order_id": ORDER, "payment_intent_id": "pi_a", "stripe_refund_id": f"re_{name}",
            "amount_minor": 3333, "currency": "usd", "occurred_at": NOON,
        }  # fmt: skip
        promise = ledger.refund_pending_entry(drawn_minor=0, worth=worth, **of)
        assert promise is not None
        await book(engine, promise)
    await books.run("UPDATE refunds SET promised_settled_minor = 3000, drawn_settled_minor = 0")
    await books.owe(3333)
    return books


@pytest.mark.parametrize(
    "fault",
    [
        "UPDATE orders SET amount_owed_minor = 3332",
        "UPDATE refunds SET promised_settled_minor = 3001 WHERE stripe_refund_id = 're_waits'",
        "UPDATE refunds SET balance_transaction_id = 'txn_9' WHERE stripe_refund_id = 're_waits'",
        "UPDATE refunds SET failure_transaction_id = NULL WHERE stripe_refund_id = 're_failed'",
        "UPDATE charges SET settlement_currency = NULL, settled_minor = NULL",
        "DELETE FROM refunds WHERE stripe_refund_id = 're_waits'",
    ],
)
async def test_what_is_owed_in_another_currency_and_not_booked_so_is_found(
    settled: Books, database: str, fault: str
) -> None:
    assert await settled.faults() == []
    await damage(database, fault)
    assert set(await settled.faults()) == {"payable_differs"}, "of each currency that differs"


async def test_more_given_back_than_another_currency_was_worth_is_found(settled: Books) -> None:
    worth = ledger.Worth("eur", 3002, 0)
    entry = ledger.refund_pending_entry(
        drawn_minor=0, worth=worth, account_id=ALICE, order_id=ORDER, payment_intent_id="pi_a",
        stripe_refund_id="re_more", amount_minor=3334, currency="usd", occurred_at=NOON,
    )  # fmt: skip
    assert entry is not None
    await book(settled.engine, entry)
    assert "refunded_too_much" in await settled.faults()


_ORDER = """
INSERT INTO orders (id, account_id, idempotency_key, fingerprint, amount_minor, currency, payment_method, status)
VALUES (:order, :account, 'k', '', 10000, 'usd', 'pm_card_visa', 'paid')
"""

_CHARGE = """
INSERT INTO charges (id, account_id, order_id, attempt, idempotency_key, amount_minor, currency, status, request,
                     stripe_version, maybe_executed, payment_intent_id, stripe_charge_id, life)
VALUES (:charge, :account, :order, 1, 'k', 10000, 'usd', 'succeeded', '{}', '', true, 'pi_a', 'ch_a', 1)
"""

_REFUND = """
INSERT INTO refunds (id, account_id, order_id, charge_id, amount_minor, currency, status, drawn_minor,
                     stripe_refund_id, balance_transaction_id, failure_transaction_id, request, stripe_version)
VALUES (:id, :account, :order, :charge, :amount, 'usd', :status, :drawn, :re, :txn, :back, '{}', '')
"""
