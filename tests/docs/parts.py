"""The generated parts of the pages: where they stand, and how they are read and written.

A part stands in a page between `<!-- generated: NAME -->` and `<!-- end -->`. No name stands in two places.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
_PART = re.compile(r"(<!-- generated: (?P<name>[^>]+?) -->\n)(?P<text>.*?)(<!-- end -->)", re.DOTALL)


def names() -> list[str]:
    """The name of every part, in the order of the pages."""
    return [part["name"] for page in PAGES for part in _PART.finditer(page.read_text())]


def written(name: str) -> str | None:
    """What the pages say in this part; None where there is no such part."""
    found = (part for page in PAGES for part in _PART.finditer(page.read_text()))
    return next((part["text"].strip("\n") for part in found if part["name"] == name), None)


def write(parts: Mapping[str, Callable[[], str]]) -> list[str]:
    """Write these parts anew; the names of the pages that have changed."""
    changed = []
    for page in PAGES:
        old = page.read_text()
        new = _PART.sub(lambda part: _renewed(part, parts), old)
        if new != old:
            page.write_text(new)
            changed.append(str(page.relative_to(ROOT)))
    return changed


def _renewed(part: re.Match[str], parts: Mapping[str, Callable[[], str]]) -> str:
    make = parts.get(part["name"])
    return part[0] if make is None else f"{part[1]}{make()}\n{part[4]}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join([_line(head), "|" + "---|" * len(head), *(_line(row) for row in rows)])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    return re.sub(r"\s*\n\s*", " ", text).replace("|", "\\|")


def comments(module: ModuleType) -> dict[int, str]:
    """By the number of a source line: what the comment lines directly above it and the comment behind it say."""
    lines = inspect.getsource(module).splitlines()
    found: dict[int, str] = {}
    above: list[str] = []
    for number, line in enumerate(lines, 1):
        code, _, behind = line.partition("  # ") if not line.strip().startswith("#") else ("", "", "")
        if code.strip():
            found[number] = " ".join([*above, *([behind] if behind and behind != "fmt: skip" else [])])
            above = []
        else:
            above = [*above, line.strip().removeprefix("#").strip()] if line.strip() else []
    return {number: text for number, text in found.items() if text}
