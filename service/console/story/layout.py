"""Where everything of the picture stands: each scene in a strip of its own, so that no text can meet another. Pure.

Widths are guessed from above: text is drawn by whatever font a browser has, and must fit in its box all the same.
"""

import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

from service.console.story.model import Arrow, Lane, Scene
from service.console.story.telling import since, span

LANES = tuple(Lane)
TIMES_WIDTH = 128
_FIRST_LANE, _LANE_GAP = TIMES_WIDTH + 62, 144
WIDTH = _FIRST_LANE + _LANE_GAP * (len(LANES) - 1) + 78
HEAD = 62  # height of the names of the lanes, above and below
LABEL, SMALL = 13, 11  # sizes of letters
# Widths of letters by their size, as wide fonts have them (DejaVu Sans); all others: _USUAL. Ids: _MONO each.
_WIDTHS = {
    letter: width
    for letters, width in (
        ("ijlI'|.,:; ", 0.34),
        ('frt()[]/-·"`', 0.46),
        ("ABCDEFGHJKLNOPQRSTUVXYZ&", 0.78),
        ("mwMW@%…", 1.0),
    )
    for letter in letters
}
_USUAL, _MONO = 0.65, 0.61
_LINE, _SMALL_LINE = 17, 15
LABEL_WIDTH, _NOTE_WIDTH = 430, 330
_LINES_MAX = 4
GAP = timedelta(seconds=1)  # a longer pause is shown as one
_GAP_HEIGHT = 30
_PAD = 9
_SHOWN_MAX = 44  # characters of an id
_EDGE, _OFF_BAR = 16, 14
Anchor = Literal["start", "middle", "end"]


def lane_x(lane: Lane) -> int:
    """The middle of a lane."""
    return _FIRST_LANE + _LANE_GAP * LANES.index(lane)


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text. `y` is its baseline; `small` is set in the font of ids."""

    x: int
    y: int
    text: str
    anchor: Anchor = "middle"
    small: bool = False

    @property
    def width(self) -> float:
        """How wide it may be drawn."""
        return width_of(self.text, small=self.small)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        left = {"start": self.x, "middle": self.x - self.width / 2, "end": self.x - self.width}[self.anchor]
        height = SMALL if self.small else LABEL
        return left, self.y - height, left + self.width, self.y + height * 0.3


@dataclass(frozen=True, slots=True)
class Row:
    """One arrow, note or band with its texts. `y` is where its line is; a note and a band have a box there."""

    arrow: Arrow
    y: int
    texts: tuple[Text, ...]
    box: tuple[int, int, int, int] | None = None  # left, top, width, height


@dataclass(frozen=True, slots=True)
class Strip:
    """A scene with its rows, and when it was."""

    scene: Scene
    top: int
    bottom: int
    time: Text | None  # none where it is as that of the scene above
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause between two scenes."""

    top: int
    bottom: int
    text: Text


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything that is drawn, from above to below."""

    strips: tuple[Strip, ...]
    pauses: tuple[Pause, ...]
    height: int

    def texts(self) -> Iterator[Text]:
        """Every text between the names of the lanes."""
        for strip in self.strips:
            if strip.time is not None:
                yield strip.time
            for row in strip.rows:
                yield from row.texts
        for pause in self.pauses:
            yield pause.text


def lay_out(scenes: Sequence[Scene]) -> Picture:
    """Place the scenes one beneath the other."""
    strips: list[Strip] = []
    pauses: list[Pause] = []
    y, shown = HEAD, ""
    for place, scene in enumerate(scenes):
        waited = scene.at - scenes[place - 1].at if place else timedelta()
        if waited >= GAP:
            text = Text(TIMES_WIDTH - 10, y + 19, f"{span(waited)} later", "end", small=True)
            pauses.append(Pause(y, y + _GAP_HEIGHT, text))
            y += _GAP_HEIGHT
        time = since(scenes[0].at, scene.at)
        strips.append(_strip(scene, y, "" if time == shown else time))
        y, shown = strips[-1].bottom, time
    return Picture(tuple(strips), tuple(pauses), y + HEAD)


def _strip(scene: Scene, top: int, time: str) -> Strip:
    rows: list[Row] = []
    y = top
    for arrow in scene.arrows:
        row, y = _row(arrow, y)
        rows.append(row)
    written = Text(TIMES_WIDTH - 10, rows[0].texts[0].y, time, "end", small=True) if time else None
    return Strip(scene, top, y, written, tuple(rows))


def _row(arrow: Arrow, top: int) -> tuple[Row, int]:
    if arrow.is_band:
        return _banded(arrow, top)
    return _noted(arrow, top) if arrow.source == arrow.target else _pointed(arrow, top)


def _pointed(arrow: Arrow, top: int) -> tuple[Row, int]:
    """Its texts stand above its line. Right of the worker they keep off its bar."""
    left, right = sorted((lane_x(arrow.source), lane_x(arrow.target)))
    texts, y = _lines(arrow, (left + right) // 2, top + _PAD, LABEL_WIDTH)
    beside = lane_x(Lane.WORKER) + _OFF_BAR
    if left >= lane_x(Lane.WORKER) and any(text.box[0] < beside for text in texts):
        texts, y = _lines(arrow, beside, top + _PAD, WIDTH - _EDGE - beside, anchor="start")
    return Row(arrow, y + 4, texts), y + 4 + _PAD


def _noted(arrow: Arrow, top: int) -> tuple[Row, int]:
    texts, y = _lines(arrow, lane_x(arrow.source), top + _PAD + 5, _NOTE_WIDTH)
    left, right = min(t.box[0] for t in texts), max(t.box[2] for t in texts)
    box = (int(left) - 26, top + _PAD - 2, int(right - left) + 36, y - top - _PAD + 8)
    return Row(arrow, (top + y) // 2, texts, box), y + 8 + _PAD


def _banded(arrow: Arrow, top: int) -> tuple[Row, int]:
    middle = (lane_x(LANES[0]) + lane_x(LANES[-1])) // 2
    texts, y = _lines(arrow, middle, top + _PAD + 5, LABEL_WIDTH)
    left, right = min(t.box[0] for t in texts), max(t.box[2] for t in texts)
    box = (int(left) - 26, top + _PAD - 2, int(right - left) + 42, y - top - _PAD + 8)
    return Row(arrow, (box[1] * 2 + box[3]) // 2, texts, box), y + 8 + _PAD


def _lines(arrow: Arrow, x: int, top: int, width: int, anchor: Anchor = "middle") -> tuple[tuple[Text, ...], int]:
    """The texts of an arrow, and where they end."""
    texts: list[Text] = []
    y = top
    for line in wrapped(arrow.text, width, small=False):
        y += _LINE
        texts.append(_inside(Text(x, y - 4, line, anchor)))
    for line in wrapped(shortened(arrow.small), width, small=True):
        y += _SMALL_LINE
        texts.append(_inside(Text(x, y - 4, line, anchor, small=True)))
    return tuple(texts), y


def _inside(text: Text) -> Text:
    """The text, moved so far that it stands right of the times and left of the edge."""
    if text.anchor != "middle":
        return text
    half = int(text.width / 2) + 1
    x = min(max(text.x, TIMES_WIDTH + 34 + half), WIDTH - _EDGE - half)
    return replace(text, x=x)


def wrapped(text: str, width: int, *, small: bool) -> list[str]:
    """The text in lines that fit; what would be more than four lines ends in an ellipsis."""
    if not text:
        return []
    fits = width // 6
    while True:
        lines = textwrap.wrap(text, fits, max_lines=_LINES_MAX, placeholder=" …") or [text[:fits]]
        if all(width_of(line, small=small) <= width for line in lines):
            return lines
        fits = fits * 9 // 10  # wide letters


def width_of(text: str, *, small: bool) -> float:
    """How wide a line may be drawn. A letter of Chinese is as wide as high."""
    widths = (
        1.05 if unicodedata.east_asian_width(letter) in "WF" else _MONO if small else _WIDTHS.get(letter, _USUAL)
        for letter in text
    )
    return (SMALL if small else LABEL) * sum(widths)


def shortened(text: str) -> str:
    """The text with each long word cut in its middle: an id is known by its beginning and its end."""
    return " ".join(
        word if len(word) <= _SHOWN_MAX else f"{word[: _SHOWN_MAX - 13]}…{word[-12:]}" for word in text.split()
    )
