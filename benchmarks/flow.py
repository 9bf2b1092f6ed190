"""Sustained load from POST to booked, with a fixed number of open orders.

The generator may send a new order for each that became final. So the system itself sets the rate, the cost of accepting
is part of it, and 2,000 open orders keep every process busy.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import msgspec

from benchmarks.load import Load
from benchmarks.machine import Usage, metered
from benchmarks.stack import ROOT

WINDOW = 2_000
WARM_S = 3.0
_LOOK_S = 0.05
OPEN_OURS = "SELECT count(*) FROM outbox"
# The count uses an index: a scan of the table would read all dead rows each time.
LOOKING = {"enable_seqscan": "off", "enable_bitmapscan": "off"}


@dataclass(slots=True)
class Flow:
    """What was finished in the measured time, and the CPU of it."""

    finished: int = 0
    usage: Usage = field(default_factory=Usage)

    @property
    def rate(self) -> float:
        """Orders paid and booked per second."""
        return self.finished / self.usage.seconds

    @property
    def cpu_us(self) -> dict[str, float]:
        """Per order, by process."""
        return self.usage.per_op_us(self.finished)


def sustain(load: Load, database: str, pids: Callable[[], Mapping[str, int]], *, open_orders: str = OPEN_OURS) -> Flow:
    """Keep `WINDOW` orders open for the load's seconds, after a warm-up that is not counted.

    `open_orders` counts those not yet final. Returns after all of them are. Raises RuntimeError on a failed request.
    """
    return asyncio.run(_Sustained(load, database, pids, open_orders).run())


class _Sustained:
    def __init__(self, load: Load, database: str, pids: Callable[[], Mapping[str, int]], open_orders: str) -> None:
        self._load = load
        self._database = database
        self._pids = pids
        self._open_orders = open_orders
        self._answered = 0
        self._granted = 0

    async def run(self) -> Flow:
        connection = await asyncpg.connect(self._database, server_settings=LOOKING)
        generator = await self._start()
        telling = asyncio.create_task(self._hear(generator))
        try:
            await self._drive(connection, generator, WARM_S)
            flow = Flow()
            before = self._answered - await self._open(connection)
            with metered({**self._pids(), "generator": generator.pid}) as flow.usage:
                await self._drive(connection, generator, self._load.seconds)
            flow.finished = self._answered - await self._open(connection) - before
            await self._end(connection, generator)
        finally:
            telling.cancel()
            if generator.returncode is None:
                generator.kill()
            await connection.close()
        return flow

    async def _start(self) -> asyncio.subprocess.Process:
        generator = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchmarks.load",
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2**26,
        )
        load = msgspec.structs.replace(self._load, granted=True)
        _input(generator).write(msgspec.json.encode(load) + b"\n")
        return generator

    async def _hear(self, generator: asyncio.subprocess.Process) -> None:
        if generator.stdout is None:
            return
        async for line in generator.stdout:
            found: dict[str, Any] = json.loads(line)
            if found.get("failed"):
                raise RuntimeError(f"{found['failed']} requests failed, the first with: {found['first_failure']}")
            self._answered = found["answered"]

    async def _drive(self, connection: Any, generator: asyncio.subprocess.Process, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            finished = self._answered - await self._open(connection)
            more = finished + WINDOW - self._granted
            if more > 0:
                self._granted += more
                _input(generator).write(b"%d\n" % more)
            await asyncio.sleep(_LOOK_S)

    async def _open(self, connection: Any) -> int:
        return int(await connection.fetchval(self._open_orders))

    async def _end(self, connection: Any, generator: asyncio.subprocess.Process) -> None:
        _input(generator).write(b"0\n")
        await asyncio.wait_for(generator.wait(), 30)
        async with asyncio.timeout(120):
            while await self._open(connection):  # noqa: ASYNC110  other processes work on it
                await asyncio.sleep(_LOOK_S)


def _input(generator: asyncio.subprocess.Process) -> asyncio.StreamWriter:
    if generator.stdin is None:
        raise RuntimeError("the generator has no stdin")
    return generator.stdin
