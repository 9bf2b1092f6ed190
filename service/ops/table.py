"""Rows as a table that fits the terminal, or with one field per line where no table fits. Pure except for `width`.

No text is cut off: a cell that is too long continues in the next line, and only a word longer than a line is broken.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from textwrap import wrap

_GAP = 2
_WIDEST = 100  # columns; also the width of output that goes to a file


def width() -> int:
    """How many columns a line may have."""
    return max(40, min(_WIDEST, shutil.get_terminal_size((_WIDEST, 24)).columns))


def lines(rows: Sequence[Mapping[str, object]], columns: int) -> list[str]:
    """The rows as a table with the first row's names as its head; a block per row where no table fits `columns`."""
    if not rows:
        return []
    names = list(rows[0])
    cells = [[_text(row[name]) for name in names] for row in rows]
    room = columns - _GAP * (len(names) - 1)
    widths = _fitting([names, *cells], room)
    return list(_table([names, *cells], widths) if widths else _blocks(names, cells, columns))


def fields(row: Mapping[str, object], columns: int) -> list[str]:
    """One row as a block with one field per line."""
    return list(_block(list(row), [_text(value) for value in row.values()], columns))


def paragraph(text: str, columns: int) -> list[str]:
    """A sentence in lines of at most `columns` characters, indented from the second on."""
    return wrap(text, columns, subsequent_indent=" " * _GAP)


def age(then: datetime) -> str:
    """How long ago an instant was, in its largest unit: 40s, 12m, 3h, 5d; `in 40s` for a future one."""
    seconds = round((datetime.now(UTC) - then).total_seconds())
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")):
        if abs(seconds) >= size:
            return f"{'in ' if seconds < 0 else ''}{abs(seconds) // size}{unit}"
    return "0s"


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return "" if value is None else _printable(" ".join(str(value).split()))


def _printable(text: str) -> str:
    """The text with control and invisible characters written as escapes, so that a terminal shows them."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _fitting(rows: list[list[str]], room: int) -> list[int]:
    """A width per column; empty where no table fits `room`. A column is never narrower than its longest word."""
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    least = [max((len(word) for cell in column for word in cell.split()), default=0) for column in columns]
    while sum(widths) > room:
        spare, widest = max((have - need, n) for n, (have, need) in enumerate(zip(widths, least, strict=True)))
        if spare <= 0:
            return []
        widths[widest] -= min(spare, sum(widths) - room)
    return widths


def _table(rows: list[list[str]], widths: list[int]) -> Iterator[str]:
    for row in rows:
        wrapped = [wrap(cell, max(size, 1)) or [""] for cell, size in zip(row, widths, strict=True)]
        for n in range(max(map(len, wrapped))):
            parts = [part[n] if n < len(part) else "" for part in wrapped]
            yield (" " * _GAP).join(part.ljust(size) for part, size in zip(parts, widths, strict=True)).rstrip()


def _blocks(names: list[str], rows: list[list[str]], columns: int) -> Iterator[str]:
    for n, cells in enumerate(rows):
        if n:
            yield ""
        yield from _block(names, cells, columns)


def _block(names: list[str], cells: list[str], columns: int) -> Iterator[str]:
    indent = max(map(len, names)) + _GAP
    for name, cell in zip(names, cells, strict=True):
        first, *rest = wrap(cell, max(columns - indent, 20)) or [""]
        yield f"{name.ljust(indent)}{first}".rstrip()
        yield from (f"{' ' * indent}{more}" for more in rest)
