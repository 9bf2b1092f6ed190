"""Over the limit a new order is refused, a replay is not, a flood is; without Redis nobody is."""

import asyncio
from collections import Counter
from dataclasses import replace
from itertools import count
from time import monotonic
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.accounts import Caller, create_key
from service.foundation.errors import TooManyRequests
from service.foundation.redis_clients import async_client
from service.foundation.settings import Settings
from service.web.ratelimit import RateLimit
from tests.operators import OPERATOR
from tests.web.conftest import ORDER, Api, assert_problem, serve

pytestmark = pytest.mark.slow


async def test_over_the_limit_is_429_with_the_time_to_come_back(with_rate_limit: Settings) -> None:
    async with serve(with_rate_limit) as api:
        answers = await asyncio.gather(*(api.order(f"k{i}") for i in range(20)))
        statuses = Counter(a.status_code for a in answers)
        assert set(statuses) == {201, 429}
        assert statuses[201] >= 5
        refused = next(a for a in answers if a.status_code == 429)
        assert_problem(refused, 429, "rate-limited")
        await asyncio.sleep(int(refused.headers["retry-after"]))
        assert (await api.order("later")).status_code == 201


async def test_a_replay_is_answered_over_the_limit_and_a_reused_key_still_told(
    with_rate_limit: Settings,
) -> None:
    async with serve(with_rate_limit) as api:
        await api.order("k")
        await _spend(api)
        replay = await api.order("k")
        assert (replay.status_code, replay.headers["idempotent-replayed"]) == (201, "true")
        await _spend(api)
        assert_problem(await api.order("k", amount=2999), 422)


async def test_a_flood_of_replays_is_refused(with_rate_limit: Settings) -> None:
    async with serve(replace(with_rate_limit, rate_limit_rps=1)) as api:
        await api.order("k")
        answers = await asyncio.gather(*(api.order("k") for _ in range(100)))
        statuses = Counter(a.status_code for a in answers)
        assert statuses[201] >= 9
        assert statuses[429] >= 1


async def test_reads_count_and_a_batch_counts_its_orders(with_rate_limit: Settings) -> None:
    async with serve(with_rate_limit) as api:
        items = [{"idempotency_key": f"k{i}", **ORDER} for i in range(15)]
        assert (await api.http.post("/v1/orders/batch", json={"orders": items})).status_code == 200
        answer = await api.http.get("/v1/orders")
        assert_problem(answer, 429)
        assert int(answer.headers["retry-after"]) >= 2


async def test_a_batch_that_repeats_orders_is_a_replay_and_costs_nobody_the_limit(with_rate_limit: Settings) -> None:
    async with serve(with_rate_limit) as api:
        items = [{"idempotency_key": f"k{i}", **ORDER} for i in range(1_000)]
        assert (await api.http.post("/v1/orders/batch", json={"orders": items})).status_code == 200
        for _ in range(2):
            again = await api.http.post("/v1/orders/batch", json={"orders": items})
            assert again.status_code == 200, "the limit refuses new orders, and there is none"
            assert all(result["replayed"] for result in again.json()["results"])
        replay = await api.order("k7")
        assert (replay.status_code, replay.headers["idempotent-replayed"]) == (201, "true")
        more = [*items[:5], {"idempotency_key": "new", **ORDER}]
        assert_problem(await api.http.post("/v1/orders/batch", json={"orders": more}), 429)


async def test_a_flood_of_batches_is_refused(with_rate_limit: Settings) -> None:
    async with serve(replace(with_rate_limit, rate_limit_rps=1)) as api:
        items = [{"idempotency_key": f"k{i}", **ORDER} for i in range(200)]
        batches = (api.http.post("/v1/orders/batch", json={"orders": items}) for _ in range(20))
        assert Counter(a.status_code for a in await asyncio.gather(*batches))[429] >= 1


async def test_one_keys_limit_is_not_anothers(with_rate_limit: Settings, engine: AsyncEngine) -> None:
    async with serve(with_rate_limit) as api:
        _, key = await create_key(engine, "shop", who=OPERATOR)
        await asyncio.gather(*(api.order(f"k{i}") for i in range(20)))
        answer = await api.http.get("/v1/orders", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 200


async def test_the_limit_is_one_for_all_processes(with_rate_limit: Settings) -> None:
    async with serve(with_rate_limit) as one, serve(with_rate_limit) as two:
        start = monotonic()
        answers = await asyncio.gather(*((one, two)[i % 2].order(f"k{i}") for i in range(30)))
        allowed = 5 + 5 * (monotonic() - start) + 1
        assert Counter(a.status_code for a in answers)[201] <= allowed


async def test_what_a_key_has_cost_one_process_another_knows(settings: Settings) -> None:
    redis = async_client(settings.redis_url, connections=1)
    one, two = RateLimit(redis, rps=1), RateLimit(redis, rps=1)
    mine, other = (Caller(uuid4(), key_id, frozenset(), None) for key_id in ("mine", "other"))
    await one.admit(mine, cost=3_600)  # of an hour
    with pytest.raises(TooManyRequests):
        await two.admit(mine)
    await two.admit(other)
    await redis.aclose()


async def test_without_redis_everybody_passes(with_rate_limit: Settings) -> None:
    async with serve(replace(with_rate_limit, redis_url="redis://127.0.0.1:9/0")) as api:
        answers = await asyncio.gather(*(api.order(f"k{i}") for i in range(30)))
        assert {a.status_code for a in answers} == {201}


async def _spend(api: Api) -> None:
    """New orders until the limit refuses one."""
    numbers = count()
    async with asyncio.timeout(10):
        while (await api.order(f"{monotonic()}-{next(numbers)}")).status_code != 429:
            pass
