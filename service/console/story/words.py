"""The same story as text: a sentence per scene, and one that sums up all of them. Pure."""

import textwrap
from collections import Counter
from collections.abc import Sequence

from service.console.story.model import Kind, Scene, Subject
from service.console.story.telling import clock, since

_WIDTH, _INDENT = 100, 16


def summary(scenes: Sequence[Scene]) -> str:
    """The whole in one sentence: how often Stripe was called, what was lost, absorbed and booked."""
    count = Counter(arrow.kind for scene in scenes for arrow in scene.arrows)
    calls = sum(scene.name.endswith(".called") or "GET it" in _texts(scene) for scene in scenes)
    entries = sum(scene.name == "ledger.booked" for scene in scenes)
    parts = [
        f"Stripe was called {_times(calls)}",
        _number(count[Kind.LOST], "answer was lost", "answers were lost"),
        _number(count[Kind.ABSORBED], "duplicate was absorbed", "duplicates were absorbed"),
        _number(entries, "entry was booked", "entries were booked"),
    ]
    return f"{'; '.join(part for part in parts if part)}."


def text_of(about: Subject, scenes: Sequence[Scene]) -> str:
    """The story for a terminal, or for whoever reads it without a picture."""
    head = f"Order {about.id}: {about.amount}, under the key {about.key}."
    lines = [*textwrap.wrap(f"{head} {summary(scenes)}", _WIDTH), ""]
    for place, scene in enumerate(scenes):
        when = clock(scene.at) if place == 0 else f"+{since(scenes[0].at, scene.at)}"
        if place == 0:
            lines.append(when)
        told = textwrap.wrap(scene.tells, _WIDTH - _INDENT) or [""]
        lines.append(f"{'' if place == 0 else when:<{_INDENT}}{told[0]}")
        lines += [" " * _INDENT + line for line in told[1:]]
    return "\n".join(lines) + "\n"


def _texts(scene: Scene) -> str:
    return " ".join(arrow.text for arrow in scene.arrows)


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def _number(count: int, one: str, more: str) -> str:
    return "" if count == 0 else f"{count} {one if count == 1 else more}"
