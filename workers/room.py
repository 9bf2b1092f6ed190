"""A lock under which many batches run together in this process, or one suspect alone (R10).

A suspect is an order that was opened several times and never settled, perhaps because it kills its worker. It runs
alone, so that no other order is in hand when its worker dies.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Room:
    """A lock that is shared or taken alone. While one waits to take it alone, nobody else enters."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._inside = 0
        self._waiting_alone = 0
        self._is_taken_alone = False

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Hold the lock together with others that share it."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._waiting_alone and not self._is_taken_alone)
            self._inside += 1
        try:
            yield
        finally:
            async with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Hold the lock while nobody else does."""
        async with self._changed:
            self._waiting_alone += 1
            try:
                await self._changed.wait_for(lambda: not self._inside and not self._is_taken_alone)
            finally:
                self._waiting_alone -= 1
                self._changed.notify_all()
            self._is_taken_alone = True
        try:
            yield
        finally:
            async with self._changed:
                self._is_taken_alone = False
                self._changed.notify_all()
