"""Connections that fall silent for good, and commits that nobody confirms: everybody is told in time (R34)."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import count
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service import accounts
from service.accounts.keys import ApiKeys
from service.foundation import deadlines
from service.foundation.errors import NotConfirmed, Unauthorized, Unavailable
from service.foundation.postgres import durability
from service.foundation.postgres.db import close, create_engine
from service.foundation.postgres.migrate import upgrade
from service.foundation.postgres.sql import Statement, connect
from service.foundation.settings import Settings
from service.ledger import rollup
from service.ops.embedded import PG_PORT, Postgres
from service.orders import group_commit
from service.orders.group_commit import GroupCommit
from service.orders.model import OrderRequest
from service.orders.store import Candidate, Placed
from service.outbox import wakeup
from tests.chaos.proxy import Wires
from tests.web.afterwards import ask
from tests.web.conftest import assert_problem, serve

pytestmark = pytest.mark.slow

BOUND_S = 1.0  # instead of the real bounds, so that nobody waits for them
PID = Statement("SELECT pg_backend_pid() AS pid")


@pytest.fixture
def short_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((group_commit, "DOOR_BATCH_S"), (accounts.keys, "KEY_CHECK_S"), (wakeup, "LISTENER_ASKED_S")):
        monkeypatch.setattr(module, name, BOUND_S)
    monkeypatch.setattr(accounts.keys, "CACHE_S", 0.0)  # every request asks for its key


@pytest.fixture
def wires() -> Iterator[Wires]:
    wires = Wires(seed=1)
    yield wires
    wires.end()


@pytest.fixture
def wired(settings: Settings, wires: Wires, postgres: Postgres) -> Settings:
    """The test's database, over a wire called `postgres` that may fall silent."""
    port = wires.add_tcp("postgres", postgres.sockets / f".s.PGSQL.{PG_PORT}")
    there = urlsplit(settings.database_url)
    return replace(settings, database_url=f"postgresql://{there.netloc}127.0.0.1:{port}{there.path}")


def candidate(key: str) -> Candidate:
    return Candidate.of(ACCOUNT, key, OrderRequest(1999, "usd", "pm_card_visa"))


ACCOUNT = uuid4()


@pytest.mark.usefixtures("short_bounds")
async def test_silent_connections_are_503_in_time_and_the_repeat_is_stored(wired: Settings, wires: Wires) -> None:
    async with asyncio.timeout(20), serve(wired) as api:
        await asyncio.gather(*(api.order(f"before-{i}") for i in range(8)))
        wires.silence("postgres")
        for answer in await asyncio.gather(*(api.order(f"k{i}") for i in range(8))):
            if answer.status_code != 201:  # the first to notice speaks for all: some were given a new connection
                assert_problem(answer, 503)
        for i in range(8):
            while (await api.order(f"k{i}")).status_code != 201:
                await asyncio.sleep(0.1)


async def test_one_silent_connection_holds_the_requests_of_its_key_for_a_bounded_time(
    wired: Settings, wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts.keys, "KEY_CHECK_S", BOUND_S)
    engine = create_engine(wired, name="keys", statement_s=600)  # the bound of a statement is not the one in question
    keys = ApiKeys(engine)
    first, headers = ([(b"authorization", b"Bearer eo_test_unknown_to_us_" + name)] for name in (b"1", b"2"))
    with suppress(Unauthorized):
        await keys.caller(first)
    wires.silence("postgres")
    async with asyncio.timeout(30):
        together = await asyncio.gather(*(keys.caller(headers) for _ in range(20)), return_exceptions=True)
        assert {type(error) for error in together} == {Unavailable}
        while not isinstance((await asyncio.gather(keys.caller(headers), return_exceptions=True))[0], Unauthorized):
            await asyncio.sleep(0.1)
    await close(engine)


async def test_a_statement_that_missed_its_deadline_is_given_up_without_a_cancel_request(wired: Settings) -> None:
    """Its connection is thrown away; the server notices by itself that nobody waits any more."""
    engine = create_engine(wired, name="given up", pool=1, statement_s=BOUND_S, session={"statement_timeout": "60s"})
    async with connect(engine) as connection:
        pid = (await connection.column(PID, {}))[0]
        with pytest.raises(TimeoutError):
            await connection.rows(Statement("SELECT pg_sleep(60)"), {})
    async with connect(engine) as connection:
        assert (await connection.column(PID, {}))[0] != pid
        running = Statement("SELECT count(*) FROM pg_stat_activity WHERE pid = CAST(:pid AS int)")
        async with asyncio.timeout(60):
            while (await connection.column(running, {"pid": pid}))[0]:
                await asyncio.sleep(0.1)
    await close(engine)


async def test_a_canceled_task_sends_no_cancel_request_and_leaves_no_connection(wired: Settings) -> None:
    engine = create_engine(wired, name="left", pool=1)
    async with connect(engine) as connection:
        pid = (await connection.column(PID, {}))[0]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(BOUND_S), engine.connect() as cold:
            await cold.exec_driver_sql("SELECT pg_sleep(60)")
    async with connect(engine) as connection:
        assert (await connection.column(PID, {}))[0] != pid
    await close(engine)


async def test_closing_a_silent_pool_is_bounded(wired: Settings, wires: Wires) -> None:
    engine = create_engine(wired, name="closing")
    await asyncio.gather(*(_sleep_briefly(engine) for _ in range(8)))
    wires.silence("postgres")
    async with asyncio.timeout(deadlines.CLOSE_S + 5):
        await close(engine)


async def _sleep_briefly(engine: AsyncEngine) -> None:
    async with connect(engine) as connection:
        await connection.rows(Statement("SELECT pg_sleep(0.05)"), {})


async def test_a_listener_that_is_asked_again_and_again_goes_on_hearing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeup, "LISTENER_ASKED_S", 0.01)
    engine = create_engine(settings, name="listener", pool=2)
    woken, stop = asyncio.Event(), asyncio.Event()
    async with asyncio.timeout(60), engine.connect() as connection:
        listening = asyncio.create_task(wakeup.listen(connection, {wakeup.CHANNEL: woken}, stop))
        await asyncio.sleep(0.2)
        while not woken.is_set():
            await _notify(engine)
        stop.set()
        await listening
    await close(engine)


async def _notify(engine: AsyncEngine) -> None:
    async with connect(engine) as other:
        await other.rows(Statement(f"NOTIFY {wakeup.CHANNEL}"), {})


@pytest.mark.usefixtures("short_bounds")
async def test_a_listener_whose_connection_is_silent_is_told(wired: Settings, wires: Wires) -> None:
    engine = create_engine(wired, name="listener", pool=1, statement_s=BOUND_S)
    async with asyncio.timeout(60), engine.connect() as connection:
        listening = asyncio.create_task(wakeup.listen(connection, {wakeup.CHANNEL: asyncio.Event()}, asyncio.Event()))
        await asyncio.sleep(BOUND_S / 2)
        wires.silence("postgres")
        with pytest.raises(TimeoutError):
            await listening
        await connection.invalidate()
    await close(engine)


@pytest.fixture(scope="module")
def own_server(servers_folder: object) -> Iterator[Postgres]:
    """A server whose settings the tests of this module may change."""
    from pathlib import Path

    assert isinstance(servers_folder, Path)
    server = Postgres(servers_folder / "silence")
    del server._settings["fsync"]  # what the command line says nobody can change
    with server:
        upgrade(server.url)
        yield server


@pytest.fixture
async def admin_of_own(own_server: Postgres) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(own_server.url)
    await connection.execute("SET synchronous_commit = local")
    yield connection
    for name in ("synchronous_standby_names", "fsync"):
        await connection.execute(f"ALTER SYSTEM RESET {name}")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()


async def _change(admin: asyncpg.Connection, name: str, value: str) -> None:
    await admin.execute(f"ALTER SYSTEM SET {name} = '{value}'")
    await admin.execute("SELECT pg_reload_conf()")
    async with asyncio.timeout(60):
        while (await admin.fetchval(f"SHOW {name}")) != value:
            await asyncio.sleep(0.01)


async def test_a_commit_that_no_standby_confirms_is_not_confirmed_in_time(
    settings: Settings, own_server: Postgres, admin_of_own: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "DOOR_BATCH_S", BOUND_S)
    there = GroupCommit(replace(settings, database_url=own_server.url))
    await there.submit(candidate("before"))
    await _change(admin_of_own, "synchronous_standby_names", "nobody")
    async with asyncio.timeout(60):
        answer = await _until(there, NotConfirmed)  # the new setting reaches a server's sessions later
        assert "same key" in str(answer)
        await there.close()


async def test_a_commit_acknowledged_without_its_standby_is_not_confirmed(
    settings: Settings, own_server: Postgres, admin_of_own: asyncpg.Connection
) -> None:
    """PostgreSQL acknowledges a COMMIT whose wait was canceled, and only warns: in any language."""
    there = GroupCommit(replace(settings, database_url=own_server.url))
    await there.submit(candidate("before the warning"))
    await _change(admin_of_own, "synchronous_standby_names", "nobody")
    cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    async with asyncio.timeout(60):
        keys = map("warned-{}".format, count())
        waiting = there.submit(candidate(key := next(keys)))
        while (await asyncio.wait([waiting], timeout=0.5))[0]:  # the new setting reaches a server's sessions later
            waiting = there.submit(candidate(key := next(keys)))
        while not await admin_of_own.fetch(cancel):
            await asyncio.sleep(0.01)
        with pytest.raises(NotConfirmed, match="same key"):
            await waiting
    assert await admin_of_own.fetchval("SELECT count(*) FROM orders WHERE idempotency_key = $1", key) == 1
    # A transaction of several statements is told at its COMMIT.
    engine = create_engine(replace(settings, database_url=own_server.url), name="rollup")
    rolling = asyncio.create_task(rollup(engine))
    async with asyncio.timeout(60):
        while not rolling.done():
            await admin_of_own.fetch(cancel)
            await asyncio.sleep(0.01)
    await asyncio.gather(rolling, close(engine), there.close(), return_exceptions=True)


async def test_fsync_turned_off_while_running_closes_the_door(
    settings: Settings, own_server: Postgres, admin_of_own: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durability, "DURABLE_ASKED_S", 0.0)
    there = GroupCommit(replace(settings, database_url=own_server.url))
    await there.submit(candidate("kept"))
    await _change(admin_of_own, "fsync", "off")
    assert "fsync = off" in str(await _until(there, NotConfirmed))
    await _change(admin_of_own, "fsync", "on")
    await _until(there, Placed)
    await there.close()


async def test_fsync_turned_off_while_running_lets_nothing_be_asked_of_an_order(
    settings: Settings, own_server: Postgres, admin_of_own: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durability, "DURABLE_ASKED_S", 0.0)
    async with serve(replace(settings, database_url=own_server.url)) as api:
        order_id = (await api.order("kept")).json()["id"]
        asked = {"capture": {}, "cancel": {}, "pay": {"payment_method": "pm_card_visa"}, "refunds": {}}
        await _change(admin_of_own, "fsync", "off")
        for what, wanted in asked.items():
            async with asyncio.timeout(60):
                while (answer := await ask(api, order_id, what, f"{what}-1", **wanted)).status_code != 503:
                    assert answer.status_code == 409  # the new setting reaches a server's sessions later
            assert "fsync = off" in assert_problem(answer, 503, "not-confirmed")["detail"]


async def _until(there: GroupCommit, kind: type[object]) -> object:
    async with asyncio.timeout(60):
        while True:
            (answer,) = await asyncio.gather(there.submit(candidate(f"k{uuid4()}")), return_exceptions=True)
            if isinstance(answer, kind):
                return answer
            await asyncio.sleep(0.01)
