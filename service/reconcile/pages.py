"""Reads a numbered temporary table in pages of 1,000 rows.

A server-side cursor would keep a transaction open until the last row is read, and a reader may be slow: it shows rows
in a pager, or calls Stripe for each.
"""

from collections.abc import AsyncIterator
from typing import TypeVar

import asyncpg

from service.foundation.postgres.sql import Connection, Record, Statement

PAGE = 1_000


class Numbered(Record):
    """A row of a table whose rows are counted: 1, 2, 3, …"""

    n: int


R = TypeVar("R", bound=Numbered)


async def pages(driver: asyncpg.Connection, statement: Statement[R]) -> AsyncIterator[list[R]]:
    """What `statement` answers in the order of `n`, asked for up to `:most` rows with a greater `n` than `:after`.

    The table needs an index on `n`.
    """
    after = 0
    while page := await Connection(driver).rows(statement, {"after": after, "most": PAGE}):
        yield page
        after = page[-1].n
