"""`eo doctor` names what keeps an installation from working; its sum of connections is what processes really hold."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres import db, pools
from service.foundation.settings import Settings
from service.ops.announcement import version_of
from service.ops.doctor.check import Check
from service.ops.doctor.examination import examine
from service.ops.embedded import postgres_programs
from service.web.resources import make_resources
from tests.ops.test_cli import eo
from workers import relay as relay_process

ONE_EACH = {"api": 1, "relay": 1, "worker": 1}


def named(checks: list[Check], name: str) -> Check:
    return next(check for check in checks if check.name.startswith(name))


async def test_where_everything_works_every_check_says_so(settings: Settings, sandbox: str) -> None:
    checks, sum_ = await examine(replace(settings, stripe_api_base=sandbox), ONE_EACH)
    assert [check for check in checks if not check.ok] == []
    assert named(checks, "postgres").said == f"answers, PostgreSQL {version_of(postgres_programs(18) / 'postgres')}"
    assert [check.name for check in checks][1:] == [
        *("sessions", "durability", "schema", "writes", "standby", "connections", "clock of postgres"),
        *("autovacuum", "backlog", "reconciliation", "api keys"),
        *("redis", "clock of redis", "redis memory", "redis persistence"),
        *("stripe", "stripe permissions", "clock of stripe", "webhooks", "environment", "open files", "console"),
    ]
    assert named(checks, "webhooks").said.startswith("are off, as STRIPE_WEBHOOK_SECRET is not set")
    assert "publishes again what the outbox holds" in named(checks, "redis persistence").said
    assert sum_ is not None
    assert sum_.needed == 14 + 5 + 10 + pools.COMMAND


async def test_what_is_read_and_takes_no_writes_is_wrong(
    settings: Settings, admin: Callable[[str], object], sandbox: str, full_redis: None
) -> None:
    name = urlsplit(settings.database_url).path[1:]
    await asyncio.to_thread(admin, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    checks, _ = await examine(replace(settings, stripe_api_base=sandbox), ONE_EACH)
    wrong = {check.name: check.said for check in checks if not check.ok}
    assert wrong.keys() == {"writes", "redis"}
    assert "read-only" in wrong["writes"]
    assert "maxmemory" in wrong["redis"]


async def test_too_few_connections_for_the_fleet_are_named_with_the_sum(
    settings: Settings, admin: Callable[[str], object]
) -> None:
    name = urlsplit(settings.database_url).path[1:]
    await asyncio.to_thread(admin, f"ALTER DATABASE {name} CONNECTION LIMIT 97")
    checks, _ = await examine(settings, {"api": 4, "relay": 3, "worker": 6})
    check = named(checks, "connections")
    assert not check.ok
    assert "4 api × 14 + 3 relay × 5 + 6 worker × 10 + 2 for commands = 133" in check.said
    assert "of 97 (the database's connection limit)" in check.said
    assert "EO_DB_POOL" in check.next_step


async def test_what_is_away_is_named_once_with_its_reason(settings: Settings) -> None:
    away = replace(
        settings, database_url="postgresql://eo:secret-word@127.0.0.1:9/orders", redis_url="redis://127.0.0.1:9"
    )
    checks, sum_ = await examine(away, ONE_EACH)
    assert sum_ is None
    assert [check.name for check in checks if not check.ok] == ["postgres 127.0.0.1:9", "redis", "stripe"]
    for check in checks:
        assert check.said
        assert "secret-word" not in check.said
        assert check.next_step or check.ok


def test_the_command_ends_with_1_where_something_is_wrong_and_prints_json() -> None:
    away = {"DATABASE_URL": "postgresql://eo@127.0.0.1:9/orders", "REDIS_URL": "redis://127.0.0.1:9"}
    done = eo("doctor", "--json", **away, STRIPE_API_KEY="sk_test_" + "0" * 24, STRIPE_API_BASE="http://127.0.0.1:9")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert (found["schema_version"], found["healthy"]) == (1, False)
    assert "Traceback" not in done.stderr


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all pools that are made."""
    found: list[int] = []
    real = db.bare_engine

    def recorded(*args: Any, **more: Any) -> AsyncEngine:
        found.append(more["pool_size"])
        return real(*args, **more)

    monkeypatch.setattr(db, "bare_engine", recorded)
    return found


async def test_an_api_process_holds_what_the_formula_says(settings: Settings, sizes: list[int]) -> None:
    settings = replace(settings, db_pool=3, door_writers=5)
    resources = make_resources(settings)
    assert sum(sizes) == pools.per_process(settings)["api"]
    await resources.group_commit.close()
    await db.close(resources.engine)


async def test_a_relay_process_holds_what_the_formula_says(settings: Settings, sizes: list[int]) -> None:
    async with AsyncExitStack() as stack:
        relay_process.engines(settings, stack)
        assert sum(sizes) == pools.per_process(settings)["relay"]
