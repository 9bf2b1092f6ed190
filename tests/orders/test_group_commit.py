"""Whoever waits is stored together; one stuck key, one bad item, one client that leaves concern only themselves."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import sample
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.errors import NotConfirmed, UnprocessableKey
from service.foundation.postgres.db import create_engine
from service.foundation.postgres.migrate import upgrade
from service.foundation.settings import Settings
from service.ops.embedded import Postgres
from service.orders.group_commit import QUEUE_BATCHES, GroupCommit
from service.orders.model import OrderRequest
from service.orders.store import Candidate, Placed, place
from tests.web.conftest import Api, assert_problem, count, serve

pytestmark = pytest.mark.slow

ACCOUNT = uuid4()


def candidate(key: str, amount: int = 1999) -> Candidate:
    return Candidate.of(ACCOUNT, key, OrderRequest(amount, "usd", "pm_card_visa"))


@pytest.fixture
async def group_commit(settings: Settings) -> AsyncIterator[GroupCommit]:
    group_commit = GroupCommit(replace(settings, door_lock_timeout_ms=300))
    yield group_commit
    await group_commit.close()


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all statements, in order."""
    sizes: list[int] = []

    async def counting(engine: AsyncEngine, candidates: Any) -> Any:
        sizes.append(len(candidates))
        return await place(engine, candidates)

    monkeypatch.setattr("service.orders.group_commit.place", counting)
    return sizes


@asynccontextmanager
async def held_key(engine: AsyncEngine, key: str) -> AsyncIterator[None]:
    """Another transaction has inserted `key` and does not end."""
    async with engine.connect() as connection:
        await connection.execute(
            text(
                "INSERT INTO orders"
                " (id, account_id, idempotency_key, fingerprint, amount_minor, currency, payment_method)"
                " VALUES (gen_random_uuid(), :account, :key, '\\x01', 1, 'usd', 'pm_x')"
            ),
            {"account": ACCOUNT, "key": key},
        )
        yield
        await connection.rollback()


async def test_alone_an_order_goes_at_once_and_alone(group_commit: GroupCommit, batches: list[int]) -> None:
    await group_commit.submit(candidate("a"))
    await group_commit.submit(candidate("b"))
    assert batches == [1, 1]


@pytest.mark.parametrize("writers", [1, 2])
async def test_who_comes_back_the_moment_it_was_answered_is_served(settings: Settings, writers: int) -> None:
    """The writer that answered is just ending then, and must not count as one that will look again."""
    group_commit = GroupCommit(replace(settings, door_writers=writers))
    async with asyncio.timeout(5):
        for i in range(20):
            await group_commit.submit(candidate(f"k{i}"))
    await group_commit.close()


async def test_who_waits_together_is_stored_together(group_commit: GroupCommit, batches: list[int]) -> None:
    placed = await asyncio.gather(*(group_commit.submit(candidate(f"k{i}")) for i in range(200)))
    assert [p.order.idempotency_key for p in placed] == [f"k{i}" for i in range(200)]
    assert len(batches) <= 2


async def test_a_statement_carries_no_more_than_its_maximum(
    settings: Settings, batches: list[int], engine: AsyncEngine
) -> None:
    group_commit = GroupCommit(replace(settings, door_batch_max=10))
    await asyncio.gather(*(group_commit.submit(candidate(f"k{i}")) for i in range(95)))
    await group_commit.close()
    assert max(batches) == 10
    assert await count(engine, "orders") == 95


async def test_one_key_and_two_bodies_in_one_statement_are_one_order_and_one_refusal(
    group_commit: GroupCommit, batches: list[int]
) -> None:
    one, two = await asyncio.gather(
        group_commit.submit(candidate("k")), group_commit.submit(candidate("k", 2999)), return_exceptions=True
    )
    assert batches == [2]
    assert isinstance(one, Placed)
    assert isinstance(two, UnprocessableKey)


async def test_one_key_twice_in_one_statement_is_one_order_and_one_replay(
    group_commit: GroupCommit, batches: list[int]
) -> None:
    one, two = await asyncio.gather(group_commit.submit(candidate("k")), group_commit.submit(candidate("k")))
    assert batches == [2]
    assert (one.replayed, two.replayed) == (False, True)
    assert one.order == two.order


async def test_accounts_do_not_share_keys(group_commit: GroupCommit) -> None:
    other = Candidate.of(uuid4(), "k", OrderRequest(1999, "usd", "pm_card_visa"))
    one, two = await asyncio.gather(group_commit.submit(candidate("k")), group_commit.submit(other))
    assert one.order.id != two.order.id


async def test_who_created_an_order_is_told_by_the_stored_id(engine: AsyncEngine) -> None:
    """A statement that is repeated after its answer was lost finds its own row: that is no replay."""
    first = candidate("k")
    await place(engine, [first])
    (again,) = await place(engine, [first])
    assert isinstance(again, Placed)
    assert not again.replayed


async def test_a_client_that_leaves_cancels_nobody_else(
    group_commit: GroupCommit, engine: AsyncEngine, batches: list[int]
) -> None:
    futures = [group_commit.submit(candidate(f"k{i}")) for i in range(20)]
    futures[0].cancel()
    await asyncio.sleep(0)
    futures[7].cancel()
    rest = await asyncio.gather(*futures[1:7], *futures[8:])
    assert len(rest) == 18
    assert sum(batches) == 20  # and costs nobody a second statement
    assert await count(engine, "orders") == 20


async def test_a_stuck_key_holds_up_only_itself(group_commit: GroupCommit, engine: AsyncEngine) -> None:
    async with held_key(engine, "k7"):
        futures = [group_commit.submit(candidate(f"k{i}")) for i in range(32)]
        others = await asyncio.gather(*futures[:7], *futures[8:])
        assert len(others) == 31
        with pytest.raises(NotConfirmed):
            await futures[7]
    assert isinstance(await group_commit.submit(candidate("k7")), Placed)


async def test_while_a_key_is_stuck_the_door_stays_open(settings: Settings, engine: AsyncEngine) -> None:
    group_commit = GroupCommit(replace(settings, door_lock_timeout_ms=30_000))
    async with held_key(engine, "stuck"):
        stuck = group_commit.submit(candidate("stuck"))
        await asyncio.sleep(0.05)
        for i in range(20):
            await group_commit.submit(candidate(f"k{i}"))
        assert not stuck.done()
    assert isinstance(await stuck, Placed)
    await group_commit.close()


async def test_a_key_that_is_free_again_in_time_is_decided_by_the_other(
    group_commit: GroupCommit, engine: AsyncEngine
) -> None:
    async with held_key(engine, "k"):
        waiting = group_commit.submit(candidate("k"))
        await asyncio.sleep(0.05)
    placed = await waiting
    assert not placed.replayed


async def test_one_bad_item_fails_alone(
    group_commit: GroupCommit, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a check of the database refuses although validation let it through."""
    bad = [Candidate.of(ACCOUNT, "bad", OrderRequest(-1, "usd", "pm_x"))]
    futures = [
        group_commit.submit(c)
        for c in (*(candidate(f"k{i}") for i in range(9)), *bad, *(candidate(f"l{i}") for i in range(9)))
    ]
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert [i for i, r in enumerate(results) if not isinstance(r, Placed)] == [9]
    assert await count(engine, "orders") == 18


async def test_too_many_waiting_are_told_at_once(settings: Settings, engine: AsyncEngine) -> None:
    group_commit = GroupCommit(replace(settings, door_batch_max=1))
    futures = [group_commit.submit(candidate(f"k{i}")) for i in range(QUEUE_BATCHES + 1)]
    with pytest.raises(NotConfirmed):
        await futures[-1]
    await asyncio.gather(*futures[:-1])
    await group_commit.close()
    assert await count(engine, "orders") == QUEUE_BATCHES


async def test_concurrent_statements_that_share_keys_never_deadlock(settings: Settings) -> None:
    """Rows are inserted in the order of their key (R5). No deadlocks, not few: the bounded repeat is for surprises."""
    engine = create_engine(settings, name="test", pool=6)
    for round_ in range(5):
        keys = [f"{round_}-{i}" for i in range(1000)]  # long enough to overlap
        shuffled = [sample(keys, len(keys)) for _ in range(6)]
        await asyncio.gather(*(place(engine, [candidate(key) for key in one]) for one in shuffled))
    await engine.dispose()


@pytest.fixture
def own_postgres(servers_folder: Path) -> Iterator[Postgres]:
    """A server that this test may kill."""
    with Postgres(servers_folder / f"door-{uuid4().hex[:8]}") as server:
        upgrade(server.url)
        yield server


async def test_postgres_gone_is_503_and_the_door_opens_again_by_itself(
    settings: Settings, own_postgres: Postgres
) -> None:
    async with serve(replace(settings, database_url=own_postgres.url)) as api:
        assert (await api.order("before")).status_code == 201
        own_postgres.kill()
        for _ in range(3):
            answer = await api.order("during")
            problem = assert_problem(answer, 503)
            assert "same key" in problem["detail"]
            assert int(answer.headers["retry-after"]) >= 1
        await asyncio.sleep(1.1)  # the API key is no longer remembered
        assert_problem(await api.http.get("/v1/orders"), 503)
        assert (await api.http.get("/health/ready")).status_code == 503
        assert (await api.http.get("/health/live")).status_code == 200
        own_postgres.start()
        again = await _until_201(api, "during")
        assert again.headers.get("idempotent-replayed") in (None, "true")
        assert (await api.order("before")).headers["idempotent-replayed"] == "true"
        async with asyncio.timeout(10):  # one look is shared for a second
            while (await api.http.get("/health/ready")).status_code != 200:
                await asyncio.sleep(0.1)


async def test_a_restart_nobody_saw_costs_nobody_an_error(settings: Settings, own_postgres: Postgres) -> None:
    async with serve(replace(settings, database_url=own_postgres.url)) as api:
        await asyncio.gather(*(api.order(f"k{i}") for i in range(20)))
        own_postgres.stop()
        own_postgres.start()
        await asyncio.sleep(0.1)
        assert (await api.order("after")).status_code == 201


async def test_a_connection_cut_in_the_middle_is_not_confirmed_and_the_repeat_finds_out(
    settings: Settings, engine: AsyncEngine
) -> None:
    group_commit = GroupCommit(settings)
    async with held_key(engine, "k"):
        waiting = group_commit.submit(candidate("k"))
        await asyncio.sleep(0.1)
        await _cut_connections(settings)
        with pytest.raises(NotConfirmed, match="same key"):
            await waiting
    assert isinstance(await group_commit.submit(candidate("k")), Placed)
    await group_commit.close()


async def _cut_connections(settings: Settings) -> None:
    admin = create_engine(settings, name="admin", as_app=False)
    cut = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'eo door' AND datname = current_database()"
    )
    async with admin.connect() as connection:
        await connection.execute(text(cut))
    await admin.dispose()


async def _until_201(api: Api, key: str) -> httpx.Response:
    async with asyncio.timeout(10):
        while (answer := await api.order(key)).status_code != 201:
            await asyncio.sleep(0.1)
    return answer
