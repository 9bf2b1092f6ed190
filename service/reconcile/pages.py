"""A numbered temporary table, a page at a time.

Not a server-side cursor: a reader that is slow (a pager, a call to Stripe per row) would hold its transaction open.
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
