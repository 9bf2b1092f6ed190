"""`eo status`: which processes move, how often they were restarted, what waits and why nothing is sent."""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.settings import Settings
from service.monitoring.heartbeats import SILENT_S, Heart
from service.monitoring.overview import overview
from service.ops.kinds import PARTS
from service.ops.status import Status, uptime_s
from service.ops.status_text import lines, rows, span
from service.stripe_gateway import standstill
from service.stripe_gateway.standstill import Standstill
from tests.charges.world import Books


async def test_the_fleet_is_seen_with_its_outbox_and_its_breaker(engine: AsyncEngine, settings: Settings) -> None:
    books = Books(engine, settings)
    await books.orders(3)
    await books.run("UPDATE outbox SET parked_at = now() WHERE id = (SELECT max(id::text)::uuid FROM outbox)")
    since = time.monotonic() - SILENT_S - 30
    async with Redis.from_url(settings.redis_url) as redis:
        await Heart(redis, "relay").beat()
        await Heart(redis, "worker", lambda: since).beat()
        await standstill.announce(redis, Standstill("401 api_key_expired", refused=False), for_s=60)
    seen = await asyncio.to_thread(overview, settings)
    found = Status(
        running=True, pid=1, parts=dict.fromkeys(PARTS) | {"worker": os.getpid()}, addresses={}, ready="degraded",
        reasons=("Nothing is sent.",), uptimes_s={"worker": 3_700.0}, restarts={"worker": 4}, fleet=seen,
    )  # fmt: skip
    table = {row["part"]: row for row in rows(found)[: len(PARTS)]}
    assert table["worker"]["moved"].endswith("ago, silent")
    assert (table["worker"]["up"], table["worker"]["restarts"]) == ("1 h 1 min", 4)
    assert "on" not in str(table["worker"]["pid"])
    said = "\n".join(lines(found))
    assert "outbox: 2 wait, the oldest for" in said
    assert "1 parked" in said
    assert "breaker: open, nothing is sent (401 api_key_expired)" in said
    assert "ready: degraded\nNothing is sent." in said
    as_json = found.as_dict()["fleet"]
    assert isinstance(as_json, dict)
    assert {process["part"]: process["moves"] for process in as_json["processes"]} == {"relay": True, "worker": False}
    assert (as_json["outbox"]["waiting"], as_json["outbox"]["parked"]) == (2, 1)


def test_what_cannot_be_asked_is_named_without_its_password(settings: Settings) -> None:
    away = replace(
        settings, database_url="postgresql://me:geheim@127.0.0.1:9/none", redis_url="redis://:geheim@127.0.0.1:9/0"
    )
    seen = overview(away)
    assert [words.partition(" ")[0] for words in seen.unknown] == ["Redis", "PostgreSQL"]
    assert "nobody listens" in seen.unknown[0]
    assert "geheim" not in str(seen.as_dict())


async def test_servers_that_are_read_and_take_no_writes_are_named(
    engine: AsyncEngine, settings: Settings, admin: Callable[[str], object], full_redis: None
) -> None:
    await Books(engine, settings).orders(2)
    name = urlsplit(settings.database_url).path[1:]
    await asyncio.to_thread(admin, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    seen = await asyncio.to_thread(overview, settings)
    assert seen.outbox is not None
    assert seen.outbox.waiting == 2
    assert [next(word for word in ("maxmemory", "read-only") if word in said) for said in seen.unknown] == [
        *("maxmemory", "read-only")
    ]


def test_a_breaker_that_nobody_can_ask_is_not_called_closed(settings: Settings) -> None:
    seen = overview(replace(settings, redis_url="redis://127.0.0.1:9/0"))
    found = Status(running=False, pid=None, parts=dict.fromkeys(PARTS), addresses={}, fleet=seen)
    assert "breaker: not known" in list(lines(found))


def test_a_process_has_an_uptime() -> None:
    assert 0 < uptime_s(os.getpid()) < 10**7
    assert uptime_s(2**30) == 0


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (7_260, "2 h 1 min"), (180_000, "2 d 2 h")]
)
def test_times_are_told_in_two_units(seconds: float, words: str) -> None:
    assert span(seconds) == words
