"""The picture as SVG. Everything is styled by classes: a strict policy allows no inline style. Pure."""

import re
from collections.abc import Iterator, Sequence
from html import escape

from service.console.story.folding import fold
from service.console.story.layout import (
    HEAD,
    LANES,
    WIDTH,
    Picture,
    Row,
    Strip,
    Text,
    lane_x,
    lay_out,
)
from service.console.story.model import Bar, Kind, Lane, Scene
from service.console.story.telling import clock

_ARE = {
    Lane.PRODUCER: "who orders",
    Lane.API: "the door",
    Lane.OUTBOX: "PostgreSQL",
    Lane.BROKER: "Redis",
    Lane.WORKER: "one of many",
    Lane.STRIPE: "the money",
    Lane.LEDGER: "the books",
}
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_HALF_HEAD = 56  # half the width of a lane's name
# Signs, 16 wide and high: a shield, a cross, a tick, a clock, a hand.
_SIGNS = {
    Kind.ABSORBED: "M8 1 14 3v5c0 4-3 6-6 7-3-1-6-3-6-7V3zM5 8l2 2 4-4",
    Kind.LOST: "M4 4l8 8M12 4l-8 8",
    Kind.BAD: "M4 4l8 8M12 4l-8 8",
    Kind.GOOD: "M3 8.5 6.5 12 13 4.5",
    Kind.WAITS: "M8 2a6 6 0 1 0 .1 0zM8 4.5V8l2.5 2",
    Kind.PARKED: "M5 3v10M11 3v10",
    Kind.HUMAN: "M8 2.5a2.5 2.5 0 1 0 .1 0zM3 14c0-6 10-6 10 0",
    Kind.STATE: "M3 8h10",
    Kind.FOLD: "M3 8h.1M8 8h.1M13 8h.1",
}


def draw(scenes: Sequence[Scene], *, title: str, description: str) -> str:
    """The scenes as one SVG element, repeats folded. `title` and `description` are its text alternative."""
    picture = lay_out(fold(scenes))
    size = f'width="{WIDTH}" height="{picture.height}" viewBox="0 0 {WIDTH} {picture.height}"'
    name = 'role="img" aria-labelledby="seq-title seq-desc"'
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="seq" {name} {size}>',
            f'<title id="seq-title">{_text(title)}</title>',
            f'<desc id="seq-desc">{_text(description)}</desc>',
            *_lanes(picture),
            *(halo for strip in picture.strips for row in strip.rows for halo in _halos(row)),
            *_bars(picture),
            *(line for strip in picture.strips for line in _strip(strip)),
            "</svg>",
        )
    )


def _lanes(picture: Picture) -> Iterator[str]:
    bottom = picture.height - HEAD
    for lane in LANES:
        x = lane_x(lane)
        yield from _line(picture, x, bottom + 12)
        for top in (8, bottom + 12):
            yield f'<rect class="seq-head" x="{x - _HALF_HEAD}" y="{top}" width="{2 * _HALF_HEAD}" height="42" rx="8"/>'
            yield f'<text class="seq-name" x="{x}" y="{top + 18}" text-anchor="middle">{lane}</text>'
            yield f'<text class="seq-is" x="{x}" y="{top + 34}" text-anchor="middle">{_ARE[lane]}</text>'
    yield from (_written(pause.text, "seq-later") for pause in picture.pauses)


def _line(picture: Picture, x: int, bottom: int) -> Iterator[str]:
    """A lane, dotted where time passes."""
    top = HEAD - 12
    for pause in picture.pauses:
        yield f'<path class="seq-line" d="M{x} {top}V{pause.top}"/>'
        yield f'<path class="seq-line seq-dots" d="M{x} {pause.top}V{pause.bottom}"/>'
        top = pause.bottom
    yield f'<path class="seq-line" d="M{x} {top}V{bottom}"/>'


def _bars(picture: Picture) -> Iterator[str]:
    """For how long a worker has an effect in hand; one that was never answered is broken off."""
    begun: dict[str, int] = {}
    x = lane_x(Lane.WORKER) - 5
    for strip in picture.strips:
        of, bar, rows = strip.scene.of, strip.scene.bar, strip.rows
        if bar in (Bar.ENDS, Bar.BREAKS) and (top := begun.pop(of, None)) is not None:
            broken = bar is Bar.BREAKS
            bottom = rows[0].box[1] if broken and rows[0].box else rows[0].y
            dead = " seq-dead" if broken else ""
            yield f'<rect class="seq-bar{dead}" x="{x}" y="{top}" width="10" height="{max(bottom - top, 4)}" rx="2"/>'
        if bar in (Bar.BEGINS, Bar.BREAKS):
            begun[of] = rows[-1].y
    bottom = picture.height - HEAD
    for top in begun.values():
        yield f'<rect class="seq-bar seq-open" x="{x}" y="{top}" width="10" height="{max(bottom - top, 4)}" rx="2"/>'


def _strip(strip: Strip) -> Iterator[str]:
    events = " ".join(str(place) for place in strip.scene.events)
    yield f'<g class="seq-scene" data-name="{_text(strip.scene.name)}" data-events="{events}">'
    yield f"<title>{_text(f'{clock(strip.scene.at)}: {strip.scene.tells}')}</title>"
    if strip.time is not None:
        yield _written(strip.time, "seq-time")
    for row in strip.rows:
        yield f'<g class="seq-{row.arrow.kind}">'
        yield f"<title>{_text(_said(row))}</title>"
        yield from _banded(row) if row.arrow.is_band else _noted(row) if row.box else _pointed(row)
        yield "</g>"
    yield "</g>"


def _said(row: Row) -> str:
    arrow = row.arrow
    way = "" if row.box else f"{arrow.source} to {arrow.target}: "
    return f"{way}{arrow.text}{f' ({arrow.small})' if arrow.small else ''}"


def _pointed(row: Row) -> Iterator[str]:
    """An arrow with its texts above it. A lost one ends on its way; what was absorbed ends at a shield."""
    arrow, y = row.arrow, row.y
    start, end = lane_x(arrow.source), lane_x(arrow.target)
    way = 1 if end > start else -1
    start += 6 * way if arrow.source is Lane.WORKER else 0
    end -= (8 if arrow.target is Lane.WORKER else 3) * way
    yield from (_written(text, "seq-small" if text.small else "seq-label") for text in row.texts)
    if arrow.kind is Kind.LOST:
        middle = (start + end) // 2
        yield f'<path class="seq-arrow" d="M{start} {y}H{middle - 10 * way}"/>'
        yield _sign(Kind.LOST, middle, y)
        return
    tip = end - 18 * way if arrow.kind is Kind.ABSORBED else end
    yield f'<path class="seq-arrow" d="M{start} {y}H{tip - 8 * way}"/>'
    yield f'<path class="seq-tip" d="M{tip} {y}l{-10 * way} -5v10z"/>'
    if arrow.via is not None:
        yield f'<circle class="seq-via" cx="{lane_x(arrow.via)}" cy="{y}" r="5"/>'
    if arrow.kind is Kind.ABSORBED:
        yield _sign(Kind.ABSORBED, end - 7 * way, y)


def _noted(row: Row) -> Iterator[str]:
    if row.box is None:
        return
    left, top, width, height = row.box
    yield f'<rect class="seq-note" x="{left}" y="{top}" width="{width}" height="{height}" rx="6"/>'
    yield _sign(row.arrow.kind, left + 13, top + 15)
    yield from (_written(text, "seq-small" if text.small else "seq-label") for text in row.texts)


def _banded(row: Row) -> Iterator[str]:
    first, last = lane_x(LANES[0]) - _HALF_HEAD, lane_x(LANES[-1]) + _HALF_HEAD
    yield f'<path class="seq-band" d="M{first} {row.y}H{last}"/>'
    yield from _noted(row)


def _halos(row: Row) -> Iterator[str]:
    """The ground beneath the texts, so that no lane strikes them through."""
    for text in row.texts if row.box is None else ():
        left, top, right, bottom = text.box
        yield (
            f'<rect class="seq-halo" x="{left - 3:.0f}" y="{top - 1:.0f}" width="{right - left + 6:.0f}" '
            f'height="{bottom - top + 2:.0f}"/>'
        )


def _sign(kind: Kind, x: int, y: int) -> str:
    return f'<path class="seq-sign" transform="translate({x - 8} {y - 8})" d="{_SIGNS[kind]}"/>'


def _written(text: Text, style: str) -> str:
    return f'<text class="{style}" x="{text.x}" y="{text.y}" text-anchor="{text.anchor}">{_text(text.text)}</text>'


def _text(text: str) -> str:
    """As XML may hold it: a control character that it may not is shown as unknown."""
    return escape(_NO_XML.sub("\ufffd", text))
