"""`eo status --watch`: what the console's front page and `eo status` show, read every two seconds.

A terminal shows the newest reading in place; anything else gets a block whenever something but a duration has changed.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text
from sqlalchemy.ext.asyncio import AsyncEngine

from service.console import money_now, overview
from service.console.overview import COUNTED_MAX, Absorbed, Calls, State
from service.console.tones import Tone
from service.console.verdict import Verdict, judge
from service.foundation.postgres.db import is_unreachable
from service.foundation.postgres.driver import in_words
from service.ops import status_text, table
from service.ops.status import Status, status
from service.ops.status_text import span
from service.ops.terminal import print_json
from service.outbox.reading import Backlog, backlog

EVERY_S = 2.0
_PAUSE = 3  # times as long as PostgreSQL was asked, at least: a watcher holds it for a quarter of the time at most
_STYLES: dict[Tone, str] = {"good": "bold green", "look": "bold yellow", "bad": "bold red"}


@dataclass(frozen=True, slots=True)
class Front:
    """What the console's front page shows beside the processes."""

    verdict: Verdict
    states: list[State]
    outbox: Backlog
    absorbed: list[Absorbed]
    calls: Calls


@dataclass(frozen=True, slots=True)
class Sight:
    """One reading. `front` is None where PostgreSQL could not be asked; `unknown` says why.

    took_s: for how long PostgreSQL was asked for the front page.
    """

    at: datetime
    status: Status
    front: Front | None
    unknown: str = ""
    took_s: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """The reading as a line of `--json`."""
        front = self.front
        return {
            "at": self.at.isoformat(),
            "unknown": self.unknown or None,
            "verdict": front and _verdict(front.verdict),
            "orders": front and {one.word: {"count": one.count, "is_more": one.is_more} for one in front.states},
            "oldest_promise_s": front and round(front.outbox.oldest_s, 1),
            "absorbed": front and {one.guard: one.count for one in front.absorbed},
            "stripe": front
            and {
                "answers": dict(front.calls.words),
                "median_ms": round(front.calls.median_ms, 1),
                "slow_ms": round(front.calls.slow_ms, 1),
            },
            "status": self.status.as_dict(),
        }

    @property
    def news(self) -> object:
        """What makes another block of it: all but durations."""
        front, fleet = self.front, self.status.fleet
        money = front and (front.verdict, front.states, front.outbox.waiting, front.absorbed, dict(front.calls.words))
        beats = fleet and [(beat.process.part, beat.process.pid, beat.is_alive) for beat in fleet.beats]
        health = fleet and (fleet.breaker, fleet.unanswered, fleet.unknown)
        return money, beats, health, self.status.parts, self.status.ready, self.status.reasons, self.unknown


async def read(engine: AsyncEngine, data_dir: Path) -> Sight:
    """Read everything once. It raises nothing where a server is away."""
    found = await asyncio.to_thread(status, data_dir)
    try:
        began = time.monotonic()
        front = await _front(engine)
        return Sight(datetime.now(UTC), found, front, took_s=time.monotonic() - began)
    except Exception as error:
        if not is_unreachable(error):
            raise
        return Sight(datetime.now(UTC), found, None, f"PostgreSQL cannot be asked: {in_words(error)}.")


async def _front(engine: AsyncEngine) -> Front:
    outbox = await backlog(engine, COUNTED_MAX)
    verdict = judge(await money_now.read(engine, outbox.parked))
    states, absorbed = await overview.states(engine), await overview.absorbed(engine)
    return Front(verdict, states, outbox, absorbed, await overview.calls(engine))


async def readings(engine: AsyncEngine, data_dir: Path) -> AsyncIterator[Sight]:
    """Yield a reading every EVERY_S seconds, less often where PostgreSQL is slow."""
    while True:
        sight = await read(engine, data_dir)
        yield sight
        await asyncio.sleep(max(EVERY_S, _PAUSE * sight.took_s))


async def watch(engine: AsyncEngine, data_dir: Path, *, as_json: bool) -> None:
    """Show the readings until this task is canceled."""
    if as_json:
        async for sight in readings(engine, data_dir):
            print_json(sight.as_dict())
    elif sys.stdout.isatty():
        with Live(console=Console(highlight=False), auto_refresh=False) as live:
            async for sight in readings(engine, data_dir):
                live.update(text_of(sight), refresh=True)
    else:
        told: object = None
        async for sight in readings(engine, data_dir):
            if told != sight.news:
                click.echo(f"{text_of(sight).plain}\n")
                told = sight.news


def text_of(sight: Sight) -> Text:
    """The reading as text for `table.width()` columns."""
    said = Text(f"{sight.at:%Y-%m-%d %H:%M:%S} UTC\n")
    columns = table.width()
    if sight.front is None:
        said.append(f"{sight.unknown}\n", "bold red")
    else:
        style = _STYLES.get(sight.front.verdict.tone, "bold")
        said.append("\n".join(table.paragraph(sight.front.verdict.headline, columns)) + "\n", style)
        said.append("".join(f"{line}\n" for line in _wrapped(_of_front(sight.front), columns)))
    shown = status_text.rows(sight.status)
    said.append("\n".join(["", *table.lines(shown, columns), *([""] if shown else [])]))
    said.append("\n".join(_wrapped(status_text.lines(sight.status), columns)))
    return said


def _wrapped(lines: Iterable[str], columns: int) -> list[str]:
    return [part for line in lines for part in table.paragraph(line, columns)]


def _of_front(front: Front) -> Iterator[str]:
    """The front page's lines: what is open, what is known, then its four plots as sums."""
    yield from (f"! {line.says}" for line in front.verdict.open)
    yield from (line.says for line in front.verdict.known)
    states = [f"{'at least ' if one.is_more else ''}{one.count:,} {one.word}" for one in front.states if one.count]
    yield f"orders: {', '.join(states) or 'none yet'}"
    yield f"oldest promise: {span(front.outbox.oldest_s)}" if front.outbox.waiting else "oldest promise: none is open"
    absorbed = [f"{one.count:,} {one.guard}" for one in front.absorbed]
    yield f"duplicates absorbed: {', '.join(absorbed) or 'none yet'}"
    calls = front.calls
    words = ", ".join(f"{count:,} {word}" for word, count in calls.told.items())
    times = f"; median {calls.median_ms:,.0f} ms, 19 of 20 within {calls.slow_ms:,.0f} ms"
    yield f"Stripe's newest answers: {words or 'none yet'}{times if calls.times_ms else ''}"


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "tone": verdict.tone,
        "headline": verdict.headline,
        "open": [line.says for line in verdict.open],
        "known": [line.says for line in verdict.known],
    }
