"""Each movement of Stripe's balance is booked once, or stands in suspense, loudly."""

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from typing import get_args

import pytest
from msgspec.structs import replace as changed
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger
from service.balance import BalanceSweep, book_shown, book_waiting, every
from service.foundation.settings import Settings
from service.ledger import MovementOf
from service.stripe_gateway.objects import BalanceTransaction
from tests.balance.support import (
    Stripe,
    all_looked_at,
    due,
    now,
    paid,
    references,
    run,
    standing,
    sweep,
    transaction,
)
from tests.ledger.support import ALICE, balance_of, book, count, superuser

BALANCE, SUSPENSE, OTHER_FEES = "assets:stripe:balance", "suspense:stripe", "expenses:stripe:other"


@pytest.fixture
def hasty(settings: Settings) -> Settings:
    """Nothing waits for what it is of."""
    return replace(settings, reconcile_grace_s=0)


def fee_of_a_product(n: int | str = "product") -> BalanceTransaction:
    return transaction(n, amount=-500, fee=0, type_="stripe_fee", category="fee", source="x")


async def test_a_movement_that_comes_before_its_charge_is_booked_once_that_is_settled(
    engine: AsyncEngine, settings: Settings
) -> None:
    await book_shown(engine, [transaction(1)])
    assert await standing(engine) == {"txn_1": "waiting"}
    await paid(engine, 1)
    await all_looked_at(engine, settings)
    assert (await standing(engine), await due(engine)) == ({"txn_1": "booked"}, set())
    assert await references(engine) == ["fee:txn_1"]


async def test_what_waits_is_looked_at_ever_more_rarely(engine: AsyncEngine, settings: Settings) -> None:
    await book_shown(engine, [transaction(1)])
    looks = 0
    for _ in range(600):
        looks += (await book_waiting(engine, settings)).waiting
        await run(
            engine,
            "UPDATE balance_transactions SET seen_at = seen_at - interval '10 s', look_at = look_at - interval '10 s'",
        )
    assert 10 < looks < 40


async def test_after_the_grace_it_stands_in_suspense_and_is_said(
    engine: AsyncEngine, hasty: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    stripe = Stripe([transaction(1), transaction(2, amount=-700, fee=0, category="refund", source="re_2")])
    for _ in range(3):
        await sweep(engine, hasty, stripe)
    assert set((await standing(engine)).values()) == {"suspense"}
    assert (await balance_of(engine, BALANCE), await balance_of(engine, SUSPENSE)) == (1999 - 88 - 700, 1999 - 88 - 700)
    assert caplog.text.count("balance.suspense") == 1, "all of a page in one line, and once"


async def test_suspense_is_cleared_and_the_proper_entry_booked_once_its_source_is_known(
    engine: AsyncEngine, hasty: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await sweep(engine, hasty, Stripe([transaction(1)]))
    await paid(engine, 1)
    for _ in range(2):
        await all_looked_at(engine, hasty)
    assert await references(engine) == ["fee:txn_1", "reversal:suspense:txn_1", "suspense:txn_1"]
    assert (await standing(engine), await balance_of(engine, SUSPENSE)) == ({"txn_1": "booked"}, 0)
    assert "balance.cleared" in caplog.text


@pytest.mark.parametrize("category", ["levy", "transfer", "topup"])
async def test_an_unknown_category_stands_in_suspense_at_once(
    engine: AsyncEngine, settings: Settings, caplog: pytest.LogCaptureFixture, category: str
) -> None:
    await paid(engine, 1)
    odd = transaction("odd", amount=-300, fee=0, type_="adjustment", category=category)
    await sweep(engine, settings, Stripe([odd, transaction(1)]))
    assert await standing(engine) == {"txn_odd": "suspense", "txn_1": "booked"}
    assert (await balance_of(engine, SUSPENSE), "balance.suspense" in caplog.text) == (-300, True)


async def test_a_movement_of_nothing_that_nobody_knows_is_said_and_books_nothing(
    engine: AsyncEngine, settings: Settings
) -> None:
    await sweep(engine, settings, Stripe([transaction("odd", amount=0, fee=0, category="levy")]))
    assert (await standing(engine), await count(engine, "journal_entries")) == ({"txn_odd": "suspense"}, 0)


async def test_fees_that_are_no_payments_are_booked_to_the_default_account(
    engine: AsyncEngine, settings: Settings
) -> None:
    await sweep(engine, settings, Stripe([fee_of_a_product()]))
    assert (await balance_of(engine, OTHER_FEES), await balance_of(engine, BALANCE)) == (500, -500)
    assert await standing(engine) == {"txn_product": "booked"}


async def test_another_sum_than_is_booked_stands_in_suspense_by_its_difference(
    engine: AsyncEngine, hasty: Settings
) -> None:
    """Both balances are equal all the same: the charge books 1999, and Stripe took 1200 less 88."""
    await paid(engine, 1)
    await sweep(engine, hasty, Stripe([transaction(1, amount=1200)]))
    assert await balance_of(engine, BALANCE) == 1200 - 88 - 1999
    assert (await due(engine), await standing(engine)) == ({"ch_1"}, {"txn_1": "suspense"})


async def test_a_payment_that_its_bank_takes_back_days_later_is_booked(engine: AsyncEngine, settings: Settings) -> None:
    await paid(engine, "bank")
    entry = ledger.charge_entry(
        account_id=ALICE,
        order_id=None,
        payment_intent_id="pi_bank",
        stripe_charge_id="ch_bank",
        amount_minor=1999,
        currency="usd",
        occurred_at=now(),
    )
    back = changed(transaction("bank", amount=-1999, fee=0), id="txn_x", reporting_category="charge_failure")
    await run(engine, "INSERT INTO accounts (id, name) VALUES (:id, 'alice')", id=ALICE)
    await book(engine, entry)
    await sweep(engine, settings, Stripe([transaction("bank")]))
    await sweep(engine, settings, Stripe([back, transaction("bank")]))
    assert await standing(engine) == {"txn_bank": "booked", "txn_x": "booked"}
    assert "charge_failure:txn_x" in await references(engine)


async def test_seen_twice_at_once_or_after_a_restart_it_is_booked_once(engine: AsyncEngine, settings: Settings) -> None:
    shown = [transaction(n) for n in range(50)] + [fee_of_a_product(f"f{n}") for n in range(50)]
    await paid(engine, *range(25))
    await asyncio.gather(*(book_shown(engine, shown) for _ in range(4)), all_looked_at(engine, settings))
    await paid(engine, *range(25, 50))
    await run(engine, "UPDATE balance_transactions SET look_at = now()")
    await asyncio.gather(*(book_waiting(engine, settings) for _ in range(4)))
    assert len(await references(engine)) == 100
    assert set((await standing(engine)).values()) == {"booked"}


async def test_a_table_that_was_lost_is_read_again_and_books_nothing_twice(
    engine: AsyncEngine, settings: Settings, database: str
) -> None:
    await paid(engine, 1)
    stripe = Stripe([transaction(1), fee_of_a_product(), transaction("odd", category="levy")])
    await sweep(engine, settings, stripe)
    booked = await references(engine)
    async with superuser(database) as connection:
        for statement in (
            "DELETE FROM balance_transactions",
            "DELETE FROM sweeps",
            "UPDATE charges SET balance_transaction_id = NULL",
        ):
            await connection.execute(text(statement))
    await sweep(engine, settings, stripe)
    assert await references(engine) == booked
    assert await standing(engine) == {"txn_1": "booked", "txn_product": "booked", "txn_odd": "suspense"}


async def test_the_sweep_shows_what_is_known_of_its_window_and_no_more(engine: AsyncEngine, settings: Settings) -> None:
    await book_shown(engine, [transaction(n, at=now() + timedelta(seconds=n)) for n in range(4)])
    second = int(now().timestamp())
    assert await BalanceSweep().known(engine, second + 1, second + 3) == {"txn_1", "txn_2"}
    del settings


async def test_a_charge_that_settles_in_another_currency_is_booked_at_what_the_balance_got(
    engine: AsyncEngine, settings: Settings
) -> None:
    await paid(engine, 1)
    await run(engine, "INSERT INTO accounts (id, name) VALUES (:id, 'alice')", id=ALICE)
    for _ in range(2):
        await sweep(engine, settings, Stripe([transaction(1, amount=1_800, fee=80, currency="eur")]))
    assert (await due(engine), await standing(engine)) == (set(), {"txn_1": "booked"})
    assert await references(engine) == ["charge:ch_1", "fee:txn_1"]
    assert await balance_of(engine, BALANCE) == 1_800 - 80
    assert await ledger.verify(engine) == []


PAYOUT = """
INSERT INTO payouts (id, account_id, status, amount_minor, currency, arrival_date, automatic, method, stripe_created)
SELECT 'po_1', id, 'paid', 1500, 'usd', now(), true, 'standard', now() FROM accounts WHERE is_default
"""


async def test_a_payout_waits_until_it_is_known_and_is_booked_both_ways(
    engine: AsyncEngine, settings: Settings
) -> None:
    left = transaction("po", amount=-1_500, fee=0, type_="payout", category="payout", source="po_1")
    back = transaction("back", amount=1_500, fee=0, type_="payout_failure", category="payout_reversal", source="po_1")
    await sweep(engine, settings, Stripe([left, back]))
    assert await standing(engine) == {"txn_po": "waiting", "txn_back": "waiting"}
    await run(engine, PAYOUT)
    await all_looked_at(engine, settings)
    assert await references(engine) == ["payout:po_1", "payout_failed:po_1"]
    assert (await balance_of(engine, BALANCE), await balance_of(engine, SUSPENSE)) == (0, 0)


async def test_a_payout_of_another_sum_contradicts_and_after_the_grace_stands_in_suspense(
    engine: AsyncEngine, hasty: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    await run(engine, PAYOUT)
    odd = transaction("po", amount=-1_400, fee=0, type_="payout", category="payout", source="po_1")
    await sweep(engine, hasty, Stripe([odd]))
    assert (await standing(engine), await balance_of(engine, BALANCE)) == ({"txn_po": "suspense"}, -1_400)
    assert "balance.contradicted" in caplog.text


@pytest.mark.parametrize("status", ["needs_response", "lost"])
async def test_a_disputes_money_is_booked_by_its_row_and_lost_where_it_is_decided(
    engine: AsyncEngine, settings: Settings, status: str
) -> None:
    await paid(engine, 1)
    taken = transaction("dp", amount=-1_999, fee=1_500, type_="adjustment", category="dispute", source="dp_1")
    await sweep(engine, settings, Stripe([taken]))
    assert await standing(engine) == {"txn_dp": "waiting"}
    await run(
        engine,
        "INSERT INTO disputes (id, account_id, order_id, charge_id, status, amount_minor, currency, stripe_created,"
        " history) SELECT 'dp_1', account_id, order_id, id, :status, 1999, 'usd', now(),"
        " jsonb_build_array(jsonb_build_object('at', now(), 'status', CAST(:status AS text))) FROM charges",
        status=status,
    )
    for _ in range(2):
        await all_looked_at(engine, settings)
    assert "dispute:dp_1:withdrawn:txn_dp" in await references(engine)
    assert await balance_of(engine, "assets:disputes_receivable") == (1_999 if status == "needs_response" else 0)
    assert await balance_of(engine, "expenses:chargebacks_lost") == (0 if status == "needs_response" else 1_999)


def test_each_kind_of_movement_that_the_ledger_knows_has_who_explains_it() -> None:
    assert set(every._EXPLAINERS) == set(get_args(MovementOf))
