"""The outbox rows that this process has opened and not settled, and those whose opens must not count (R10)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service import outbox
from service.foundation.postgres.db import is_unreachable


class InHand:
    """The opened rows, and the rows whose opens this process has still to uncount."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._rows: set[UUID] = set()
        self._owed: list[list[UUID]] = []

    @asynccontextmanager
    async def holding(self, rows: set[UUID]) -> AsyncIterator[None]:
        """Keep these rows in hand during the context; uncount their opens where it ends by an error of PostgreSQL."""
        self._rows |= rows
        try:
            yield
        except BaseExceptionGroup as failed:
            if failed.subgroup(_is_of_postgres) is not None:
                self._owed.append(sorted(rows))
                await self.make_excuses()
            raise
        finally:
            self._rows -= rows

    async def make_excuses(self) -> None:
        """Uncount the opens whose answers PostgreSQL did not store, for instance because its disk was full.

        Such an order did not kill its worker. Where PostgreSQL fails again, the next open calls this again.
        """
        while self._owed:
            rows = self._owed.pop()  # before the wait: other messages of this process make theirs meanwhile
            try:
                await outbox.excuse(self._engine, rows)
            except Exception as error:
                self._owed.append(rows)
                if not is_unreachable(error):
                    raise
                return

    async def excuse(self) -> None:
        """Uncount the opens of all rows in hand; called when this process is being stopped."""
        await outbox.excuse(self._engine, sorted(self._rows))


def _is_of_postgres(error: BaseException) -> bool:
    return isinstance(error, Exception) and is_unreachable(error)
