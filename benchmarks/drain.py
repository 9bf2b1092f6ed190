"""Draining a backlog: how fast the relay and the worker finish waiting orders while no new ones are placed."""

import asyncio
import itertools
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
_PARKED = "SELECT last_error FROM outbox WHERE parked_at IS NOT NULL LIMIT 1"
_numbers = itertools.count(1)


def drain(stack: Stack, database: str, orders: int, prefix: str) -> tuple[Flow, list[str]]:
    """Make a backlog, release it by one commit and wait until it is done; returns also the ids of its outbox rows."""
    # Keys of its own in each run: to the one Stripe of all databases the same key is the same payment.
    ids = fill.backlog(stack, database, orders, f"{prefix}-{next(_numbers)}")
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
            if parked := await connection.fetchval(_PARKED):
                raise RuntimeError(f"an order was parked: {parked}")
            await asyncio.sleep(_LOOK_S)
    finally:
        await connection.close()
