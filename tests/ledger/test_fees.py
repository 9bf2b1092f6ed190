"""R24: a late fee is never forgotten, booked once, and cheap to look for."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger
from service.charges import book_moved
from service.foundation.postgres import duties
from service.ledger import fees
from service.ledger.fees import FeeSweep, SweepResult
from service.stripe_gateway.objects import TOOK_MONEY, BalanceTransaction, IncompleteListing
from tests.ledger.support import ALICE, balance_of, book, count
from tests.meta.stripe_names import fields

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROCESSING = "expenses:stripe:processing"


class Stripe:
    """A list of balance transactions, newest first, and a note of each listing asked for."""

    def __init__(self, transactions: Iterable[BalanceTransaction] = (), *, breaks_after: int | None = None) -> None:
        self.transactions = list(transactions)
        self.breaks_after = breaks_after
        self.asked: list[tuple[int, str | None]] = []
        self.shown = 0

    async def list_balance_transactions(
        self, created_gte: int, source: str | None = None
    ) -> AsyncIterator[BalanceTransaction]:
        self.asked.append((created_gte, source))
        for n, item in enumerate(sorted(self.transactions, key=lambda t: -t.created)):
            if n == self.breaks_after:
                raise IncompleteListing("page 2 could not be read")
            if item.created >= created_gte and source in (None, item.source):
                self.shown += 1
                yield item
            if n % fees.PAGE == 0:  # one request a page: in between, others run
                await asyncio.sleep(0)


async def sweep(engine: AsyncEngine, stripe: Stripe, now: datetime = NOW) -> SweepResult:
    return await FeeSweep(engine, stripe, book_moved).once(now=now)


def transaction(
    n: int | str, *, amount: int = 1999, fee: int = 88, currency: str = "usd", at: datetime = NOW
) -> BalanceTransaction:
    return BalanceTransaction(
        id=f"txn_{n}",
        amount=amount,
        fee=fee,
        net=amount - fee,
        currency=currency,
        created=int(at.timestamp()),
        type="charge",
        source=f"ch_{n}",
    )


async def paid(
    engine: AsyncEngine,
    *names: int | str,
    at: datetime = NOW,
    status: str = "succeeded",
    captured: int | None = None,
) -> None:
    """Charges that succeeded at Stripe and whose fee is due; `captured`: where less than all of it was taken."""
    async with engine.begin() as connection:
        for name in names:
            order = {"order_id": uuid4(), "account_id": ALICE, "key": f"{name}", "name": f"{name}"}
            await connection.execute(_ORDER, {k: v for k, v in order.items() if k != "name"})
            charge = {**order, "id": uuid4(), "at": at, "status": status, "captured": captured}
            await connection.execute(_CHARGE, charge)


async def due(engine: AsyncEngine) -> set[str]:
    statement = text("SELECT stripe_charge_id FROM charges WHERE balance_transaction_id IS NULL")
    async with engine.connect() as connection:
        return set((await connection.scalars(statement)).all())


async def test_a_fee_is_booked_when_stripe_knows_it(engine: AsyncEngine) -> None:
    await paid(engine, 1, 2)
    result = await sweep(engine, Stripe([transaction(1, at=NOW + timedelta(seconds=3))]))
    assert (result.due, result.booked, result.complete) == (2, 1, True)
    assert await due(engine) == {"ch_2"}
    assert await balance_of(engine, PROCESSING) == 88
    assert await balance_of(engine, PROCESSING, as_of=NOW + timedelta(seconds=3)) == 0


async def test_a_fee_entry_names_its_order_and_payment_intent(engine: AsyncEngine) -> None:
    await paid(engine, 1)
    await sweep(engine, Stripe([transaction(1)]))
    async with engine.connect() as connection:
        order_id: UUID = (await connection.execute(text("SELECT order_id FROM charges"))).scalar_one()
    (entry,) = await ledger.entries(engine, ALICE, order_id)
    assert (entry["reference"], entry["payment_intent"]) == ("fee:txn_1", "pi_1")


async def test_a_fee_of_zero_is_done_without_an_entry(engine: AsyncEngine) -> None:
    await paid(engine, 1)
    result = await sweep(engine, Stripe([transaction(1, fee=0)]))
    assert (result.booked, await due(engine), await count(engine, "journal_entries")) == (1, set(), 0)


async def test_the_fee_of_a_duplicate_is_booked_too(engine: AsyncEngine) -> None:
    await paid(engine, 1, status="duplicate")
    assert (await sweep(engine, Stripe([transaction(1)]))).booked == 1


@pytest.mark.parametrize("many", [0, fees.FEW], ids=["one by one", "listed"])
async def test_the_fee_of_a_payment_without_a_card_is_booked(engine: AsyncEngine, many: int) -> None:
    """Stripe gives its balance transaction a type of its own, and filters by one type."""
    await paid(engine, "bank", *range(many))
    stripe = Stripe([replace(transaction("bank"), type="payment"), *(transaction(n) for n in range(many))])
    assert ((await sweep(engine, stripe)).booked, await due(engine)) == (1 + many, set())


async def test_what_a_bank_takes_back_is_no_fee_of_the_charge(engine: AsyncEngine) -> None:
    await paid(engine, "bank")
    back = replace(
        transaction("bank", amount=-1999, at=NOW + timedelta(days=3)), id="txn_x", type="payment_failure_refund"
    )
    await sweep(engine, Stripe([back, replace(transaction("bank"), type="payment")]))
    async with engine.connect() as connection:
        references = (await connection.scalars(text("SELECT reference FROM journal_entries"))).all()
    assert references == ["fee:txn_bank"]


def test_stripe_has_the_types_that_take_money() -> None:
    known = fields("BalanceTransaction")["type"]
    assert all(f"'{kind}'" in known for kind in TOOK_MONEY)


async def test_the_fee_of_a_capture_is_that_of_what_was_taken(engine: AsyncEngine) -> None:
    await paid(engine, 1, captured=700)
    assert (await sweep(engine, Stripe([transaction(1, amount=700, fee=50)]))).booked == 1
    assert await balance_of(engine, PROCESSING) == 50


@pytest.mark.parametrize("many", [0, fees.FEW], ids=["one by one", "listed"])
async def test_a_balance_transaction_from_just_before_stripes_answer_is_found(engine: AsyncEngine, many: int) -> None:
    """A capture whose answer did not show it is booked under the answer's own moment."""
    await paid(engine, "late", *range(many))
    stripe = Stripe([transaction("late", at=NOW - timedelta(seconds=1)), *(transaction(n) for n in range(many))])
    assert ((await sweep(engine, stripe)).booked, await due(engine)) == (1 + many, set())


@pytest.mark.parametrize("captured", [None, 700])
async def test_where_stripe_took_another_sum_than_is_booked_it_is_left_due_and_named(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture, captured: int | None
) -> None:
    await paid(engine, 1, captured=captured)
    await paid(engine, 2)
    result = await sweep(engine, Stripe([transaction(1, amount=1200), transaction(2)]))
    assert (result.booked, result.conflicting, await due(engine)) == (1, 1, {"ch_1"})
    assert "fees.contradicted" in caplog.text


async def test_nothing_due_asks_stripe_nothing(engine: AsyncEngine) -> None:
    await paid(engine, 1, status="declined")
    stripe = Stripe([transaction(1)])
    assert (await sweep(engine, stripe)).due == 0
    assert stripe.asked == []


async def test_young_charges_cost_one_listing_that_ends_when_all_are_found(engine: AsyncEngine) -> None:
    others = [transaction(f"other{n}", at=NOW + timedelta(seconds=n - 400)) for n in range(400)]
    await paid(engine, *range(30), at=NOW - timedelta(seconds=100))
    stripe = Stripe([*others, *(transaction(n, at=NOW - timedelta(seconds=10)) for n in range(30))])
    assert (await sweep(engine, stripe)).booked == 30
    assert stripe.asked == [(int(NOW.timestamp()) - 102, None)]
    assert stripe.shown <= 30 + 11  # newest first, and none of the 90 s before the last one found


async def test_a_listing_that_breaks_off_books_what_it_showed_and_says_so(engine: AsyncEngine) -> None:
    await paid(engine, *range(5))
    stripe = Stripe([transaction(n, at=NOW + timedelta(seconds=n)) for n in range(5)], breaks_after=2)
    result = await sweep(engine, stripe)
    assert (result.booked, result.complete) == (2, False)
    assert await due(engine) == {"ch_0", "ch_1", "ch_2"}


async def test_a_charge_settled_in_another_currency_is_booked_by_its_movement_with_its_fee(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    await paid(engine, 1, 2)
    stripe = Stripe([transaction(1, currency="eur"), transaction(2)])
    result = await sweep(engine, stripe)
    assert (result.booked, result.other_currency, await due(engine)) == (1, 1, set())
    async with engine.connect() as connection:
        known = text("SELECT stripe_charge_id, settlement_currency, balance_transaction_id FROM charges ORDER BY 1")
        rows = [tuple(row) for row in await connection.execute(known)]
    assert rows == [("ch_1", "eur", "txn_1"), ("ch_2", None, "txn_2")]
    asked = len(stripe.asked)
    await sweep(engine, stripe, NOW + timedelta(hours=1))
    assert len(stripe.asked) == asked, "it is asked for once"
    assert [r.message for r in caplog.records if r.levelno >= logging.WARNING] == []
    booked = await ledger.balances(engine, ALICE)
    held = {(row["account"], row["currency"]): row["balance"] for row in booked}
    assert held == {
        ("assets:stripe:balance", "eur"): 1999 - 88,
        ("revenue:orders", "eur"): 1999,
        (PROCESSING, "eur"): 88,
        ("assets:stripe:balance", "usd"): -88,
        (PROCESSING, "usd"): 88,
    }, "the charges of this test have no entry of their own before"


async def test_a_fee_that_contradicts_the_books_is_left_due_and_named(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    entry = ledger.fee_entry(
        account_id=ALICE,
        order_id=None,
        payment_intent_id=None,
        balance_transaction_id="txn_1",
        fee_minor=5,
        currency="usd",
        occurred_at=NOW,
    )
    assert entry is not None
    await book(engine, entry)
    await paid(engine, 1, 2)
    result = await sweep(engine, Stripe([transaction(1), transaction(2)]))
    assert (result.booked, result.conflicting, await due(engine)) == (1, 1, {"ch_1"})
    assert "fees.contradicted" in caplog.text


BEYOND = 1 << 63
UNREADABLE: list[dict[str, Any]] = [
    {"fee": BEYOND},
    {"fee": -BEYOND},
    {"amount": 10**30},
    {"created": 10**17},
    {"created": -1},
    {"currency": "u\0d"},
    {"id": "txn \0"},
]


@pytest.mark.parametrize("how", UNREADABLE, ids=ascii)
async def test_a_fee_that_no_books_can_hold_is_left_due_alone_and_named(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture, how: dict[str, Any]
) -> None:
    await paid(engine, *range(5))
    foreign, odd, *good = [replace(transaction(n), **how) for n in ("foreign", 0)] + [
        transaction(n) for n in range(1, 5)
    ]
    result = await sweep(engine, Stripe([foreign, odd, *good]))
    assert (result.booked, await due(engine)) == (4, {"ch_0"})
    assert caplog.text.count("fees.unreadable") <= 1, "a stranger's is nobody's affair"


async def test_many_sweeps_at_once_book_every_fee_once(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fees, "PAGE", 7)
    await paid(engine, *range(40))
    transactions = [transaction(n, at=NOW + timedelta(seconds=n % 5)) for n in range(40)]
    results = await asyncio.gather(*(sweep(engine, Stripe(transactions)) for _ in range(4)))
    assert sum(r.booked for r in results) == 40
    assert (await due(engine), await balance_of(engine, PROCESSING)) == (set(), 40 * 88)


async def test_a_few_late_fees_are_asked_for_by_charge_and_ever_more_rarely(engine: AsyncEngine) -> None:
    old = NOW - timedelta(days=2)
    await paid(engine, 1, 2, at=old)
    stripe = Stripe()
    sweeper = FeeSweep(engine, stripe, book_moved)
    await sweeper.once(now=NOW)
    assert sorted(stripe.asked, key=str) == [(0, f"ch_{n}") for n in (1, 2)]
    for minutes in range(1, 350, 5):
        await sweeper.once(now=NOW + timedelta(minutes=minutes))
    assert len(stripe.asked) == 2, "six hours are the longest pause, and the right one after two days"
    stripe.transactions = [transaction(n, at=NOW) for n in (1, 2)]
    assert (await sweeper.once(now=NOW + timedelta(hours=6))).booked == 2


async def test_a_fee_is_found_that_is_older_than_the_moment_of_its_charge(engine: AsyncEngine) -> None:
    """A capture whose reply was lost is booked under the moment of a later answer, while its fee was made before."""
    await paid(engine, 1, at=NOW)
    result = await sweep(engine, Stripe([transaction(1, at=NOW - timedelta(hours=1))]))
    assert (result.booked, await due(engine)) == (1, set())


async def test_one_late_fee_among_thousands_of_younger_charges_costs_a_call_now_and_then(engine: AsyncEngine) -> None:
    """It had every second's sweep list all that came after it: 27 calls a second."""
    await paid(engine, "late", at=NOW)
    booked = [transaction(f"other{n}", at=NOW + timedelta(seconds=1 + n // 10)) for n in range(3_000)]
    stripe = Stripe(booked)
    sweeper = FeeSweep(engine, stripe, book_moved)
    for second in range(1, 300):
        await sweeper.once(now=NOW + timedelta(seconds=second))
    assert len(stripe.asked) < 30
    assert {source for _, source in stripe.asked} == {"ch_late"}
    assert stripe.shown == 0


async def test_some_late_fees_do_not_have_all_that_came_later_listed(engine: AsyncEngine) -> None:
    await paid(engine, *range(10), at=NOW)
    stripe = Stripe([transaction(f"other{n}", at=NOW + timedelta(seconds=1 + n // 10)) for n in range(3_000)])
    await sweep(engine, stripe, NOW + timedelta(seconds=310))
    assert stripe.shown <= fees.HITLESS_MAX * fees.PAGE


async def test_young_fees_behind_others_that_are_booked_do_not_wait_until_they_are_old(engine: AsyncEngine) -> None:
    """A worker that settled late, in a busy minute: they were asked for three a second."""
    await paid(engine, *range(60), at=NOW)
    stripe = Stripe([transaction(n, at=NOW) for n in range(60)])
    stripe.transactions += [transaction(f"other{n}", at=NOW + timedelta(seconds=1 + n // 100)) for n in range(3_000)]
    sweeper = FeeSweep(engine, stripe, book_moved)
    for second in range(3):
        await sweeper.once(now=NOW + timedelta(seconds=40 + second))
    assert await due(engine) == set()


async def test_fees_that_never_come_hide_no_others(engine: AsyncEngine) -> None:
    """Old and young ones beside thousands that Stripe will never show: all are booked after a few sweeps."""
    async with engine.begin() as connection:
        await connection.execute(_MANY_THAT_NEVER_COME, {"account_id": ALICE, "at": NOW - timedelta(days=3)})
    await paid(engine, "oldest", at=NOW - timedelta(days=4))
    await paid(engine, "between", at=NOW - timedelta(days=3) + timedelta(seconds=600))
    await paid(engine, "younger", at=NOW - timedelta(hours=1))
    await paid(engine, "young", at=NOW)
    names = ("oldest", "between", "younger", "young")
    stripe = Stripe([transaction(name, at=NOW) for name in names])
    sweeper = FeeSweep(engine, stripe, book_moved)
    calls = []
    for second in range(30):
        before = len(stripe.asked)
        await sweeper.once(now=NOW + timedelta(seconds=second))
        calls.append(len(stripe.asked) - before)
    assert await due(engine) & {f"ch_{name}" for name in names} == set()
    assert max(calls) <= 1 + fees.ONE_BY_ONE_MAX + fees.FEW


async def test_the_oldest_and_the_youngest_late_fee_wait_behind_no_others(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fees, "DUE_MAX", 4)
    await paid(engine, "oldest", at=NOW - timedelta(days=4))
    await paid(engine, *range(20), at=NOW - timedelta(days=3))
    await paid(engine, "youngest", at=NOW - timedelta(hours=1))
    stripe = Stripe([transaction(name, at=NOW - timedelta(minutes=1)) for name in ("oldest", "youngest")])
    assert (await sweep(engine, stripe)).booked == 2


async def test_late_fees_each_get_their_turn(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of them can be listed: Stripe shows others between, page after page."""
    monkeypatch.setattr(fees, "ONE_BY_ONE_MAX", 3)
    monkeypatch.setattr(fees, "PAGE", 1)
    await paid(engine, *range(20), at=NOW - timedelta(hours=10))
    stripe = Stripe([transaction(n, at=NOW - timedelta(hours=9)) for n in range(10, 20)])
    stripe.transactions += [transaction(f"other{n}", at=NOW) for n in range(10)]
    sweeper = FeeSweep(engine, stripe, book_moved)
    for second in range(7):
        await sweeper.once(now=NOW + timedelta(seconds=second))
    assert await due(engine) == {f"ch_{n}" for n in range(10)}


async def test_after_an_outage_old_charges_are_listed_together(engine: AsyncEngine) -> None:
    old = NOW - timedelta(hours=1)
    await paid(engine, *range(50), at=old)
    stripe = Stripe([transaction(n, at=old) for n in range(50)])
    assert (await sweep(engine, stripe)).booked == 50
    assert stripe.asked == [(int(old.timestamp()) - 2, None)]


async def test_more_due_than_one_sweep_reads_are_booked_by_the_next(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fees, "DUE_MAX", 10)
    for n in range(25):
        await paid(engine, n, at=NOW - timedelta(seconds=100 - n))
    stripe = Stripe([transaction(n, at=NOW - timedelta(seconds=99 - n)) for n in range(25)])
    for _ in range(5):
        await sweep(engine, stripe)
    assert await due(engine) == set()


async def test_fees_are_looked_for_by_the_charges_moment_and_not_the_payments(engine: AsyncEngine) -> None:
    """3-D Secure finished a day after the PaymentIntent was made (`paid` makes all of them so)."""
    await paid(engine, *range(300), at=NOW - timedelta(seconds=5))
    stripe = Stripe([transaction(n, at=NOW - timedelta(seconds=5)) for n in range(300)])
    assert (await sweep(engine, stripe)).booked == 300
    assert stripe.asked[0][0] == int(NOW.timestamp()) - 7


async def test_one_relay_at_a_time_has_the_duty_and_another_takes_it_over(engine: AsyncEngine) -> None:
    one, two = uuid4(), uuid4()
    assert await duties.hold(engine, "fees", one)
    assert not await duties.hold(engine, "fees", two)
    assert await duties.hold(engine, "fees", one), "whoever has it keeps it"
    assert await duties.hold(engine, "redating", two), "each duty by itself"
    await duties.give_up(engine, one)
    assert await duties.hold(engine, "fees", two)


_MANY_THAT_NEVER_COME = text("""
WITH new AS (SELECT n, gen_random_uuid() AS order_id FROM generate_series(1, 1500) AS n), placed AS (
  INSERT INTO orders (id, account_id, idempotency_key, fingerprint, amount_minor, currency, payment_method, status)
  SELECT order_id, :account_id, 'never' || n, '', 1999, 'usd', 'pm_card_visa', 'paid' FROM new
)
INSERT INTO charges (id, account_id, order_id, attempt, idempotency_key, amount_minor, currency, status, request,
                     stripe_version, maybe_executed, payment_intent_id, stripe_charge_id, stripe_created, charged_at,
                     life)
SELECT gen_random_uuid(), :account_id, order_id, 1, 'never' || n, 1999, 'usd', 'succeeded', '{}', '', true,
       'pi_never' || n, 'ch_never' || n, :at, CAST(:at AS timestamptz) + make_interval(secs => n), 1
  FROM new
""")

_ORDER = text("""
INSERT INTO orders (id, account_id, idempotency_key, fingerprint, amount_minor, currency, payment_method, status)
VALUES (:order_id, :account_id, :key, '', 1999, 'usd', 'pm_card_visa', 'paid')
""")

_CHARGE = text("""
INSERT INTO charges (id, account_id, order_id, attempt, idempotency_key, amount_minor, currency, status, request,
                     stripe_version, maybe_executed, payment_intent_id, stripe_charge_id, stripe_created,
                     charged_at, captured_minor, life)
VALUES (:id, :account_id, :order_id, 1, :key, 1999, 'usd', :status, '{}', '', true,
        'pi_' || CAST(:name AS text), 'ch_' || CAST(:name AS text), CAST(:at AS timestamptz) - interval '1 day', :at,
        :captured, 1)
""")
