"""Per movement, what is on the books of it on the account that mirrors Stripe's balance is its net."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service import balance, ledger
from service.foundation.settings import Settings
from service.stripe_gateway.objects import BalanceTransaction
from tests.balance.support import Stripe, now, paid, run, sweep, transaction
from tests.ledger.support import ALICE, book


def moved() -> tuple[BalanceTransaction, ...]:
    return (
        transaction(1),
        transaction("p", amount=-500, fee=0, type_="stripe_fee", category="fee", source="x"),
        transaction("odd", amount=-300, fee=7, category="levy"),
        transaction("r", amount=-40, fee=0, type_="reserve_hold", category="risk_reserved_funds", source="x"),
    )


IDS = [bt.id for bt in moved()]


@pytest.fixture
async def booked(engine: AsyncEngine, settings: Settings) -> AsyncEngine:
    """A charge, a fee, a reserve and something that nobody knows, each on the books."""
    await paid(engine, 1)
    await book(
        engine,
        ledger.charge_entry(
            account_id=ALICE,
            order_id=None,
            payment_intent_id="pi_1",
            stripe_charge_id="ch_1",
            amount_minor=1999,
            currency="usd",
            occurred_at=now(),
        ),
    )
    await sweep(engine, settings, Stripe(moved()))
    return engine


async def test_what_is_booked_by_its_net_has_no_findings(booked: AsyncEngine) -> None:
    assert await ledger.verify(booked) == []


@pytest.mark.parametrize("movement", IDS)
async def test_a_movement_of_another_sum_than_is_booked_is_found(booked: AsyncEngine, movement: str) -> None:
    await run(booked, "UPDATE balance_transactions SET net_minor = net_minor + 1 WHERE id = :id", id=movement)
    (found,) = await ledger.verify(booked)
    assert (found.name, found.ids) == ("movement_booked_otherwise", (movement,))


async def test_a_charge_whose_movement_is_booked_and_that_is_not_itself_is_found(
    engine: AsyncEngine, settings: Settings
) -> None:
    await paid(engine, 1)
    await sweep(engine, settings, Stripe([transaction(1)]))
    assert [found.name for found in await ledger.verify(engine)] == ["movement_booked_otherwise"]


async def test_what_has_no_booking_is_listed_with_its_age(booked: AsyncEngine) -> None:
    await run(booked, "UPDATE balance_transactions SET seen_at = seen_at - interval '1 hour'")
    (row,) = await balance.open_movements(booked)
    assert (row.id, row.status, row.net_minor, row.age_s // 60) == ("txn_odd", "suspense", -307, 60)
    assert row.why is not None
