"""R24: a late fee is never forgotten, and booked once, whichever way its movement is found."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger
from service.balance import looking
from service.foundation.postgres import duties
from service.foundation.settings import Settings
from tests.balance.support import Stripe, due, look, now, paid, references, run, standing, sweep, transaction
from tests.ledger.support import ALICE, balance_of, book, count

PROCESSING = "expenses:stripe:processing"
Find = Callable[[AsyncEngine, Settings, Stripe], Awaitable[object]]
EITHER_WAY = pytest.mark.parametrize("find", [look, sweep])


@EITHER_WAY
async def test_a_fee_is_booked_when_stripe_knows_it(engine: AsyncEngine, settings: Settings, find: Find) -> None:
    await paid(engine, 1, 2)
    await find(engine, settings, Stripe([transaction(1, at=now() + timedelta(seconds=3))]))
    assert await due(engine) == {"ch_2"}
    assert await balance_of(engine, PROCESSING) == 88
    assert await balance_of(engine, PROCESSING, as_of=now() + timedelta(seconds=3)) == 0
    assert await standing(engine) == {"txn_1": "booked"}


async def test_a_fee_entry_names_its_order_and_payment_intent(engine: AsyncEngine, settings: Settings) -> None:
    await paid(engine, 1)
    await look(engine, settings, Stripe([transaction(1)]))
    async with engine.connect() as connection:
        order_id: UUID = (await connection.execute(text("SELECT order_id FROM charges"))).scalar_one()
    (entry,) = await ledger.entries(engine, ALICE, order_id)
    assert (entry["reference"], entry["payment_intent"]) == ("fee:txn_1", "pi_1")


async def test_a_fee_of_zero_is_done_without_an_entry(engine: AsyncEngine, settings: Settings) -> None:
    await paid(engine, 1)
    await look(engine, settings, Stripe([transaction(1, fee=0)]))
    assert (await due(engine), await count(engine, "journal_entries")) == (set(), 0)


async def test_the_fee_of_a_duplicate_is_booked_too(engine: AsyncEngine, settings: Settings) -> None:
    await paid(engine, 1, status="duplicate")
    await look(engine, settings, Stripe([transaction(1)]))
    assert await references(engine) == ["fee:txn_1"]


async def test_the_fee_of_a_payment_without_a_card_is_booked(engine: AsyncEngine, settings: Settings) -> None:
    """Stripe gives its balance transaction a type of its own."""
    await paid(engine, "bank")
    await look(engine, settings, Stripe([transaction("bank", type_="payment")]))
    assert (await due(engine), await references(engine)) == (set(), ["fee:txn_bank"])


async def test_what_a_bank_takes_back_is_no_fee_of_the_charge(engine: AsyncEngine, settings: Settings) -> None:
    await paid(engine, "bank")
    back = replace(
        transaction("bank", amount=-1999, fee=0, at=now() + timedelta(days=3)),
        id="txn_x",
        type="payment_failure_refund",
        reporting_category="charge_failure",
    )
    await sweep(engine, settings, Stripe([back, transaction("bank", type_="payment")]))
    assert "fee:txn_bank" in await references(engine)
    assert "fee:txn_x" not in await references(engine)


async def test_the_fee_of_a_capture_is_that_of_what_was_taken(engine: AsyncEngine, settings: Settings) -> None:
    await paid(engine, 1, captured=700)
    await look(engine, settings, Stripe([transaction(1, amount=700, fee=50)]))
    assert await balance_of(engine, PROCESSING) == 50


async def test_a_movement_from_just_before_stripes_answer_is_found(engine: AsyncEngine, settings: Settings) -> None:
    """A capture whose answer did not show it is booked under the answer's own moment."""
    await paid(engine, "late")
    await look(engine, settings, Stripe([transaction("late", at=now() - timedelta(seconds=1))]))
    assert await due(engine) == set()


@EITHER_WAY
@pytest.mark.parametrize("captured", [None, 700])
async def test_where_stripe_took_another_sum_than_is_booked_it_is_left_due_and_named(
    engine: AsyncEngine, settings: Settings, caplog: pytest.LogCaptureFixture, captured: int | None, find: Find
) -> None:
    await paid(engine, 1, captured=captured)
    await paid(engine, 2)
    await find(engine, settings, Stripe([transaction(1, amount=1200), transaction(2)]))
    assert await due(engine) == {"ch_1"}
    assert await references(engine) == ["fee:txn_2"]
    assert "balance.contradicted" in caplog.text


async def test_nothing_due_asks_stripe_nothing(engine: AsyncEngine, settings: Settings) -> None:
    await paid(engine, 1, status="declined")
    stripe = Stripe([transaction(1)])
    await look(engine, settings, stripe)
    assert stripe.asked == []


@EITHER_WAY
async def test_a_listing_that_breaks_off_books_what_it_showed_and_says_so(
    engine: AsyncEngine, settings: Settings, caplog: pytest.LogCaptureFixture, find: Find
) -> None:
    await paid(engine, *range(5))
    stripe = Stripe([transaction(n, at=now() + timedelta(seconds=n)) for n in range(5)], breaks_after=2)
    await find(engine, settings, stripe)
    assert await due(engine) == {"ch_0", "ch_1", "ch_2"}
    assert "sweep.incomplete" in caplog.text


async def test_a_charge_settled_in_another_currency_is_known_as_such_and_quiet(
    engine: AsyncEngine, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    await paid(engine, 1, 2)
    await sweep(engine, settings, Stripe([transaction(1, currency="eur"), transaction(2)]))
    assert await due(engine) == set()
    async with engine.connect() as connection:
        known = text("SELECT stripe_charge_id, settlement_currency, balance_transaction_id FROM charges ORDER BY 1")
        rows = [tuple(row) for row in await connection.execute(known)]
    assert rows == [("ch_1", "eur", "txn_1"), ("ch_2", None, "txn_2")]
    assert [r.message for r in caplog.records if r.levelno >= logging.WARNING] == []


async def test_a_fee_that_contradicts_the_books_is_left_due_and_named(
    engine: AsyncEngine, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    entry = ledger.fee_entry(
        account_id=ALICE,
        order_id=None,
        payment_intent_id=None,
        balance_transaction_id="txn_1",
        fee_minor=5,
        currency="usd",
        occurred_at=now(),
    )
    assert entry is not None
    await book(engine, entry)
    await paid(engine, 1, 2)
    await sweep(engine, settings, Stripe([transaction(1), transaction(2)]))
    assert await due(engine) == {"ch_1"}
    assert await standing(engine) == {"txn_1": "waiting", "txn_2": "booked"}
    assert "balance.contradicted" in caplog.text


BEYOND = 1 << 63
UNREADABLE: list[dict[str, Any]] = [
    {"fee": BEYOND},
    {"fee": -BEYOND},
    {"net": 1999},
    {"amount": 10**30},
    {"created": 10**17},
    {"created": -1},
    {"available_on": 10**17},
    {"currency": "u\0d"},
    {"id": "txn \0"},
    {"type": "\0"},
    {"reporting_category": "a b"},
    {"balance_type": ""},
]


@EITHER_WAY
@pytest.mark.parametrize("how", UNREADABLE, ids=ascii)
async def test_a_movement_that_no_books_can_hold_is_left_alone_and_named(
    engine: AsyncEngine, settings: Settings, caplog: pytest.LogCaptureFixture, how: dict[str, Any], find: Find
) -> None:
    await paid(engine, *range(5))
    adds_up = {"net": how.get("amount", 1999) - how.get("fee", 88)}
    odd, *good = [replace(transaction(0), **(adds_up | how)), *(transaction(n) for n in range(1, 5))]
    await find(engine, settings, Stripe([odd, *good]))
    assert await due(engine) == {"ch_0"}
    assert "balance.unreadable" in caplog.text


async def test_many_processes_at_once_book_every_fee_once(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "PAGE", 7)
    await paid(engine, *range(40))
    transactions = [transaction(n, at=now() + timedelta(seconds=n % 5)) for n in range(40)]
    finds: tuple[Find, ...] = (look, sweep, look, sweep)
    await asyncio.gather(*(find(engine, settings, Stripe(transactions)) for find in finds))
    assert (await due(engine), await balance_of(engine, PROCESSING)) == (set(), 40 * 88)
    assert set((await standing(engine)).values()) == {"booked"}


async def test_a_fee_is_found_that_is_older_than_the_moment_of_its_charge(
    engine: AsyncEngine, settings: Settings
) -> None:
    """A capture whose reply was lost is booked under the moment of a later answer, while its fee was made before."""
    await run(engine, "UPDATE instance SET created_at = now() - interval '2 hours'")
    stripe = Stripe([transaction(1, at=now() - timedelta(hours=1))])
    await sweep(engine, settings, stripe)
    assert await standing(engine) == {"txn_1": "waiting"}
    await paid(engine, 1, at=now())
    asked = len(stripe.asked)
    await run(engine, "UPDATE balance_transactions SET look_at = now()")
    await look(engine, settings, stripe)
    assert (await due(engine), len(stripe.asked)) == (set(), asked), "it is known already"


async def test_a_fee_that_stripe_makes_days_late_is_found(engine: AsyncEngine, settings: Settings) -> None:
    await run(engine, "UPDATE instance SET created_at = now() - interval '5 days'")
    await paid(engine, 1, at=now() - timedelta(days=3))
    await sweep(engine, settings, Stripe())
    await sweep(engine, settings, Stripe([transaction(1, at=now())]))
    assert await due(engine) == set()


async def test_after_an_outage_fees_of_all_charges_are_listed_together(engine: AsyncEngine, settings: Settings) -> None:
    await run(engine, "UPDATE instance SET created_at = now() - interval '5 days'")
    old = now() - timedelta(hours=30)
    await paid(engine, *range(50), at=old)
    stripe = Stripe([transaction(n, at=old) for n in range(50)])
    await sweep(engine, settings, stripe)
    assert await due(engine) == set()
    assert len(stripe.asked) < 25


async def test_fees_that_never_come_hide_no_others(engine: AsyncEngine, settings: Settings) -> None:
    """Old and young ones beside thousands that Stripe will never show."""
    await run(engine, "UPDATE instance SET created_at = now() - interval '5 days'")
    await run(engine, _MANY_THAT_NEVER_COME, account_id=ALICE, at=now() - timedelta(days=3))
    await paid(engine, "oldest", at=now() - timedelta(days=4))
    await paid(engine, "between", at=now() - timedelta(days=3) + timedelta(seconds=600))
    await paid(engine, "young", at=now())
    names = ("oldest", "between", "young")
    stripe = Stripe([transaction(name, at=now()) for name in names])
    await look(engine, settings, stripe)
    assert await due(engine) & {f"ch_{name}" for name in names} == set()
    assert len(stripe.asked) == 1


async def test_one_relay_at_a_time_has_the_duty_and_another_takes_it_over(engine: AsyncEngine) -> None:
    one, two = uuid4(), uuid4()
    assert await duties.hold(engine, "balance", one)
    assert not await duties.hold(engine, "balance", two)
    assert await duties.hold(engine, "balance", one), "whoever has it keeps it"
    assert await duties.hold(engine, "redating", two), "each duty by itself"
    await duties.give_up(engine, one)
    assert await duties.hold(engine, "balance", two)


_MANY_THAT_NEVER_COME = """
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
"""
