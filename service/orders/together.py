"""Whoever waits at the same time is served by one statement, as `group_commit` does for orders; but nothing is split.

What the statement leaves out, each caller does by itself.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

W = TypeVar("W")
D = TypeVar("D")

MOST = 128  # in one statement


class Together(Generic[W, D]):
    """One statement at a time; those who come meanwhile go with the next. Lives in one event loop.

    `store` answers for each of the wanted in their order, None where it did nothing for it.
    """

    def __init__(self, store: Callable[[Sequence[W]], Awaitable[Sequence[D | None]]]) -> None:
        self._store = store
        self._waiting: deque[tuple[W, asyncio.Future[D | None]]] = deque()
        self._writer: asyncio.Task[None] | None = None  # kept: the event loop holds tasks only weakly
        self._is_writing = False

    async def submit(self, wanted: W) -> D | None:
        """What was stored for it. One caller that goes away cancels nobody else. Raises what `store` raises."""
        future: asyncio.Future[D | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, future))
        if not self._is_writing:
            self._is_writing = True
            self._writer = asyncio.create_task(self._write())
        return await future

    async def _write(self) -> None:
        try:
            while self._waiting:
                size = min(len(self._waiting), MOST)
                await self._write_batch([self._waiting.popleft() for _ in range(size)])
        finally:
            self._is_writing = False

    async def _write_batch(self, batch: Sequence[tuple[W, asyncio.Future[D | None]]]) -> None:
        try:
            done = await self._store([wanted for wanted, _ in batch])
        except Exception as error:  # noqa: BLE001  whatever it is, every waiter hears of it
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        except BaseException:
            for _, future in batch:
                future.cancel()
            raise
        for (_, future), result in zip(batch, done, strict=True):
            if not future.done():  # its client went away
                future.set_result(result)
