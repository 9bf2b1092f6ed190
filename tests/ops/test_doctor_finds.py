"""Each check of `eo doctor` is wrong where what it looks at is wrong, says the next command, and changes nothing."""

import asyncio
import resource
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.effects.request import STRIPE_VERSION
from service.foundation.settings import Settings
from service.ops.doctor import host, keys, postgres, redis, stripe
from service.ops.doctor.check import Check, clock
from service.ops.embedded import Valkey
from service.stripe_gateway import paths
from service.stripe_gateway.events import EVENT_TYPES
from tests.charges.world import Books
from tests.sandbox.process import SandboxProcess

pytestmark = pytest.mark.slow

_AWAY_S = 60.0


def wrong(checks: list[Check]) -> dict[str, str]:
    """What is wrong, by its name; each says what to do."""
    found = [check for check in checks if not check.ok]
    assert all(check.next_step for check in found)
    return {check.name: check.said for check in found}


async def said(engine: AsyncEngine) -> dict[str, str]:
    return wrong([*await postgres.of_the_rows(engine), await keys.check(engine)])


async def test_clocks_that_differ_are_named_and_a_slow_answer_is_not(
    engine: AsyncEngine, settings: Settings, sandbox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time

    async def now() -> float:
        return real()

    moments = iter([real() - 20, real() + 20])
    monkeypatch.setattr("service.ops.doctor.check.time.time", lambda: next(moments))
    assert (await clock("anybody", now)).ok
    for away in (_AWAY_S, -_AWAY_S):
        monkeypatch.setattr("service.ops.doctor.check.time.time", lambda away=away: real() + away)
        found = wrong([await clock("postgres", lambda: postgres._now(engine))])
        found |= wrong(await redis.checks(settings))
        found |= wrong(await stripe.checks(replace(settings, stripe_api_base=sandbox)))
        assert found.keys() == {"clock of postgres", "clock of redis", "clock of stripe"}
        assert found["clock of postgres"].startswith("is 60 s away")


async def test_an_outbox_that_nobody_vacuums_is_named(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = Books(engine, settings)
    assert await said(engine) == {}
    await books.orders(20)
    await books.run("DELETE FROM outbox")
    monkeypatch.setattr(postgres, "DEAD_ROWS_MAX", 10)
    while not (found := await said(engine)):  # PostgreSQL tells its statistics after a moment
        await asyncio.sleep(0.1)
    assert "20 dead rows in the outbox beside 0" in found["autovacuum"]
    owner = await asyncpg.connect(settings.database_url)
    await owner.execute("ALTER TABLE outbox SET (autovacuum_enabled = false)")
    await owner.close()
    assert "is off for the outbox" in (await said(engine))["autovacuum"]


async def test_what_waits_too_long_is_named(engine: AsyncEngine, settings: Settings) -> None:
    books = Books(engine, settings)
    await books.orders(2)
    assert await said(engine) == {}
    await books.run("UPDATE outbox SET deliver_after = now() - interval '6 minutes 2 seconds'")
    assert "due for 6 min" in (await said(engine))["backlog"]
    await books.run("UPDATE outbox SET parked_at = now()")
    assert await said(engine) == {}


async def test_a_reconciliation_that_nobody_runs_is_named(engine: AsyncEngine, settings: Settings) -> None:
    books = Books(engine, settings)
    await books.run("UPDATE instance SET created_at = now() - interval '2 days'")
    assert (await said(engine))["reconciliation"].startswith("was not run in the 2 d")
    await books.run("""
        INSERT INTO reconciliation_runs (id, started_at, finished_at, window_start, window_end, source, verdict)
        SELECT gen_random_uuid(), at, at, at, at, 'api', verdict FROM (VALUES
          (now() - interval '25 hours', 'clean'), (now() - interval '1 hour', 'incomplete')) AS v (at, verdict)""")
    assert "1 d 1 h ago" in (await said(engine))["reconciliation"]
    await books.run("UPDATE reconciliation_runs SET verdict = 'discrepancies', finished_at = now()")
    assert await said(engine) == {}


async def test_a_key_that_ends_soon_is_named_and_one_that_was_rolled_is_not(
    engine: AsyncEngine, settings: Settings
) -> None:
    make = """
        INSERT INTO api_keys (id, account_id, hmac, last4, expires_at, replaces)
        SELECT '%s', id, decode(md5('%s'), 'hex'), 'last', now() + interval '%s days', %s
          FROM accounts WHERE is_default"""
    books = Books(engine, settings)
    await books.run(make % ("old", "old", 13, "NULL"))
    await books.run(make % ("far", "far", 15, "NULL"))
    assert (await said(engine))["api keys"].startswith("old of default ends on 20")
    await books.run(make % ("new", "new", 90, "'old'"))
    assert await said(engine) == {}


async def test_a_redis_that_throws_messages_away_is_named(settings: Settings, valkey: Valkey) -> None:
    assert wrong(await redis.checks(settings)) == {}
    valkey.command("CONFIG SET maxmemory-policy allkeys-lru")
    try:
        found = wrong(await redis.checks(settings))
    finally:
        valkey.command("CONFIG SET maxmemory-policy noeviction")
    assert found.keys() == {"redis memory"}
    assert "allkeys-lru" in found["redis memory"]


def test_a_disk_without_room_and_too_few_descriptors_are_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.data_dir.mkdir(mode=0o700)
    assert wrong(host.checks(settings, {})) == {}
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**9))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 100))
    found = wrong(host.checks(settings, {}))
    assert found.keys() == {"disk", "open files"}
    assert found["disk"].startswith("only 0.9 GiB are free")
    assert found["open files"].startswith("100 at most, and a process needs")


def test_files_that_others_can_read_are_named(settings: Settings) -> None:
    folder = settings.data_dir
    (folder / "log").mkdir(parents=True, mode=0o700)
    folder.chmod(0o700)
    for name in ("secrets.json", "log/api.log"):
        (folder / name).touch(mode=0o600)
    assert wrong(host.checks(settings, {})) == {}
    for name, mode in (("", 0o750), ("secrets.json", 0o640), ("log/api.log", 0o604)):
        path = folder / name
        before = path.stat().st_mode
        path.chmod(mode)
        assert str(path) in wrong(host.checks(settings, {}))["private files"]
        path.chmod(before)
    assert wrong(host.checks(settings, {})) == {}


def test_a_setting_that_nobody_knows_and_a_console_for_a_network_are_named(settings: Settings) -> None:
    found = wrong(host.checks(replace(settings, console=True, host="0.0.0.0"), {"EO_DB_POOOL": "3"}))  # noqa: S104
    assert found.keys() == {"environment", "console"}
    assert "Did you mean EO_DB_POOL?" in found["environment"]
    assert "EO_CONSOLE_ORIGIN" in found["console"]
    served = replace(settings, console=True, host="0.0.0.0", console_origin="https://pay.example.com")  # noqa: S104
    assert wrong(host.checks(served, {"EO_DB_POOL": "3"})) == {}


@pytest.fixture
def stripe_at(tmp_path: Path) -> Iterator[SandboxProcess]:
    """A Stripe of this test's own: endpoints and faults stay in it."""
    process = SandboxProcess(tmp_path / "stripe.sqlite3").start()
    yield process
    process.kill()


async def test_an_endpoint_that_is_not_sent_what_is_needed_is_named(
    settings: Settings, stripe_at: SandboxProcess
) -> None:
    secrets = f"whsec_{'1' * 32},whsec_{'2' * 32}"
    hearing = replace(settings, stripe_api_base=stripe_at.base, stripe_webhook_secret=secrets)
    key = {"Authorization": f"Bearer {settings.stripe_api_key}", "Stripe-Version": STRIPE_VERSION}

    async def check(name: str = "webhook endpoint") -> Check:
        return next(check for check in await stripe.checks(hearing) if check.name == name)

    async def post(path: str, form: list[tuple[str, str]], **body: Any) -> str:
        """The id of what was made or changed."""
        async with (
            aiohttp.ClientSession(stripe_at.base, headers=key) as session,
            session.post(path, data=form or None, json=body or None) as answer,
        ):
            assert answer.status == 200, await answer.text()
            return str((await answer.json())["id"])

    assert (await check("webhooks")).said == "are on, with 2 secrets"
    assert "Stripe has none at /v1/stripe/events" in (await check()).said
    types = [("enabled_events[]", name) for name in EVENT_TYPES]
    await post(paths.WEBHOOK_ENDPOINTS, [("url", "https://shop.example.com/hooks"), *types])
    assert "Stripe has none" in (await check()).said
    url = "https://pay.example.com/v1/stripe/events"
    one = f"{paths.WEBHOOK_ENDPOINTS}/{await post(paths.WEBHOOK_ENDPOINTS, [('url', url), *types[:-1]])}"
    found = await check()
    assert (found.ok, found.said) == (False, f"{url} is not sent {EVENT_TYPES[-1]}")
    await post(one, [("disabled", "true"), *types])
    assert (await check()).said == f"{url} is disabled at Stripe"
    thin = {"name": "x", "type": "webhook_endpoint", "event_payload": "thin", "webhook_endpoint": {"url": url}}
    await post(paths.EVENT_DESTINATIONS, [], **thin, enabled_events=[f"v1.{name}" for name in EVENT_TYPES])
    assert (await check()).ok
    await post(one, [("disabled", "false"), ("enabled_events[]", "*")])
    assert wrong(await stripe.checks(hearing)) == {}


async def test_a_key_that_may_not_do_everything_is_named(settings: Settings, stripe_at: SandboxProcess) -> None:
    stripe_at.control("POST", "strict", {"rules": ["restricted_keys"]})
    stripe_at.faults({"fault": "forbidden_403", "method": "GET", "path": "^/v1/charges$", "permission": ""})
    restricted = replace(settings, stripe_api_base=stripe_at.base, stripe_api_key="rk_test_0123456789abcdef")
    assert wrong(await stripe.checks(restricted)) == {"stripe permissions": "GET /v1/charges needs charge_write"}
