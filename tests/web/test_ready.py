"""`/health/ready` does what an order needs: 503 where a POST is not confirmed, `degraded` where it is not paid."""

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis
from sqlalchemy import make_url, text

from service.foundation.postgres.db import create_engine
from service.foundation.settings import Settings
from service.monitoring import probes
from service.monitoring.heartbeats import SILENT_S, Heart
from service.monitoring.readiness import Readiness, ReadyCheck
from service.ops.embedded import Valkey
from service.orders.why_waiting import Owed, why
from service.stripe_gateway import standstill
from service.stripe_gateway.standstill import Answers, Standstill
from service.web.health import status_of
from tests.web.conftest import Api, serve


def at_rest() -> float:
    """Nothing waits at the door."""
    return 0.0


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[Redis]:
    """The broker, with a relay and a worker that move."""
    async with Redis.from_url(settings.redis_url) as redis:
        await Heart(redis, "relay").beat()
        await Heart(redis, "worker").beat()
        yield redis


async def look(settings: Settings, door: Callable[[], float] = at_rest) -> Readiness:
    """What is found now."""
    readiness = ReadyCheck(settings, door)
    try:
        return await readiness.ask()
    finally:
        await readiness.close()


def name_of(database: str) -> str:
    return database.partition("?")[0].rpartition("/")[2]


async def run(settings: Settings, *statements: str) -> None:
    owner = create_engine(settings, name="owner", as_app=False)
    try:
        async with owner.begin() as connection:
            for statement in statements:
                await connection.execute(text(statement))
    finally:
        await owner.dispose()


async def test_ready_is_ok_where_an_order_can_be_paid(redis: Redis, api: Api) -> None:
    answer = await api.http.get("/health/ready", headers={"Authorization": ""})
    assert (answer.status_code, answer.json()["status"], answer.json()["reasons"]) == (200, "ok", [])
    assert set(answer.json()["checks"].values()) == {"ok"}


# --- a POST would not be confirmed


async def test_another_schema_is_503(api: Api, settings: Settings) -> None:
    await run(settings, "UPDATE alembic_version SET version_num = '9999'")
    answer = await api.http.get("/health/ready")
    assert answer.status_code == 503
    assert "revision" in answer.json()["reasons"][0]


async def test_a_database_that_is_away_is_503_and_named(redis: Redis, settings: Settings) -> None:
    health = await look(replace(settings, database_url="postgresql://nobody@127.0.0.1:9/none"))
    assert status_of(health) == 503
    assert "PostgreSQL" in health.reasons[0]
    assert health.checks["redis"] == "ok", "what else is known is still told"


# What PostgreSQL or the driver names of it.
NAMED = {"nobody listens": "127.0.0.1:9", "no such database": "secret_name", "no rights": "alembic_version"}


@pytest.mark.parametrize("how", NAMED)
async def test_who_asks_without_a_key_is_told_the_kind_and_the_log_has_the_names(
    how: str, redis: Redis, settings: Settings, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    there = database.replace(name_of(database), "secret_name") if how == "no such database" else database
    if how == "nobody listens":
        there = "postgresql://secret_login@127.0.0.1:9/secret_name"
    if how == "no rights":
        await run(settings, "CREATE ROLE secret_login LOGIN PASSWORD 'x'")
        there = make_url(database).set(username="secret_login", password="x").render_as_string(hide_password=False)
    try:
        health = await look(replace(settings, database_url=there))
    finally:
        if how == "no rights":
            await run(settings, "DROP ROLE secret_login")
    assert status_of(health) == 503
    said = str(health)
    assert "PostgreSQL does not store orders" in said
    assert "`eo doctor`" in said
    assert not any(word in said for word in ("secret", "127.0.0.1", "alembic", str(make_url(database).host)))
    (logged,) = [record for record in caplog.records if record.message == "readiness.lost"]
    assert NAMED[how] in str(logged.__dict__["fields"])


async def test_a_read_only_database_is_503_and_says_so(redis: Redis, settings: Settings, database: str) -> None:
    await run(settings, f"ALTER DATABASE {name_of(database)} SET default_transaction_read_only = on")
    health = await look(settings)
    assert status_of(health) == 503
    assert "read-only" in health.reasons[0]


async def test_a_database_that_becomes_read_only_is_503_and_ok_again_afterwards(
    redis: Redis, settings: Settings, database: str
) -> None:
    name = name_of(database)
    readiness = ReadyCheck(settings, at_rest)
    assert (await readiness.ask()).status == "ok"
    await run(settings, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await _end_connections(database, "eo health")
    assert status_of(await _until(readiness, "unavailable")) == 503
    owner = await asyncpg.connect(database, server_settings={"default_transaction_read_only": "off"})
    await owner.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    await owner.close()
    assert status_of(await _until(readiness, "ok")) == 200
    await readiness.close()


async def test_a_commit_that_is_never_confirmed_is_503_and_the_probe_ends(
    redis: Redis, settings: Settings, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "PATIENCE_S", 0.3)
    holder = await asyncpg.connect(database)
    async with holder.transaction():  # as a synchronous standby that is gone holds the row of a commit that waits
        await holder.execute("UPDATE instance SET uuid = uuid")
        assert status_of(await look(settings)) == 503
    monkeypatch.undo()
    assert status_of(await look(settings)) == 200
    await holder.close()


async def test_asking_a_silent_database_often_leaves_few_connections_behind(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[asyncio.StreamWriter] = []

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(writer)

    monkeypatch.setattr(probes, "PATIENCE_S", 0.05)
    server = await asyncio.start_server(silent, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    probe = probes.DatabaseProbe(
        replace(settings, database_url=f"postgresql://nobody@127.0.0.1:{port}/none?sslmode=disable")
    )
    for _ in range(20):
        with pytest.raises(TimeoutError):
            await probe.look()
    assert 0 < len(taken) <= 20
    await probe.close()
    for writer in taken:
        writer.close()
    server.close()


async def test_a_batch_that_waits_at_the_door_is_503(redis: Redis, settings: Settings) -> None:
    health = await look(settings, door=lambda: 7.0)
    assert status_of(health) == 503
    assert "7 s" in health.checks["door"]


# --- orders are accepted, and something keeps them from being paid


async def test_no_redis_is_degraded_and_orders_are_accepted(settings: Settings) -> None:
    async with serve(replace(settings, redis_url="redis://127.0.0.1:9/0")) as without:
        answer = await without.http.get("/health/ready")
        assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
        assert "nobody listens" in answer.json()["checks"]["redis"]
        assert (await without.order("k1")).status_code == 201


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Valkey]:
    """A Redis that a test may spoil."""
    with Valkey(tmp_path / "redis", password=secrets.token_urlsafe(24), persistent=False) as server:
        yield server


REFUSALS = {
    "replica": (("REPLICAOF", "127.0.0.1", "9"), "replica"),
    "maxmemory": (("CONFIG", "SET", "maxmemory", "1"), "maxmemory"),
    "queue of another type": (("SET", "{dramatiq}:charge", "x"), "holds something else"),
    "messages of another type": (("SET", "{dramatiq}:charge.msgs", "x"), "holds something else"),
    "beats of another type": (("SET", "eo:beats", "x"), "holds something else"),
    "no right to write": (("ACL", "SETUSER", "default", "-@write"), "may not do"),
    "no right to our keys": (("ACL", "SETUSER", "default", "resetkeys", "~other:*"), "may not do"),
    "no right to scripts": (("ACL", "SETUSER", "default", "-@scripting"), "may not do"),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_broker_that_takes_no_message_is_degraded(name: str, settings: Settings, own_redis: Valkey) -> None:
    command, expected = REFUSALS[name]
    async with Redis.from_url(own_redis.url) as redis:
        await Heart(redis, "relay").beat()
        await Heart(redis, "worker").beat()
        own = replace(settings, redis_url=own_redis.url)
        assert (await look(own)).status == "ok"
        if name.startswith("beats"):
            await redis.delete("eo:beats")
        await redis.execute_command(*command)  # type: ignore[no-untyped-call]  # the client has no types here
        health = await look(own)
    assert (status_of(health), health.status) == (200, "degraded")
    assert expected in health.checks["redis"]


async def test_a_stripe_that_answers_nothing_is_degraded(redis: Redis, settings: Settings) -> None:
    now = 0.0
    answers = Answers(lambda: now)
    heart = Heart(redis, "worker", answers=answers)
    answers.missed("post", "TimeoutError")
    now += 20
    await heart.beat()
    assert (await look(settings)).checks["stripe"] == "ok"  # one lost answer is none too many
    answers.missed("post", "TimeoutError")
    answers.heard("get")
    now += 20
    await heart.beat()
    health = await look(settings)
    assert health.status == "degraded"
    assert "Stripe has answered no POST for 40 s (TimeoutError)" in health.checks["stripe"]
    assert (
        why(Owed(parked=False, out=False, due_in_s=9, last_error="TimeoutError"), health.checks)[0]
        == (health.checks["stripe"])
    )


@pytest.mark.parametrize("part", ["relay", "worker"])
async def test_a_part_that_is_missing_or_stands_still_is_degraded(part: str, redis: Redis, settings: Settings) -> None:
    await redis.delete("eo:beats")
    await Heart(redis, "worker" if part == "relay" else "relay").beat()
    assert f"Start `eo {part}`" in (await look(settings)).checks[part]
    since = time.monotonic() - SILENT_S - 1
    await Heart(redis, part, lambda: since).beat()
    health = await look(settings)
    assert (health.status, list(health.reasons)) == ("degraded", [health.checks[part]])
    assert "has moved for 11 s" in health.checks[part]


async def test_an_open_breaker_a_parked_order_and_one_that_is_long_due_are_degraded(
    redis: Redis, api: Api, settings: Settings
) -> None:
    for key in ("parked", "due"):
        assert (await api.order(key)).status_code == 201
    await run(
        settings,
        "UPDATE outbox SET parked_at = now() FROM orders o WHERE o.id = order_id AND idempotency_key = 'parked'",
        "UPDATE outbox SET deliver_after = now() - interval '3 minutes' WHERE parked_at IS NULL",
        "INSERT INTO sweeps (kind, swept_until, swept_at) VALUES ('payouts', now(), now() - interval '61 minutes'),"
        " ('disputes', now(), now() - interval '59 minutes')",
    )
    await standstill.announce(redis, Standstill("401 api_key_expired", refused=False), for_s=60)
    health = await look(settings)
    assert (status_of(health), health.status) == (200, "degraded")
    assert "401 api_key_expired" in health.checks["stripe"]
    assert health.checks["parked"].startswith("1 order parked")
    assert health.checks["sweeps"].startswith("Stripe's list of payouts has not been read to its end for 61 min")
    assert re.search(r"\b1[89]\d s\b", health.checks["outbox"]), "three minutes, or what this machine took more"


async def test_many_who_ask_at_once_share_one_look(redis: Redis, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    whole = probes.DatabaseProbe.look

    async def counting(self: probes.DatabaseProbe) -> probes.DatabaseState:
        looks.append(1)
        return await whole(self)

    monkeypatch.setattr(probes.DatabaseProbe, "look", counting)
    answers = await asyncio.gather(*(api.http.get("/health/ready") for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(looks) == 1


async def _until(readiness: ReadyCheck, status: str) -> Readiness:
    async with asyncio.timeout(20):
        while (health := await readiness.ask()).status != status:
            await asyncio.sleep(0.05)
    return health


async def _end_connections(url: str, name: str) -> None:
    connection = await asyncpg.connect(url, server_settings={"default_transaction_read_only": "off"})
    await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", name)
    await connection.close()
