"""Statements as the driver runs them, on connections of SQLAlchemy's pool.

SQLAlchemy keeps the schema, the migrations and the pool. To execute through it costs a process twice what the driver
takes (`docs/performance.md`), so a statement is compiled once, when its module is loaded, and goes to the driver, which
prepares it once per connection. Errors are the driver's own; `service.db` tells what they mean.

A statement is one transaction of its own (`connect`): a single set-based statement is atomic, and two round trips
cheaper than BEGIN and COMMIT around it. What needs several takes `begin`. Neither is held across a call to Stripe.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy import text
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

_DIALECT = PGDialect_asyncpg()  # type: ignore[no-untyped-call]


class Row(asyncpg.Record):  # type: ignore[misc]
    """A row whose columns are attributes, too. (The driver has no types.)"""

    def __getattr__(self, name: str) -> Any:
        """The column of that name."""
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Statement:
    """SQL with parameters `:name`; each is also cast where PostgreSQL cannot know its type."""

    __slots__ = ("names", "sql", "template")

    def __init__(self, template: str) -> None:
        compiled: Any = text(template).compile(dialect=_DIALECT)
        self.template = template
        self.sql = str(compiled)
        self.names: Sequence[str] = tuple(compiled.positiontup)


class Connection:
    """A connection, lent for the length of one `async with`."""

    __slots__ = ("_driver",)

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    async def rows(self, statement: Statement, values: Mapping[str, object]) -> list[Row]:
        """Run `statement` and return what it returns. Raises KeyError for a value that is missing."""
        found: list[Row] = await self._driver.fetch(
            statement.sql, *[values[name] for name in statement.names], record_class=Row
        )
        return found

    async def row(self, statement: Statement, values: Mapping[str, object]) -> Row | None:
        """The first row, if there is one."""
        found = await self.rows(statement, values)
        return found[0] if found else None

    async def column(self, statement: Statement, values: Mapping[str, object]) -> list[Any]:
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
    async with _lent(engine) as driver, driver.transaction():
        yield Connection(driver)


@asynccontextmanager
async def _lent(engine: AsyncEngine) -> AsyncIterator[Any]:
    """The driver's connection, given back whole: one that was lost, left in a transaction or cut off is thrown away."""
    lent = await engine.raw_connection()
    driver: Any = lent.driver_connection
    is_whole = True
    try:
        yield driver
    except asyncio.CancelledError:
        is_whole = False  # of a statement that was cancelled in flight nobody knows how far it came
        raise
    finally:
        if is_whole and not driver.is_closed() and not driver.is_in_transaction():
            lent.close()
        else:
            lent.invalidate()
