"""Connections are lent whole: what was lost, left in a transaction or cut off goes to nobody else."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.errors import Unavailable
from service.foundation.postgres.db import create_engine, is_unreachable, sqlstate
from service.foundation.postgres.sql import Connection, Statement, begin, connect
from service.foundation.settings import Settings

PID = Statement("SELECT pg_backend_pid() AS pid")
SLEEP = Statement("SELECT pg_sleep(CAST(:seconds AS double precision))")
ACCOUNTS = Statement("SELECT name FROM accounts ORDER BY name")
MAKE = Statement("INSERT INTO accounts (id, name) VALUES (gen_random_uuid(), :name)")
KILL = Statement("SELECT pg_terminate_backend(CAST(:pid AS int))")
WRONG = Statement("SELECT 1 / 0")


@pytest.fixture
async def single(settings: Settings) -> AsyncIterator[AsyncEngine]:
    """A pool of one connection: whoever breaks it breaks it for the next."""
    engine = create_engine(settings, name="single", pool=1, as_app=False)
    yield engine
    await engine.dispose()


async def _pid(connection: Connection) -> int:
    return int((await connection.column(PID, {}))[0])


async def _names(engine: AsyncEngine) -> list[str]:
    async with connect(engine) as connection:
        return await connection.column(ACCOUNTS, {})


async def _make_and_fail(engine: AsyncEngine, error: type[BaseException] | None) -> None:
    """Fail with `error`, or with PostgreSQL's refusal of a statement, in a transaction that has written."""
    async with begin(engine) as tx:
        await tx.rows(MAKE, {"name": "a"})
        if error is not None:
            raise error
        await tx.rows(WRONG, {})


def test_a_parameter_is_numbered_once_however_often_it_is_named() -> None:
    statement = Statement("SELECT CAST(:a AS int), CAST(:b AS text), CAST(:a AS int), x::jsonb")
    assert (statement.sql, tuple(statement.names)) == (
        "SELECT CAST($1 AS int), CAST($2 AS text), CAST($1 AS int), x::jsonb",
        ("a", "b"),
    )


async def test_columns_are_attributes_and_a_missing_value_is_named(single: AsyncEngine) -> None:
    async with connect(single) as connection:
        row = await connection.row(PID, {})
        assert row is not None
        assert row.pid == row["pid"]
        with pytest.raises(AttributeError, match="pin"):
            _ = row.pin
        with pytest.raises(KeyError, match="name"):
            await connection.rows(MAKE, {})


async def test_each_statement_of_a_connection_commits_by_itself(single: AsyncEngine, engine: AsyncEngine) -> None:
    async with connect(single) as connection:
        await connection.rows(MAKE, {"name": "a"})
        assert await _names(engine) == ["a", "default"]


async def test_a_transaction_commits_at_its_end_and_not_before(single: AsyncEngine, engine: AsyncEngine) -> None:
    async with begin(single) as tx:
        await tx.rows(MAKE, {"name": "a"})
        assert await _names(engine) == ["default"]
    assert await _names(engine) == ["a", "default"]


async def test_any_exception_rolls_back_and_the_connection_serves_the_next(single: AsyncEngine) -> None:
    async with connect(single) as connection:
        before = await _pid(connection)
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            await _make_and_fail(single, error)
    async with connect(single) as connection:
        assert await _pid(connection) == before
    assert await _names(single) == ["default"]


async def test_a_refused_statement_leaves_a_connection_that_serves_the_next(single: AsyncEngine) -> None:
    with pytest.raises(asyncpg.PostgresError) as refused:
        await _make_and_fail(single, None)
    assert (sqlstate(refused.value), is_unreachable(refused.value)) == ("22012", False)
    assert await _names(single) == ["default"]


@pytest.mark.parametrize("lend", [connect, begin])
async def test_a_connection_cut_off_by_a_cancellation_goes_to_nobody_else(single: AsyncEngine, lend: object) -> None:
    sleeping = asyncio.Event()

    async def sleep() -> int:
        async with lend(single) as connection:  # type: ignore[operator]
            pids.append(await _pid(connection))
            sleeping.set()
            await connection.rows(SLEEP, {"seconds": 60})
        raise AssertionError

    pids: list[int] = []
    task = asyncio.create_task(sleep())
    await sleeping.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(10), connect(single) as connection:
        assert await _pid(connection) not in pids


async def test_a_lost_connection_is_replaced_and_is_called_unreachable(single: AsyncEngine, settings: Settings) -> None:
    killer = create_engine(settings, name="killer", as_app=False)
    with pytest.raises(Exception, match=r"terminat|closed|reset|lost|another operation") as lost:  # noqa: PT012
        async with begin(single) as tx:
            pid = await _pid(tx)
            async with connect(killer) as other:
                await other.rows(KILL, {"pid": pid})
            await tx.rows(PID, {})
    await killer.dispose()
    assert is_unreachable(lost.value)
    async with connect(single) as connection:
        assert await _pid(connection) != pid


async def test_connections_that_the_server_has_closed_meanwhile_fail_nobody(
    engine: AsyncEngine, settings: Settings
) -> None:
    """As a restart of PostgreSQL leaves a pool."""
    async with connect(engine) as one, connect(engine) as other:
        kept = [one._driver, other._driver]
        pids = [await _pid(one), await _pid(other)]
    killer = create_engine(settings, name="killer", as_app=False)
    for pid in pids:
        async with connect(killer) as another:
            await another.rows(KILL, {"pid": pid})
    await killer.dispose()
    async with asyncio.timeout(10):
        while not all(driver.is_closed() for driver in kept):
            await asyncio.sleep(0.01)
    async with connect(engine) as one, connect(engine) as other:
        assert not {await _pid(one), await _pid(other)} & set(pids)


async def test_the_neighbours_of_a_connection_that_missed_its_deadline_are_used_no_more(engine: AsyncEngine) -> None:
    async with connect(engine) as one, connect(engine) as other:
        pids = {await _pid(one), await _pid(other)}
        late = one._driver
    late.distrust()
    async with connect(engine) as one, connect(engine) as other:
        assert not {await _pid(one), await _pid(other)} & pids


@pytest.mark.parametrize("value", ["x", 2**63], ids=["no number", "too large"])
async def test_a_value_that_no_column_holds_is_not_called_unreachable(single: AsyncEngine, value: object) -> None:
    async with connect(single) as connection:
        with pytest.raises(asyncpg.DataError) as refused:
            await connection.rows(KILL, {"pid": value})
    assert not is_unreachable(refused.value)


async def test_a_server_that_is_not_there_is_called_unreachable(settings: Settings) -> None:
    nowhere = Settings(database_url="postgresql://postgres:@/nothing?host=/nonexistent")
    engine = create_engine(nowhere, name="nowhere", pool=1)
    with pytest.raises(Unavailable, match=r"/nonexistent.*No such file") as away:
        async with connect(engine):
            pass
    assert is_unreachable(away.value)
