"""Disputes that are decided leave nothing receivable, in whatever order their state and their money are seen."""

from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger
from service.foundation.postgres.sql import begin
from service.ledger import Decided
from tests.ledger.story_rules import movement
from tests.ledger.support import ALICE, BOB, NOON, balance_of, book

RECEIVABLE, LOST = "assets:disputes_receivable", "expenses:chargebacks_lost"


def decided(status: str, dispute_id: str = "dp_1", account_id: UUID = ALICE) -> Decided:
    return Decided(
        account_id=account_id,
        order_id=account_id,
        payment_intent_id="pi_1",
        dispute_id=dispute_id,
        status=status,
        occurred_at=NOON + timedelta(days=40),
    )


async def moved(engine: AsyncEngine, amount: int, nth: int, dispute_id: str = "dp_1", account_id: UUID = ALICE) -> None:
    """Book a balance transaction of the dispute, without a fee."""
    told = {"id": f"txn_{dispute_id}_{nth}", "amount": amount, "fee": 0, "net": amount, "currency": "usd"}
    entry = ledger.dispute_entry(
        dispute_id=dispute_id,
        principal_minor=abs(amount),
        transaction=movement({**told, "created": int(NOON.timestamp()) + nth, "type": "adjustment"}),
        account_id=account_id,
        order_id=account_id,
        payment_intent_id="pi_1",
    )
    assert entry is not None
    await book(engine, entry)


async def close(engine: AsyncEngine, *disputes: Decided) -> list[str]:
    """The references of what closing them booked."""
    async with begin(engine) as connection:
        result = await ledger.close_disputes(connection, disputes)
    assert result.conflicting == ()
    return [entry.reference for entry in result.booked]


async def left(engine: AsyncEngine) -> tuple[int, int]:
    return await balance_of(engine, RECEIVABLE), await balance_of(engine, LOST)


async def test_a_lost_dispute_is_closed_once(engine: AsyncEngine) -> None:
    await moved(engine, -1000, 1)
    assert await close(engine, decided("needs_response")) == []
    assert await left(engine) == (1000, 0)
    assert await close(engine, decided("lost")) == ["dispute:dp_1:lost"]
    assert await close(engine, decided("lost")) == []
    assert await left(engine) == (0, 1000)
    assert await ledger.verify(engine) == []


async def test_a_state_that_is_seen_before_its_money_is_closed_when_the_money_is_booked(engine: AsyncEngine) -> None:
    assert await close(engine, decided("lost")) == []
    await moved(engine, -1000, 1)
    assert await close(engine, decided("lost")) == ["dispute:dp_1:lost"]
    assert await left(engine) == (0, 1000)


async def test_one_that_is_won_waits_for_its_money(engine: AsyncEngine) -> None:
    await moved(engine, -1000, 1)
    assert await close(engine, decided("won")) == []
    assert await left(engine) == (1000, 0)
    await moved(engine, 1000, 2)
    assert await close(engine, decided("won")) == []
    assert await left(engine) == (0, 0)


async def test_what_does_not_come_back_of_one_that_is_won_is_lost(engine: AsyncEngine) -> None:
    await moved(engine, -1000, 1)
    await moved(engine, 400, 2)
    assert await close(engine, decided("won")) == ["dispute:dp_1:won"]
    assert await left(engine) == (0, 600)


async def test_appeals_end_equal_in_whatever_order_they_are_seen(engine: AsyncEngine) -> None:
    """Taken, lost, given back on appeal; the money and each state seen in every order, the last state at the end."""
    for n, order in enumerate(permutations(["taken", "lost", "back", "appeal_under_review"])):
        account_id = UUID(int=n + 1)
        for what in [*order, "won"]:
            if what in ("taken", "back"):
                amount, nth = (-1000, 1) if what == "taken" else (1000, 2)
                await moved(engine, amount, nth, account_id=account_id)
            await close(engine, decided("lost" if what in ("taken", "lost") else "won", account_id=account_id))
        rows = await ledger.balances(engine, account_id)
        assert {row["account"]: row["balance"] for row in rows if row["balance"]} == {}, order
    assert await ledger.verify(engine) == []


async def test_many_are_closed_at_once_and_each_by_its_own_books(engine: AsyncEngine) -> None:
    for dispute_id, account_id in (("dp_1", ALICE), ("dp_10", ALICE), ("dp_1", BOB)):
        await moved(engine, -1000, 1, dispute_id, account_id)
    one, ten = decided("lost"), decided("lost", "dp_10")
    assert await close(engine, one, replace(ten, status="under_review")) == ["dispute:dp_1:lost"]
    assert await left(engine) == (2000, 1000)
    closed = await close(engine, one, ten, decided("lost", account_id=BOB))
    assert sorted(closed) == ["dispute:dp_10:lost", "dispute:dp_1:lost"]
    assert await left(engine) == (0, 3000)
