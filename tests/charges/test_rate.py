"""The rate limit of the fleet: one for all workers, and a share of it for each while Redis is away (R7)."""

import asyncio
import time
from typing import Any

import pytest
from redis.asyncio import Redis

from service.ops.embedded import Valkey, free_port
from service.stripe_gateway.pacing import Bucket
from tests.charges.world import World


async def seconds_to_take(buckets: list[Bucket], each: int) -> float:
    """How long the buckets need, all at once, for `each` calls."""

    async def take(bucket: Bucket) -> None:
        left = each
        while left:
            left -= await bucket.take(min(left, 5))

    began = time.monotonic()
    await asyncio.gather(*map(take, buckets))
    return time.monotonic() - began


@pytest.fixture
async def redis(valkey: Valkey, world: World) -> Any:
    client = Redis.from_url(valkey.url)
    yield client
    await client.aclose()


async def test_two_workers_share_one_rate(redis: Redis) -> None:
    buckets = [Bucket(redis, "test", 40) for _ in range(2)]
    # One second's worth at once, the other 20 at 40 a second.
    assert await seconds_to_take(buckets, 30) >= 0.45


async def test_tokens_given_back_can_be_taken_again(redis: Redis) -> None:
    bucket = Bucket(redis, "test", 2)
    assert await bucket.take(5) == 2
    await bucket.give_back(2)
    assert await bucket.take(5) == 2


async def test_a_worker_without_redis_keeps_to_its_share_of_the_rate() -> None:
    nowhere = Redis.from_url(f"redis://127.0.0.1:{free_port()}", socket_connect_timeout=0.1)
    elapsed = await seconds_to_take([Bucket(nowhere, "test", 40)], 8)
    assert elapsed >= 0.7  # a quarter of 40 a second, and nothing saved up
    await nowhere.aclose()


async def test_without_redis_orders_are_still_charged_once(world: World) -> None:
    promises = await world.orders(5)
    alone = await world.worker(redis_url=f"redis://127.0.0.1:{free_port()}", stripe_max_rps=200)
    await world.work(alone)
    await world.assert_charged_once(*promises)


@pytest.mark.slow
async def test_a_batch_beyond_the_rate_is_charged_in_parts_each_with_a_fresh_lease(world: World) -> None:
    promises = await world.orders(12)
    limited = await world.worker(stripe_max_rps=8)
    await world.deliver(*promises, worker=limited)
    opened = await world.all("SELECT DISTINCT created_at FROM charges")
    assert len(opened) > 1
    await world.assert_charged_once(*promises)
