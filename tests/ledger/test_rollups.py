"""A balance is exact at every moment: whatever the rollup has or has not reached, and whoever commits late."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger
from service.foundation.postgres.sql import begin
from service.ledger import rollup
from tests.ledger.support import ALICE, BOB, NOON, balance_of, book, charged, count, superuser, undone

DAY = timedelta(days=1)


async def test_a_rollup_changes_no_balance(engine: AsyncEngine) -> None:
    await book(engine, charged("a", 5), charged("b", 7, "jpy"), charged("c", 11, account_id=BOB))
    before = await ledger.balances(engine)
    assert await rollup(engine) == 6
    assert await ledger.balances(engine) == before
    assert await rollup(engine) == 0


async def test_what_comes_after_a_rollup_is_added_to_it(engine: AsyncEngine) -> None:
    await book(engine, charged("a", 5))
    await rollup(engine)
    await book(engine, charged("b", 7))
    assert await balance_of(engine, "revenue:orders") == 12
    assert await rollup(engine) == 2
    assert await balance_of(engine, "revenue:orders") == 12


async def test_a_transaction_that_commits_after_the_rollup_is_not_lost(engine: AsyncEngine) -> None:
    await book(engine, charged("first", 1))  # so that the chart exists and makes nobody wait
    async with begin(engine) as late:
        await ledger.post(late, [charged("late", 10)])  # the lower transaction id, still open …
        await book(engine, charged("early", 100))  # … while a higher one commits
        assert await rollup(engine) == 2  # `first` only: the horizon stops at the open transaction
        assert await balance_of(engine, "revenue:orders") == 101
    assert await balance_of(engine, "revenue:orders") == 111
    assert await rollup(engine) == 4
    assert await balance_of(engine, "revenue:orders") == 111
    assert await ledger.verify(engine) == []


async def test_a_transaction_that_rolls_back_late_leaves_no_trace(engine: AsyncEngine) -> None:
    await book(engine, charged("first", 1))
    async with undone(engine) as late:
        await ledger.post(late, [charged("late", 10)])
        await rollup(engine)
    await rollup(engine)
    assert await balance_of(engine, "revenue:orders") == 1


async def test_two_rollups_at_once_count_every_posting_once(engine: AsyncEngine) -> None:
    for round_ in range(10):
        await book(engine, charged(f"{round_}", 1))
        assert sum(await asyncio.gather(*(rollup(engine) for _ in range(4)))) in (0, 2)
    await rollup(engine)
    assert await balance_of(engine, "revenue:orders") == 10
    assert await ledger.verify(engine) == []


async def test_a_rollup_that_finds_another_at_work_does_nothing(engine: AsyncEngine) -> None:
    await book(engine, charged("a"))
    async with engine.begin() as other:
        await other.execute(text("SELECT 1 FROM ledger_horizon FOR UPDATE"))
        assert await asyncio.wait_for(rollup(engine), 5) == 0


async def test_balances_are_exact_while_entries_are_posted_and_rolled_up(engine: AsyncEngine) -> None:
    async def post_all() -> None:
        for n in range(40):
            await book(engine, charged(f"{n}", 1))

    async def roll_until(done: asyncio.Task[None]) -> None:
        while not done.done():
            await rollup(engine)

    posting = asyncio.create_task(post_all())
    rolling = asyncio.create_task(roll_until(posting))
    seen = [0]
    while not posting.done():
        rows = await ledger.balances(engine)
        assert sum(r["debit"] - r["credit"] for r in rows) == 0
        seen.append(sum(r["debit"] for r in rows))
    await rolling
    assert seen == sorted(seen)
    assert await balance_of(engine, "revenue:orders") == 40


@pytest.mark.parametrize("rolled_up", [False, True])
async def test_as_of_is_half_open_and_counts_by_the_time_it_occurred(engine: AsyncEngine, rolled_up: bool) -> None:
    midnight = datetime(2026, 3, 2, tzinfo=UTC)
    await book(
        engine,
        charged("yesterday", 1, occurred_at=NOON - DAY),
        charged("noon", 10, occurred_at=NOON),
        charged("last", 100, occurred_at=midnight - timedelta(microseconds=1)),
        charged("midnight", 1000, occurred_at=midnight),
    )
    if rolled_up:
        await rollup(engine)
    expected = {
        NOON - DAY: 0,
        NOON - DAY + timedelta(microseconds=1): 1,
        NOON: 1,
        NOON + timedelta(microseconds=1): 11,
        midnight: 111,
        midnight + timedelta(microseconds=1): 1111,
        NOON.astimezone(datetime.strptime("-0900", "%z").tzinfo): 1,
    }
    assert {at: await balance_of(engine, "revenue:orders", as_of=at) for at in expected} == expected


async def test_a_back_dated_entry_is_in_old_balances_at_once(engine: AsyncEngine) -> None:
    await book(engine, charged("now", 1))
    await rollup(engine)
    await book(engine, charged("forgotten", 10, occurred_at=NOON - 30 * DAY))
    assert await balance_of(engine, "revenue:orders", as_of=NOON - DAY) == 10


async def test_balances_say_both_sides_and_the_normal_sign(engine: AsyncEngine) -> None:
    fee = ledger.fee_entry(
        account_id=ALICE,
        order_id=None,
        payment_intent_id=None,
        balance_transaction_id="txn_1",
        fee_minor=88,
        currency="usd",
        occurred_at=NOON,
    )
    assert fee is not None
    await book(engine, charged("a"), fee)
    rows = {r["account"]: (r["type"], r["debit"], r["credit"], r["balance"]) for r in await ledger.balances(engine)}
    assert rows == {
        "assets:stripe:balance": ("asset", 1999, 88, 1911),
        "expenses:stripe:processing": ("expense", 88, 0, 88),
        "revenue:orders": ("income", 0, 1999, 1999),
    }


async def test_balances_of_one_account_show_nothing_of_another(engine: AsyncEngine) -> None:
    await book(engine, charged("a"), charged("b", account_id=BOB))
    assert {row["account_id"] for row in await ledger.balances(engine, ALICE)} == {ALICE}


async def test_the_entries_of_an_order_come_with_their_postings_and_only_to_their_account(engine: AsyncEngine) -> None:
    order_id = uuid4()
    await book(engine, charged("a", order_id=order_id), charged("b"))
    (entry,) = await ledger.entries(engine, ALICE, order_id)
    assert (entry["reference"], entry["order_id"], entry["payment_intent"]) == ("charge:ch_a", order_id, "pi_a")
    assert entry["postings"] == [
        {"account": "assets:stripe:balance", "currency": "usd", "amount": 1999},
        {"account": "revenue:orders", "currency": "usd", "amount": -1999},
    ]
    assert await ledger.entries(engine, BOB, order_id) == []


async def test_a_horizon_from_another_cluster_is_not_believed(engine: AsyncEngine, database: str) -> None:
    await book(engine, charged("a", 5))
    await rollup(engine)
    async with superuser(database) as connection:  # as after a restored dump: ids of a cluster that was further on
        await connection.execute(text("UPDATE ledger_horizon SET xid = '999999999999'"))
    await book(engine, charged("b", 7))
    assert await balance_of(engine, "revenue:orders") == 12
    assert await rollup(engine) == 4
    assert await balance_of(engine, "revenue:orders") == 12
    assert await ledger.verify(engine) == []
    assert await count(engine, "ledger_rollups") == 2
