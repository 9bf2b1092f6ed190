"""Repeats a transaction whose connection to PostgreSQL was lost."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from service.foundation.away import POSTGRES
from service.foundation.postgres.db import is_unreachable

T = TypeVar("T")

_AGAIN_S = 0.2


async def while_cut_off(run: Callable[[], Awaitable[T]], *, for_s: float) -> T:
    """Run a transaction, and again where its connection was lost, for at most `for_s` seconds; returns its result."""
    until = time.monotonic() + for_s
    while True:
        try:
            result = await run()
        except Exception as error:
            if not is_unreachable(error) or time.monotonic() >= until:
                raise
            POSTGRES.failed("charges", error)
            await asyncio.sleep(_AGAIN_S)
        else:
            POSTGRES.succeeded("charges")
            return result
