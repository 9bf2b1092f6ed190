"""`Prefer: wait` holds an answer until the order is settled or the time is over, and holds nothing else."""

import asyncio
from dataclasses import replace
from time import monotonic

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.settings import Settings
from service.web import waiting
from service.web.waiting import wished_s
from tests.web.conftest import ORDER, Api, serve

pytestmark = pytest.mark.slow


def prefer(key: str, seconds: int) -> dict[str, str]:
    return {"Idempotency-Key": key, "Prefer": f"wait={seconds}"}


async def stored(engine: AsyncEngine, orders: int) -> None:
    """Until so many orders are stored: their requests are then being held."""
    async with asyncio.timeout(20):
        while True:
            async with engine.connect() as connection:
                if (await connection.execute(text("SELECT count(*) FROM orders"))).scalar_one() >= orders:
                    return
            await asyncio.sleep(0.02)


async def settle(engine: AsyncEngine, status: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE orders SET status = :s, updated_at = clock_timestamp()"), {"s": status})


@pytest.mark.parametrize("status", ["paid", "failed", "canceled", "requires_action"])
async def test_the_answer_comes_when_nothing_more_happens_by_itself(api: Api, engine: AsyncEngine, status: str) -> None:
    start = monotonic()
    held = asyncio.create_task(api.http.post("/v1/orders", json=ORDER, headers=prefer("k1", 30)))
    await stored(engine, 1)
    assert not held.done()
    await settle(engine, status)
    answer = await held
    assert (answer.status_code, answer.json()["status"]) == (201, status)
    assert monotonic() - start < 29  # before the wished 30 s were over


async def test_the_answer_comes_when_the_time_is_over(api: Api) -> None:
    start = monotonic()
    answer = await api.http.post("/v1/orders", json=ORDER, headers=prefer("k1", 1))
    assert answer.json()["status"] == "pending"
    assert monotonic() - start > 0.9


async def test_a_replay_and_a_read_may_wait_too(api: Api, engine: AsyncEngine) -> None:
    made = await api.order("k1")
    replay = asyncio.create_task(api.http.post("/v1/orders", json=ORDER, headers=prefer("k1", 10)))
    read = asyncio.create_task(api.http.get(made.headers["location"], headers={"Prefer": "wait=10"}))
    await asyncio.sleep(0.2)
    await settle(engine, "paid")
    assert (await replay).json()["status"] == (await read).json()["status"] == "paid"
    assert (await replay).headers["idempotent-replayed"] == "true"


async def test_an_order_that_is_settled_is_answered_at_once(api: Api, engine: AsyncEngine) -> None:
    await api.order("k1")
    await settle(engine, "paid")
    start = monotonic()
    await api.http.post("/v1/orders", json=ORDER, headers=prefer("k1", 30))
    assert monotonic() - start < 29  # nobody waited for the wished 30 s


async def test_a_hundred_waiters_hold_no_connection(settings: Settings, engine: AsyncEngine) -> None:
    async with serve(replace(settings, db_pool=2)) as api:
        held = [
            asyncio.create_task(api.http.post("/v1/orders", json=ORDER, headers=prefer(f"k{i}", 10)))
            for i in range(100)
        ]
        await stored(engine, 100)
        assert (await api.order("other")).status_code == 201
        assert not any(task.done() for task in held)
        await settle(engine, "paid")
        answers = await asyncio.gather(*held)
        assert {a.json()["status"] for a in answers} == {"paid"}


async def test_one_waiter_too_many_is_answered_at_once(
    api: Api, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "WAITERS_MAX", 1)
    held = asyncio.create_task(api.http.post("/v1/orders", json=ORDER, headers=prefer("k1", 10)))
    await stored(engine, 1)
    await api.http.post("/v1/orders", json=ORDER, headers=prefer("k2", 10))
    assert not held.done()
    held.cancel()


async def test_stopping_answers_those_who_wait_at_once(settings: Settings, engine: AsyncEngine) -> None:
    start = monotonic()
    async with serve(settings) as api:
        held = asyncio.create_task(api.http.post("/v1/orders", json=ORDER, headers=prefer("k1", 30)))
        await stored(engine, 1)
        api.server.should_exit = True
        answer = await held
    assert (answer.status_code, answer.json()["status"]) == (201, "pending")
    assert monotonic() - start < 29  # before the wished 30 s were over


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"wait=5", 5), (b"wait=0", 0), (b"WAIT = 7", 7), (b'wait="3"', 3), (b"respond-async, wait=4", 4),
        (b"wait=4; x=y, z", 4), (b"wait=99", 30), (b"wait=-1", 0), (b"wait=1.5", 0), (b"wait", 0), (b"await=5", 0),
        (b"wait=x", 0), (b"wait=9999999999999", 0), (b"", 0),
    ],
)  # fmt: skip
def test_a_preference_is_bounded_and_never_an_error(value: bytes, seconds: int) -> None:
    assert wished_s([(b"prefer", value)]) == seconds
