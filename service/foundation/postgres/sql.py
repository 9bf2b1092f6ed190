"""Statements as the driver runs them, on connections of SQLAlchemy's pool.

SQLAlchemy keeps the schema, the migrations and the pool. To execute through it costs a process twice what the driver
takes (`docs/explanation/performance.md`), so a statement is compiled once, when its module is loaded, and goes to the
driver, which prepares it once per connection. Errors are the driver's own; `service.foundation.postgres.db` tells what
they mean.

A statement is one transaction of its own (`connect`): a single set-based statement is atomic, and two round trips
cheaper than BEGIN and COMMIT around it. What needs several takes `begin`. Neither is held across a call to Stripe.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from copy import copy
from random import uniform
from types import MappingProxyType
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import PoolProxiedConnection, text
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.deadlines import CHECKOUT_S
from service.foundation.postgres.db import FULL, connector_of, is_unreachable, spoils_its_connection, sqlstate
from service.foundation.postgres.driver import Driver, Row
from service.foundation.postgres.records import Batch, Integer, Record, SmallInt, UuidText

__all__ = [
    "NO_TIMEOUT",
    "Batch",
    "Connection",
    "Integer",
    "Record",
    "Row",
    "SmallInt",
    "Statement",
    "UuidText",
    "begin",
    "connect",
    "snapshot",
]

R = TypeVar("R", bound=Record)
S = TypeVar("S", bound=Record)

_DIALECT = PGDialect_asyncpg()  # type: ignore[no-untyped-call]
_NONE: Mapping[str, object] = MappingProxyType({})
_LOOK_AGAIN_S = 0.2  # between two tries to get a connection


class Statement(Generic[R]):
    """SQL with parameters `:name`; each is also cast where PostgreSQL cannot know its type."""

    __slots__ = ("names", "record", "sql", "template")
    record: type[R]

    def __init__(self: "Statement[Row]", template: str) -> None:
        compiled: Any = text(template).compile(dialect=_DIALECT)
        self.template = template
        self.sql = str(compiled)
        self.names: Sequence[str] = tuple(compiled.positiontup)
        self.record = Row

    def returning(self, record: type[S]) -> "Statement[S]":
        """The same, with the columns of the rows that it answers, whether it reads or writes."""
        declared = cast("Statement[S]", copy(self))
        declared.record = record
        return declared


NO_TIMEOUT = Statement("SET LOCAL statement_timeout = 0")  # the server's, until the transaction ends


class Connection:
    """A connection, lent for the length of one `async with`."""

    __slots__ = ("_committed", "_driver")

    def __init__(self, driver: Driver, committed: list[Callable[[], None]] | None = None) -> None:
        self._driver = driver
        self._committed = committed

    def after_commit(self, do: Callable[[], None]) -> None:
        """Call `do` once what is done here is committed, and never if it is rolled back, or its outcome is unknown.

        Where each statement commits by itself, it is called at once.
        """
        if self._committed is None:
            do()
        else:
            self._committed.append(do)

    async def rows(self, statement: Statement[R], values: Mapping[str, object] = _NONE) -> list[R]:
        """Run `statement` and return what it answers. Raises KeyError for a value that is missing."""
        arguments = [values[name] for name in statement.names]
        found: list[R] = await self._driver.fetch(statement.sql, *arguments, record_class=statement.record)
        self._driver.refuse_unreplicated()
        return found

    async def row(self, statement: Statement[R], values: Mapping[str, object] = _NONE) -> R | None:
        """The first row, if there is one."""
        found = await self.rows(statement, values)
        return found[0] if found else None

    async def one(self, statement: Statement[R], values: Mapping[str, object] = _NONE) -> R:
        """The row of a statement that always answers one. Raises LookupError where it did not."""
        found = await self.rows(statement, values)
        if not found:
            raise LookupError(f"this answered no row: {statement.template}")
        return found[0]

    async def run(self, statement: Statement[Any], values: Mapping[str, object] = _NONE) -> None:
        """Run a statement that is not asked for anything."""
        await self.rows(statement, values)

    async def each(self, statement: Statement[R], *, held: int) -> AsyncIterator[R]:
        """The rows of a large answer, `held` of them in memory; in a `snapshot`, whose cursor is read."""
        async for row in self._driver.cursor(statement.sql, prefetch=held, record_class=statement.record):
            yield row

    async def column(self, statement: Statement[Row], values: Mapping[str, object]) -> list[Any]:
        """The first value of each row."""
        return [row[0] for row in await self.rows(statement, values)]


@asynccontextmanager
async def connect(engine: AsyncEngine) -> AsyncIterator[Connection]:
    """A connection on which each statement commits by itself."""
    async with _lent(engine) as driver:
        yield Connection(driver)


@asynccontextmanager
async def begin(engine: AsyncEngine) -> AsyncIterator[Connection]:
    """A connection in a transaction of its own: committed at the end, rolled back by any exception."""
    async with _lent(engine) as driver:
        await driver.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
        committed: list[Callable[[], None]] = []
        try:
            yield Connection(driver, committed)
        except asyncio.CancelledError:
            raise  # the connection is thrown away, and its transaction with it
        except BaseException:
            with suppress(Exception):  # of a connection that is lost; then it is thrown away
                await driver.execute("ROLLBACK")
            raise
        await driver.execute("COMMIT")
        for do in committed:
            do()


@asynccontextmanager
async def snapshot(engine: AsyncEngine) -> AsyncIterator[Connection]:
    """A connection that sees the database as it is at its first statement, and only reads."""
    async with _lent(engine) as driver:
        transaction = driver.transaction(isolation="repeatable_read", readonly=True)
        await transaction.start()
        yield Connection(driver)
        await transaction.rollback()  # after an exception the connection is thrown away instead


@asynccontextmanager
async def _lent(engine: AsyncEngine) -> AsyncIterator[Driver]:
    """The driver's connection, given back whole: one that was lost, left in a transaction or cut off is thrown away."""
    try:
        lent = await engine.raw_connection()
    except Exception as error:  # noqa: BLE001  judged there
        lent = await _patiently(engine, error)
    driver: Any = lent.driver_connection
    is_whole = True
    try:
        yield driver
    except asyncio.CancelledError:
        is_whole = False  # of a statement that was cancelled in flight nobody knows how far it came
        raise
    except Exception as error:
        if spoils_its_connection(error):
            driver.distrust()
        raise
    finally:
        if is_whole and not driver.is_closed() and not driver.is_in_transaction():
            lent.close()
        else:
            driver.terminate()
            lent.invalidate()


async def _patiently(engine: AsyncEngine, error: Exception) -> PoolProxiedConnection:
    """A connection after all. Where the server has none to give, a neighbour may return one soon: look again.

    A process that would rather wait for PostgreSQL than fail (`Connector.patience_s`) waits here: nothing is sent yet.
    """
    began = time.monotonic()
    while True:
        is_full = (sqlstate(error) or "").startswith(FULL)
        patience_s = max(connector_of(engine).patience_s, CHECKOUT_S if is_full else 0.0)
        if not is_unreachable(error) or time.monotonic() - began >= patience_s:
            raise error
        await asyncio.sleep(uniform(0.5, 1.0) * _LOOK_AGAIN_S)  # noqa: S311  jitter
        try:
            return await engine.raw_connection()
        except Exception as again:  # noqa: BLE001  judged above
            error = again
