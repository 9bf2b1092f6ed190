"""Signs of life: who moves is seen, who stands still is missed, and a health check tells one from the other."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from service.foundation import exit_codes
from service.foundation.settings import Settings
from service.monitoring import heartbeats
from service.monitoring.heartbeats import SILENT_S, Heart
from service.ops import healthy


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[Redis]:
    async with Redis.from_url(settings.redis_url) as redis:
        yield redis


async def judged(part: str, settings: Settings) -> tuple[int, str]:
    return await asyncio.to_thread(healthy.judge, part, settings)


async def test_a_process_that_moves_is_healthy(redis: Redis, settings: Settings) -> None:
    await Heart(redis, "worker").beat()
    assert (await judged("worker", settings))[0] == exit_codes.OK
    assert [beat.process.part for beat in await heartbeats.read(redis)] == ["worker"]


async def test_one_whose_work_stands_still_beats_in_vain(redis: Redis, settings: Settings) -> None:
    stuck_since = time.monotonic() - SILENT_S - 5
    await Heart(redis, "relay", lambda: stuck_since).beat()
    code, words = await judged("relay", settings)
    assert code == exit_codes.FOUND
    assert "has not moved for 15 s" in words
    assert [beat.is_alive for beat in await heartbeats.read(redis)] == [False]


async def test_one_that_can_but_wait_is_not_restarted(
    redis: Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch, full_redis: None
) -> None:
    stuck_since = time.monotonic() - SILENT_S - 5
    await redis.config_set("maxmemory", 0)
    await Heart(redis, "relay", lambda: stuck_since).beat()
    monkeypatch.setattr(healthy, "running", lambda _part: {os.getpid(): "S"})
    away = replace(settings, database_url="postgresql://me@127.0.0.1:9/none")
    code, words = await judged("relay", away)
    assert (code, "it waits. PostgreSQL cannot be reached" in words) == (exit_codes.OK, True)
    await redis.config_set("maxmemory", 1)
    code, words = await judged("relay", settings)
    assert (code, "it waits. Nothing can be published" in words) == (exit_codes.OK, True)
    monkeypatch.setattr(healthy, "running", lambda _part: {os.getpid(): "T"})
    assert (await judged("relay", settings))[0] == exit_codes.FOUND


async def test_one_that_ended_on_purpose_is_not_missed(redis: Redis) -> None:
    heart = Heart(redis, "api")
    await heart.beat()
    await heart.end()
    assert await heartbeats.read(redis) == []


async def test_where_none_runs_the_check_says_how_to_start_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(healthy, "running", lambda _part: {})
    code, words = await judged("relay", settings)
    assert code == exit_codes.AWAY
    assert "eo relay" in words
    code, words = await judged("api", settings)
    assert code == exit_codes.AWAY
    assert "eo api" in words


async def test_without_redis_the_kernel_is_asked(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    away = replace(settings, redis_url="redis://127.0.0.1:9/0")
    monkeypatch.setattr(healthy, "running", lambda _part: {41: "S", 42: "T"})
    code, words = await judged("worker", away)
    assert code == exit_codes.FOUND
    assert "42 is stopped" in words
    monkeypatch.setattr(healthy, "running", lambda _part: {41: "S"})
    assert (await judged("worker", away))[0] == exit_codes.OK


async def test_a_beat_that_nobody_can_read_is_none(redis: Redis) -> None:
    await redis.zadd("eo:beats", {"not ours": time.time()})
    assert await heartbeats.read(redis) == []
