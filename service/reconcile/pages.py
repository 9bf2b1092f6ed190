"""A numbered temporary table, a page at a time.

Not a server-side cursor: a reader that is slow (a pager, a call to Stripe per row) would hold its transaction open.
"""

from collections.abc import AsyncIterator

import asyncpg

PAGE = 1_000


async def pages(driver: asyncpg.Connection, table: str, columns: str = "*") -> AsyncIterator[list[asyncpg.Record]]:
    """`columns` of `table` in the order of its column `n` (1, 2, 3, …), which needs an index."""
    after = 0
    while page := await driver.fetch(f"SELECT {columns} FROM {table} WHERE n > $1 ORDER BY n LIMIT {PAGE}", after):
        yield page
        after = page[-1]["n"]
