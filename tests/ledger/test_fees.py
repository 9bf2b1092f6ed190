"""R24: a late fee is never forgotten, booked once, and cheap to look for."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service import fees, ledger
from service.fees import sweep_once
from service.stripe_objects import BalanceTransaction, IncompleteListing
from tests.ledger.support import ALICE, balance_of, book, count

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROCESSING = "expenses:stripe:processing"


class Stripe:
    """A list of balance transactions, newest first, and a note of each listing asked for."""

    def __init__(self, transactions: Iterable[BalanceTransaction] = (), *, breaks_after: int | None = None) -> None:
        self.transactions = list(transactions)
        self.breaks_after = breaks_after
        self.asked: list[tuple[int, int | None, str | None]] = []
        self.shown = 0

    async def list_balance_transactions(
        self, created_gte: int, created_lt: int | None = None, source: str | None = None
    ) -> AsyncIterator[BalanceTransaction]:
        self.asked.append((created_gte, created_lt, source))
        for n, item in enumerate(sorted(self.transactions, key=lambda t: -t.created)):
            if n == self.breaks_after:
                raise IncompleteListing("page 2 could not be read")
            if item.created >= created_gte and item.created < (created_lt or 1 << 40) and source in (None, item.source):
                self.shown += 1
                yield item
            await asyncio.sleep(0)


class Never(random.Random):
    """Draws no stragglers one by one."""

    def randrange(self, *_: Any) -> int:
        return 1


class Always(random.Random):
    """Draws stragglers one by one in every sweep."""

    def randrange(self, *_: Any) -> int:
        return 0


def transaction(n: int | str, *, fee: int = 88, currency: str = "usd", at: datetime = NOW) -> BalanceTransaction:
    return BalanceTransaction(
        id=f"txn_{n}", amount=1999, fee=fee, net=1999 - fee, currency=currency,
        created=int(at.timestamp()), type="charge", source=f"ch_{n}",
    )  # fmt: skip


async def paid(engine: AsyncEngine, *names: int | str, at: datetime = NOW, status: str = "succeeded") -> None:
    """Charges that succeeded at Stripe and whose fee is due."""
    async with engine.begin() as connection:
        for name in names:
            order = {"order_id": uuid4(), "account_id": ALICE, "key": f"{name}", "name": f"{name}"}
            await connection.execute(_ORDER, {k: v for k, v in order.items() if k != "name"})
            charge = {**order, "id": uuid4(), "at": at, "status": status}
            await connection.execute(_CHARGE, charge)


async def due(engine: AsyncEngine) -> set[str]:
    statement = text("SELECT stripe_charge_id FROM charges WHERE balance_transaction_id IS NULL")
    async with engine.connect() as connection:
        return set((await connection.scalars(statement)).all())


async def test_a_fee_is_booked_when_stripe_knows_it(engine: AsyncEngine) -> None:
    await paid(engine, 1, 2)
    result = await sweep_once(engine, Stripe([transaction(1, at=NOW + timedelta(seconds=3))]), now=NOW)
    assert (result.due, result.booked, result.complete) == (2, 1, True)
    assert await due(engine) == {"ch_2"}
    assert await balance_of(engine, PROCESSING) == 88
    assert await balance_of(engine, PROCESSING, as_of=NOW + timedelta(seconds=3)) == 0


async def test_a_fee_entry_names_its_order_and_payment_intent(engine: AsyncEngine) -> None:
    await paid(engine, 1)
    await sweep_once(engine, Stripe([transaction(1)]), now=NOW)
    async with engine.connect() as connection:
        order_id: UUID = (await connection.execute(text("SELECT order_id FROM charges"))).scalar_one()
    (entry,) = await ledger.entries(engine, ALICE, order_id)
    assert (entry["reference"], entry["payment_intent"]) == ("fee:txn_1", "pi_1")


async def test_a_fee_of_zero_is_done_without_an_entry(engine: AsyncEngine) -> None:
    await paid(engine, 1)
    result = await sweep_once(engine, Stripe([transaction(1, fee=0)]), now=NOW)
    assert (result.booked, await due(engine), await count(engine, "journal_entries")) == (1, set(), 0)


async def test_the_fee_of_a_duplicate_is_booked_too(engine: AsyncEngine) -> None:
    await paid(engine, 1, status="duplicate")
    assert (await sweep_once(engine, Stripe([transaction(1)]), now=NOW)).booked == 1


async def test_nothing_due_asks_stripe_nothing(engine: AsyncEngine) -> None:
    await paid(engine, 1, status="declined")
    stripe = Stripe([transaction(1)])
    assert (await sweep_once(engine, stripe, now=NOW)).due == 0
    assert stripe.asked == []


async def test_recent_charges_cost_one_listing_that_ends_when_all_are_found(engine: AsyncEngine) -> None:
    others = [transaction(f"other{n}", at=NOW + timedelta(seconds=n - 400)) for n in range(400)]
    await paid(engine, *range(30), at=NOW - timedelta(seconds=100))
    stripe = Stripe([*others, *(transaction(n, at=NOW - timedelta(seconds=10)) for n in range(30))])
    assert (await sweep_once(engine, stripe, now=NOW)).booked == 30
    assert stripe.asked == [(int(NOW.timestamp()) - 100, None, None)]
    assert stripe.shown <= 30 + 11  # newest first, and none of the 90 s before the last one found


async def test_a_listing_that_breaks_off_books_what_it_showed_and_says_so(engine: AsyncEngine) -> None:
    await paid(engine, *range(5))
    stripe = Stripe([transaction(n, at=NOW + timedelta(seconds=n)) for n in range(5)], breaks_after=2)
    result = await sweep_once(engine, stripe, now=NOW)
    assert (result.booked, result.complete) == (2, False)
    assert await due(engine) == {"ch_0", "ch_1", "ch_2"}


async def test_a_fee_in_another_currency_is_left_due_and_named(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    await paid(engine, 1, 2)
    result = await sweep_once(engine, Stripe([transaction(1, currency="eur"), transaction(2)]), now=NOW)
    assert (result.booked, result.mismatched, await due(engine)) == (1, 1, {"ch_1"})
    assert "ch_1" in caplog.text


async def test_a_fee_that_contradicts_the_books_is_left_due_and_named(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    entry = ledger.fee_entry(
        account_id=ALICE, order_id=None, payment_intent_id=None, balance_transaction_id="txn_1",
        fee_minor=5, currency="usd", occurred_at=NOW,
    )  # fmt: skip
    assert entry is not None
    await book(engine, entry)
    await paid(engine, 1, 2)
    result = await sweep_once(engine, Stripe([transaction(1), transaction(2)]), now=NOW)
    assert (result.booked, result.conflicting, await due(engine)) == (1, 1, {"ch_1"})
    assert "fee:txn_1" in caplog.text


async def test_many_sweeps_at_once_book_every_fee_once(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fees, "PAGE", 7)
    await paid(engine, *range(40))
    transactions = [transaction(n, at=NOW + timedelta(seconds=n % 5)) for n in range(40)]
    results = await asyncio.gather(*(sweep_once(engine, Stripe(transactions), now=NOW) for _ in range(4)))
    assert sum(r.booked for r in results) == 40
    assert (await due(engine), await balance_of(engine, PROCESSING)) == (set(), 40 * 88)


async def test_a_few_stragglers_are_asked_for_by_charge_and_not_in_every_sweep(engine: AsyncEngine) -> None:
    old = NOW - timedelta(days=2)
    await paid(engine, 1, 2, at=old)
    quiet = Stripe()
    await sweep_once(engine, quiet, now=NOW, rng=Never())
    assert quiet.asked == []
    stripe = Stripe([transaction(n, at=NOW - timedelta(days=1)) for n in (1, 2)])
    assert (await sweep_once(engine, stripe, now=NOW, rng=Always())).booked == 2
    assert sorted(stripe.asked, key=str) == [(int(old.timestamp()), None, f"ch_{n}") for n in (1, 2)]


async def test_stragglers_are_bounded_and_all_get_their_turn(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fees, "STRAGGLERS_MAX", 3)
    for n in range(9):  # an hour apart, the first three without a balance transaction for ever
        await paid(engine, n, at=NOW - timedelta(hours=10 - n))
    stripe = Stripe([transaction(n, at=NOW - timedelta(minutes=30)) for n in range(3, 9)])
    rng = Always(1)
    for _ in range(30):
        before = len(stripe.asked)
        await sweep_once(engine, stripe, now=NOW, rng=rng)
        assert len(stripe.asked) - before <= 3
    assert await due(engine) == {"ch_0", "ch_1", "ch_2"}


async def test_after_an_outage_old_charges_are_listed_together(engine: AsyncEngine) -> None:
    old = NOW - timedelta(hours=1)
    await paid(engine, *range(50), at=old)
    stripe = Stripe([transaction(n, at=old) for n in range(50)])
    assert (await sweep_once(engine, stripe, now=NOW, rng=Never())).booked == 50
    assert stripe.asked == [(int(old.timestamp()), int(old.timestamp()) + 1, None)]


async def test_more_due_than_one_sweep_reads_are_booked_by_the_next(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fees, "DUE_MAX", 10)
    for n in range(25):
        await paid(engine, n, at=NOW - timedelta(seconds=100 - n))
    stripe = Stripe([transaction(n, at=NOW - timedelta(seconds=99 - n)) for n in range(25)])
    for _ in range(5):
        await sweep_once(engine, stripe, now=NOW)
    assert await due(engine) == set()
    assert stripe.asked[0] == (int(NOW.timestamp()) - 100, int(NOW.timestamp()) - 90, None)


_ORDER = text("""
INSERT INTO orders (id, account_id, idempotency_key, fingerprint, amount_minor, currency, payment_method, status)
VALUES (:order_id, :account_id, :key, '', 1999, 'usd', 'pm_card_visa', 'paid')
""")

_CHARGE = text("""
INSERT INTO charges (id, account_id, order_id, attempt, idempotency_key, amount_minor, currency, status, request,
                     stripe_version, maybe_executed, payment_intent_id, stripe_charge_id, stripe_created,
                     life)
VALUES (:id, :account_id, :order_id, 1, :key, 1999, 'usd', :status, '{}', '', true,
        'pi_' || CAST(:name AS text), 'ch_' || CAST(:name AS text), :at, 1)
""")
