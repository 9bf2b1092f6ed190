"""The way of one order, POST to booked: few enough files, short enough, and listed in docs with what they are for.

`python -m tests.meta.test_the_way` writes the numbers of lines anew.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES_MAX, LINES_MAX, FILE_MAX = 16, 2_400, 300
OFF_MAX = 10  # lines by which a number in docs may be off: it tells a reader's time, no more
_ROW = re.compile(r"^\| `((?:service|workers)/[\w/]+\.py)` \| (\d+) \|", re.MULTILINE)


def page() -> Path:
    """The page that has the list."""
    (found,) = [p for p in (ROOT / "docs").rglob("*.md") if "<!-- the way -->" in p.read_text()]
    return found


def lines_of(path: str) -> int:
    return len((ROOT / path).read_text().splitlines())


def test_the_way_of_one_order_is_read_in_an_hour() -> None:
    shown = {path: int(lines) for path, lines in _ROW.findall(page().read_text())}
    now = {path: lines_of(path) for path in shown}
    assert 10 < len(now) <= FILES_MAX
    assert sum(now.values()) <= LINES_MAX, f"{sum(now.values())} lines"
    assert {path: n for path, n in now.items() if n > FILE_MAX} == {}
    off = {path: n for path, n in now.items() if abs(n - shown[path]) > OFF_MAX}
    assert off == {}, "run: python -m tests.meta.test_the_way"


if __name__ == "__main__":
    found = page()
    text = _ROW.sub(lambda m: f"| `{m[1]}` | {lines_of(m[1])} |", found.read_text())
    found.write_text(text)
