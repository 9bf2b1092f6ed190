"""The same story as text: a sentence per scene, and one that sums up all of them. Pure."""

import textwrap
from collections.abc import Sequence
from datetime import datetime

from service.console.story.folding import fold
from service.console.story.model import Kind, Lane, Scene, Subject
from service.console.story.telling import clock, since

WIDTH, _INDENT = 100, 16


def summary(scenes: Sequence[Scene]) -> str:
    """The whole in one sentence: how often Stripe was called, what was lost, absorbed and booked."""
    arrows = [arrow for scene in scenes for arrow in scene.arrows]
    calls = sum((a.kind, a.source, a.target) == (Kind.ASK, Lane.WORKER, Lane.STRIPE) for a in arrows)
    lost = sum(a.kind is Kind.LOST and a.target is Lane.WORKER for a in arrows)
    absorbed = sum(a.kind is Kind.ABSORBED for a in arrows)
    entries = sum(scene.name == "ledger.booked" for scene in scenes)
    parts = [
        f"Stripe was {_called(calls)}",
        _number(lost, "answer was lost", "answers were lost"),
        _number(absorbed, "duplicate was absorbed", "duplicates were absorbed"),
        _number(entries, "entry was booked", "entries were booked"),
    ]
    return f"{'; '.join(part for part in parts if part)}."


def text_of(about: Subject, scenes: Sequence[Scene]) -> str:
    """The story for a terminal, or for whoever reads it without a picture; repeats are folded."""
    lines = _wrapped(f"{headline(about)} {summary(scenes)}", WIDTH)
    lines += ["", *([clock(scenes[0].at)] if scenes else [])]
    for scene in fold(scenes):
        lines += lines_of(scene, scenes[0].at)
    return "\n".join(lines) + "\n"


def headline(about: Subject) -> str:
    """Which order it is."""
    return f"Order {about.id}: {about.amount}, under the key {about.key}."


def lines_of(scene: Scene, began: datetime, width: int = WIDTH) -> list[str]:
    """One scene: how long after the beginning it was, and what it tells."""
    first, *more = _wrapped(scene.tells, width - _INDENT)
    return [f"{since(began, scene.at):<{_INDENT}}{first}", *(" " * _INDENT + line for line in more)]


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of whole words, so that an id can be copied, also where it is longer than a line."""
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _called(count: int) -> str:
    return {0: "not called", 1: "called once", 2: "called twice"}.get(count, f"called {count} times")


def _number(count: int, one: str, more: str) -> str:
    return "" if count == 0 else f"{count} {one if count == 1 else more}"
