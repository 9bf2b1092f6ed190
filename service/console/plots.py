"""Small plots as inline SVG, drawn here and coloured by console.css. Pure.

A plot stretches with its place, so words stand beside it as HTML. What it shows is also said in words: by the table
that a bar stands in, or by the label of a line.
"""

from collections.abc import Sequence

from markupsafe import Markup

_WIDE, _HIGH = 100, 30


def bar(value: float, most: float, fill: str) -> Markup:
    """A bar as long as `value` is of `most`, which stands in a table beside its number."""
    width = round(100 * value / most, 2) if most > 0 else 0
    shown = max(width, 0.6) if value > 0 else 0
    return Markup(
        '<svg class="bar-plot" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<rect class="back" width="100" height="10"/><rect class="{fill}" width="{width}" height="10"/></svg>'
    ).format(fill=fill, width=shown)


def line(values: Sequence[float], label: str, number: int = 1) -> Markup:
    """A line of equally spaced values from 0 up, with the colour of that number; `label` says what it shows."""
    most = max([*values, 1.0])
    points = [(_at(place, len(values)), _HIGH - 1 - value / most * (_HIGH - 2)) for place, value in enumerate(values)]
    way = " ".join(f"{x:.2f},{y:.2f}" for x, y in points)
    first, last = (points[0][0], points[-1][0]) if points else (0.0, 0.0)
    return Markup(
        '<svg class="line-plot" viewBox="0 0 {wide} {high}" preserveAspectRatio="none" role="img" aria-label="{label}">'
        '<line class="axis" x1="0" x2="{wide}" y1="{floor}" y2="{floor}"/>'
        '<polygon class="area fill-{number}" points="{first:.2f},{floor} {way} {last:.2f},{floor}"/>'
        '<polyline class="line-{number}" points="{way}"/></svg>'
    ).format(wide=_WIDE, high=_HIGH, floor=_HIGH - 0.5, label=label, number=number, first=first, last=last, way=way)


def _at(place: int, many: int) -> float:
    """Where a value stands: the newest at the right, and the first of a line that has just begun beside it."""
    room = max(many - 1, 59)
    return _WIDE * (room - (many - 1 - place)) / room
