"""What it costs to be watched: the console open on its front page, and every process scraped each second.

The rate of orders paid and booked is compared in turns with that of the same processes unwatched. Whoever watches has a
process of its own on the same cores, so what it takes for itself is in the result.
"""

import asyncio
import itertools
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from benchmarks.flow import Flow, sustain
from benchmarks.load import Load
from benchmarks.report import Ratio, Report
from benchmarks.stack import API_KEY, ROOT, Stack
from benchmarks.watching import Seen, Watch
from service.audit import Who
from service.console import Access
from service.foundation.postgres.db import close, create_engine
from service.foundation.settings import Settings
from service.ops.embedded import free_port
from service.ops.kinds import KINDS

SECONDS, ROUNDS = 20.0, 5
_numbers = itertools.count(1)


def run(stack: Stack, *, seconds: float = SECONDS) -> Report:
    """Unwatched and watched in turns, on one database: another would first ask Stripe what it may have forgotten."""
    report, database = Report("watched"), stack.database("watched")
    rates, costs = [], []
    for _ in range(ROUNDS):
        alone, _ = _flow(stack, database, seconds, watched=False)
        watched, seen = _flow(stack, database, seconds, watched=True)
        if seen is None or seen.scrapes < seconds or seen.events < seconds / 5:
            raise RuntimeError(f"nobody watched: {seen}")
        rates.append((watched.rate, alone.rate))
        costs.append((sum(watched.cpu_us.values()), sum(alone.cpu_us.values())))
        report.cpu_us = {"order, watched": watched.cpu_us, "order": alone.cpu_us}
        report.facts = {"scrapes": seen.scrapes, "renewals of the front page": seen.events}
    report.ratios = [
        Ratio("orders/s, watched against unwatched", rates, "/s", at_least=0.97),
        Ratio("CPU per order, watched against unwatched", costs, "us", at_most=1.03),
    ]
    return report


def _flow(stack: Stack, database: str, seconds: float, *, watched: bool) -> tuple[Flow, Seen | None]:
    number = next(_numbers)
    port = free_port()
    console, metrics_port = ("1", str(port)) if watched else ("0", "")
    with stack.running(database, *KINDS, EO_CONSOLE=console, EO_METRICS_PORT=metrics_port):
        load = Load(port=stack.port(), api_key=API_KEY, prefix=f"w{number}", seconds=seconds)
        if not watched:
            return sustain(load, database, stack.pids), None
        with _watching(stack.url("api"), database, port) as process:
            flow = sustain(load, database, stack.pids)
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=30)
    return flow, msgspec.json.decode(said, type=Seen)


@contextmanager
def _watching(api: str, database: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    others = [f"http://127.0.0.1:{port + n}/metrics" for n in range(2)]
    watch = Watch(f"{api}/console/live/overview", asyncio.run(_cookie(database)), [f"{api}/metrics", *others], API_KEY)
    command = [sys.executable, "-m", "benchmarks.watching", msgspec.json.encode(watch).decode()]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


async def _cookie(database: str) -> str:
    engine = create_engine(Settings(database_url=database), name="bench")
    try:
        access = Access(engine)
        opened = await access.open(await access.link(Who("bench", "cli"), "bench", "read", 5))
    finally:
        await close(engine)
    if opened is None:
        raise RuntimeError("the console's link opened nothing")
    return opened
