"""Limits over the fleet, as Redis counts them."""

from collections.abc import AsyncIterator

import pytest

from service.foundation.buckets import Bucket, Buckets
from service.foundation.redis_clients import async_client
from service.foundation.settings import Settings

HOUR_MS = 3_600_000.0  # bursts end between two, so that what comes back meanwhile decides nothing


@pytest.fixture
async def buckets(settings: Settings) -> AsyncIterator[Buckets]:
    """At the Redis of this test."""
    redis = async_client(settings.redis_url, connections=1)
    yield Buckets(redis, "test")
    await redis.aclose()


async def test_a_bucket_admits_its_burst_and_then_says_when_it_does_again(buckets: Buckets) -> None:
    bucket = Bucket("eo:{b}:one", HOUR_MS, 2.5 * HOUR_MS)
    assert [await buckets.take([bucket]) for _ in range(3)] == [[0]] * 3
    (wait_ms,) = await buckets.take([bucket]) or [0]
    assert 0 < wait_ms <= HOUR_MS + 1
    assert await buckets.take([bucket._replace(key="eo:{b}:other")]) == [0]


async def test_a_bucket_behind_one_that_refuses_pays_nothing(buckets: Buckets) -> None:
    full, behind = Bucket("eo:{b}:full", HOUR_MS, 1.0), Bucket("eo:{b}:behind", HOUR_MS, 1.5 * HOUR_MS)
    assert await buckets.take([full, behind]) == [0, 0]
    for _ in range(5):
        refused, untouched = await buckets.take([full, behind]) or [0, 0]
        assert refused > 0
        assert untouched == 0
    assert await buckets.take([behind]) == [0], "the second of its two"
    assert await buckets.take([behind]) != [0]


async def test_what_costs_more_fills_more_and_is_admitted_whole(buckets: Buckets) -> None:
    bucket = Bucket("eo:{b}:batch", HOUR_MS, HOUR_MS, cost=10)
    assert await buckets.take([bucket]) == [0]
    (wait_ms,) = await buckets.take([bucket._replace(cost=1)]) or [0]
    assert 8 * HOUR_MS < wait_ms <= 9 * HOUR_MS + 1
