"""Draining a backlog: how fast the relay and the worker finish what waits, with no door beside them."""

import asyncio
import time
from typing import Any

import asyncpg

from benchmarks import fill
from benchmarks.flow import LOOKING, Flow
from benchmarks.machine import metered
from benchmarks.stack import Stack

WITHIN_S = 1_800.0
_LOOK_S = 0.02
_IS_OPEN = "SELECT EXISTS (SELECT FROM outbox)"


def drain(stack: Stack, database: str, orders: int, prefix: str) -> tuple[Flow, list[str]]:
    """Make a backlog, which one commit lets go, and wait until it is done; also the ids of its promises."""
    ids = fill.backlog(stack, database, orders, prefix)
    with metered(stack.pids()) as usage:
        asyncio.run(_until_none(database))
    return Flow(orders, usage), ids


async def _until_none(database: str) -> None:
    connection: Any = await asyncpg.connect(database, server_settings=LOOKING)
    until = time.monotonic() + WITHIN_S
    try:
        while await connection.fetchval(_IS_OPEN):
            if time.monotonic() > until:
                raise RuntimeError(f"not drained within {WITHIN_S:.0f} s")
            await asyncio.sleep(_LOOK_S)
    finally:
        await connection.close()
