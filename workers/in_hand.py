"""What this process has opened and not settled, and for which of its opens the orders are not to blame (R10)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service import outbox
from service.foundation.postgres.db import is_unreachable


class InHand:
    """The outbox rows in hand, and the excuses that this process still owes."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._rows: set[UUID] = set()
        self._owed: list[list[UUID]] = []

    @asynccontextmanager
    async def holding(self, rows: set[UUID]) -> AsyncIterator[None]:
        """These rows are in hand. Where PostgreSQL takes no answer, their opens count for nothing."""
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
        """Where PostgreSQL took no answer (its disk is full, it is shutting down), the orders are not to blame: these
        opens count for nothing. Where it does not take that either, it is told before the next open.
        """
        try:
            while self._owed:
                await outbox.excuse(self._engine, self._owed[-1])
                self._owed.pop()
        except Exception as error:
            if not is_unreachable(error):
                raise

    async def excuse(self) -> None:
        """What is in hand now is excused: this process is being stopped."""
        await outbox.excuse(self._engine, sorted(self._rows))


def _is_of_postgres(error: BaseException) -> bool:
    return isinstance(error, Exception) and is_unreachable(error)
