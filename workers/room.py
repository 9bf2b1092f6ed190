"""Who may be at work in this process at the same time: many batches together, or one suspect alone (R10).

An order that may be what kills its worker is handled while nothing else is, so that only itself can die of it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Room:
    """A lock that is shared or taken alone. Whoever waits to be alone keeps others from entering before it."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._inside = 0
        self._waiting_alone = 0
        self._is_taken_alone = False

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Work beside others."""
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
        """Work while nobody else does."""
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
