"""P6: every Stripe movement is booked once, however often and by however many it is posted."""

import asyncio
import random
from collections import Counter
from uuid import UUID

import hypothesis
import pytest
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger
from service.foundation.postgres.db import create_engine
from service.foundation.postgres.sql import Statement
from service.foundation.settings import Settings
from service.ledger import JournalEntry
from tests.ledger.support import ALICE, BOB, balance_of, book, charged, count, undone

SEED = 20_260_301


async def test_an_entry_posted_twice_is_booked_once(engine: AsyncEngine) -> None:
    first = await book(engine, charged("a"))
    again = await book(engine, charged("a"))
    assert (first.booked, first.repeated) == ((charged("a"),), ())
    assert (again.booked, again.repeated, again.conflicting) == ((), (charged("a"),), ())
    assert await balance_of(engine, "revenue:orders") == 1999


async def test_an_entry_twice_in_one_batch_is_booked_once(engine: AsyncEngine) -> None:
    result = await book(engine, charged("a"), charged("b"), charged("a"))
    assert (result.booked, result.repeated) == ((charged("a"), charged("b")), (charged("a"),))


async def test_other_content_under_a_reference_is_reported_and_changes_nothing(engine: AsyncEngine) -> None:
    await book(engine, charged("a"))
    result = await book(engine, charged("a", 2500), charged("b"))
    assert (result.conflicting, result.booked) == ((charged("a", 2500),), (charged("b"),))
    assert await balance_of(engine, "assets:stripe:balance") == 2 * 1999


async def test_two_contents_under_one_reference_in_one_batch_book_the_first(engine: AsyncEngine) -> None:
    result = await book(engine, charged("a", 1), charged("a", 2))
    assert (result.booked, result.conflicting) == ((charged("a", 1),), (charged("a", 2),))


async def test_the_same_reference_of_another_account_is_another_entry(engine: AsyncEngine) -> None:
    result = await book(engine, charged("a"), charged("a", account_id=BOB))
    assert len(result.booked) == 2


async def test_nothing_to_post_is_fine(engine: AsyncEngine) -> None:
    assert await book(engine) == ledger.PostResult()


async def test_a_rolled_back_batch_leaves_nothing_and_can_be_posted_again(engine: AsyncEngine) -> None:
    async with undone(engine) as connection:
        await ledger.post(connection, [charged("a", currency="sek")])
    assert await count(engine, "ledger_accounts") == 0
    assert len((await book(engine, charged("a", currency="sek"))).booked) == 1


async def test_many_accounts_and_currencies_go_in_one_batch(engine: AsyncEngine) -> None:
    batch = [
        charged(f"{currency}{n}", 100 + n, currency, account_id=UUID(int=n))
        for currency in ("usd", "jpy", "kwd")
        for n in range(1, 6)
    ]
    assert len((await book(engine, *batch)).booked) == 15
    assert await ledger.verify(engine) == []
    assert len(await ledger.balances(engine)) == 2 * 15


async def test_the_largest_amounts_add_up_exactly(engine: AsyncEngine) -> None:
    largest = 2**63 - 1
    await book(engine, charged("a", largest), charged("b", largest))
    assert await balance_of(engine, "revenue:orders") == 2 * largest


async def test_concurrent_batches_in_any_order_do_not_deadlock_and_book_once(settings: Settings) -> None:
    engine = create_engine(settings, name="test", pool=8)
    rng = random.Random(SEED)
    for round_ in range(12):
        # A currency per round: the race to make the chart accounts is part of it.
        batch = [charged(f"{round_}_{n}", 100, f"c{round_:02}") for n in range(12)]
        results = await asyncio.gather(*(book(engine, *rng.sample(batch, 12)) for _ in range(8)))
        assert sum(len(r.booked) for r in results) == 12
        assert sum(len(r.repeated) for r in results) == 7 * 12
    assert await count(engine, "journal_entries") == 12 * 12
    await engine.dispose()


async def test_batches_that_meet_half_way_do_not_deadlock(settings: Settings) -> None:
    """Both are stopped in the middle by a third; in the order given, each would then hold what the other needs."""
    engine = create_engine(settings, name="test", pool=4)
    a, middle, z = charged("a"), charged("m"), charged("z")
    await book(engine, charged("first"))
    async with undone(engine) as holder:
        await ledger.post(holder, [middle])
        crossing = [asyncio.create_task(book(engine, *batch)) for batch in ([a, middle, z], [z, middle, a])]
        await _until_waiting(engine, 2)
    results = await asyncio.gather(*crossing)
    assert sorted(len(result.booked) for result in results) == [0, 3]
    await engine.dispose()


async def test_whoever_waited_for_a_rollback_books_it(settings: Settings) -> None:
    engine = create_engine(settings, name="test", pool=3)
    async with undone(engine) as holder:
        await ledger.post(holder, [charged("a")])
        waiting = asyncio.create_task(book(engine, charged("a")))
        await _until_waiting(engine)
    assert len((await waiting).booked) == 1
    await engine.dispose()


_ENTRIES = st.builds(
    charged,
    st.sampled_from("abcde"),
    st.integers(1, 3),
    st.sampled_from(["usd", "jpy"]),
    account_id=st.sampled_from([ALICE, BOB]),
)


@pytest.mark.slow
async def test_any_repetition_books_each_reference_once_and_balances(engine: AsyncEngine) -> None:
    loop = asyncio.get_running_loop()

    @hypothesis.settings(max_examples=40, deadline=None)
    @hypothesis.given(st.lists(st.lists(_ENTRIES, max_size=25), max_size=4))
    def check(batches: list[list[JournalEntry]]) -> None:
        asyncio.run_coroutine_threadsafe(_post_and_roll_back(engine, batches), loop).result()

    await asyncio.to_thread(check)


_DIGESTS = Statement("SELECT digest FROM journal_entries")
_SUMS = Statement("SELECT sum(amount_minor) FROM postings GROUP BY entry_id, currency")


async def _post_and_roll_back(engine: AsyncEngine, batches: list[list[JournalEntry]]) -> None:
    """The first content under each reference is booked, all else is told apart; then the books are empty again."""
    booked: dict[tuple[UUID, str], JournalEntry] = {}
    async with undone(engine) as connection:
        for batch in batches:
            result = await ledger.post(connection, batch)
            told = [*result.booked, *result.repeated, *result.conflicting]
            assert Counter(e.digest for e in told) == Counter(e.digest for e in batch)
            for entry in batch:
                booked.setdefault((entry.account_id, entry.reference), entry)
            assert all(booked[e.account_id, e.reference] == e for e in (*result.booked, *result.repeated))
            assert all(booked[e.account_id, e.reference] != e for e in result.conflicting)
        stored = set(await connection.column(_DIGESTS, {}))
        sums = await connection.column(_SUMS, {})
        assert stored == {entry.digest for entry in booked.values()}
        assert set(sums) <= {0}


async def _until_waiting(engine: AsyncEngine, sessions: int = 1) -> None:
    """Until so many wait for a lock (the application's role sees pg_locks, but not other roles' wait events)."""
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    async with asyncio.timeout(10), engine.connect() as connection:
        while (await connection.execute(waiting)).scalar_one() < sessions:
            await asyncio.sleep(0.01)
