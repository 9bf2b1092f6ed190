"""The output during a run: a live table, or plain lines where there is no terminal."""

import time
from collections.abc import Sequence
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from demo.score import GUARDS, Score

_PLAIN_EVERY_S = 5.0
_HEAD = "effectively-once · the myth and the honest architecture, through the same storm"


class Screen:
    """Announcements and the table. `scores` are the columns, by title."""

    def __init__(self, console: Console, *, live: bool) -> None:
        self.console = console
        self.scores: dict[str, Score] = {}
        self.said: list[str] = []
        self._part = ""
        self._began = time.monotonic()
        self._plain_at = 0.0
        self._live = Live(console=console, auto_refresh=False, transient=True) if live else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        else:
            self.console.print(_HEAD)
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def begin(self, part: str) -> None:
        """Announce the next step of the run."""
        self._part = part
        self.said.append("")
        self.say(part)

    def say(self, words: str) -> None:
        """Print a line about what has just happened."""
        line = f"{time.monotonic() - self._began:6.1f} s  {words}"
        self.said.append(line)
        self.console.print(Text(line, style=style_of(line)), soft_wrap=True)
        if self._live:
            self.show()

    def show(self) -> None:
        """Draw the table again; without a terminal, print one line every few seconds."""
        if self._live:
            self._live.update(self._view(), refresh=True)
        elif time.monotonic() - self._plain_at > _PLAIN_EVERY_S:
            self._plain_at = time.monotonic()
            title, score = list(self.scores.items())[-1]
            self.console.print(Text(f"          {title}: {_in_one_line(score)}"), soft_wrap=True)

    def _view(self) -> Group:
        return Group(Text(f"\n{_HEAD}", style="bold"), Text(self._part, style="cyan"), storm_table(self.scores))


def style_of(line: str) -> str:
    """Deaths are red, Stripe's troubles yellow."""
    return "red" if "killed" in line or "stands still" in line else "yellow" if "  Stripe " in line else "dim"


def storm_table(scores: dict[str, Score]) -> Table:
    """A table with one row per number and one column per contender."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for title in scores:
        table.add_column(title, justify="right", min_width=16)
    for label, values in _rows(list(scores.values())):
        table.add_row(label, *values)
    return table


def _rows(scores: list[Score]) -> list[tuple[str, Sequence[str | Text]]]:
    absorbed = [(f"  {words}", [_absorbed(s, guard) for s in scores]) for guard, words in GUARDS.items()]
    return [
        ("orders accepted", [_count(s.orders) for s in scores]),
        ("refunds accepted", [_count(s.refunds_wanted) for s in scores]),
        ("deliveries to a worker", [_count(s.deliveries) for s in scores]),
        ("requests and messages sent twice", [_count(s.duplicates) for s in scores]),
        ("processes killed", [_count(s.killed) for s in scores]),
        ("Stripe's lost replies, 500s, 429s", [_count(s.troubles) for s in scores]),
        ("Stripe requests", [_count(s.stripe_requests) for s in scores]),
        ("repeats absorbed by", ["" for _ in scores]),
        *absorbed,
        ("charges at Stripe", [_count(s.charges) for s in scores]),
        ("orders charged twice or more", [_bad(s.twice) for s in scores]),
        ("  overcharged", [_bad(s.overcharged, money=True) for s in scores]),
        ("orders lost: accepted, never charged", [_bad(s.lost) for s in scores]),
        ("refunds at Stripe", [_count(s.refunds) for s in scores]),
        ("orders refunded twice or more", [_bad(s.refunded_twice) for s in scores]),
        ("  given back too much", [_bad(s.over_refunded, money=True) for s in scores]),
        ("refunds lost: accepted, never given", [_bad(s.refunds_lost) for s in scores]),
        ("Stripe's charges minus our books", [_bad(s.off_books, money=True) for s in scores]),
        ("Stripe's refunds minus our books", [_bad(s.refunds_off_books, money=True) for s in scores]),
        ("ledger: debits minus credits", [_ledger(s) for s in scores]),
    ]


def _count(n: int) -> str:
    return f"{n:,}"


def _absorbed(score: Score, guard: str) -> str:
    return "–" if score.has_no_guards else f"{score.absorbed[guard]:,}"


def _ledger(score: Score) -> Text:
    return Text("no ledger", style="dim") if score.has_no_guards else _bad(score.ledger_off, money=True)


def _bad(n: int | None, *, money: bool = False) -> Text:
    """The number as text: green for zero, red for more."""
    if n is None:
        return Text("…", style="dim")
    return Text(usd(n) if money else f"{n:,}", style="bold red" if n else "bold green")


def usd(minor: int) -> str:
    """Minor units as people write them."""
    return f"{minor / 100:,.2f} usd"


def _in_one_line(score: Score) -> str:
    return (
        f"{score.orders} orders, {score.deliveries} deliveries, {score.killed} killed, {score.stripe_requests} "
        f"requests, {score.charges} charges, {score.twice} charged twice, {score.refunds} refunds, "
        f"{score.refunded_twice} refunded twice, {sum(score.absorbed.values())} absorbed"
    )
