"""A run as an SVG for the README: drawn by rich, with no font or anything else from another host."""

import io
import re
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from demo.screen import style_of
from demo.summary import Result, tables

_WIDTH = 118
_FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_ONLY_HOST = "http://www.w3.org/"  # names of XML namespaces; nothing is fetched from there


def write(path: Path, result: Result, said: list[str]) -> None:
    """Write the announcements and the closing tables of a run."""
    console = Console(record=True, width=_WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text("$ eo demo", style="bold"))
    for line in said:
        console.print(Text(line, style=style_of(line), no_wrap=True, overflow="ellipsis"))
    for table in tables(result):
        console.print(table)
    svg = console.export_svg(title="eo demo", code_format=_without_fonts(CONSOLE_SVG_FORMAT))
    strangers = [url for url in re.findall(r"https?://[^\s\"'<>)]+", svg) if not url.startswith(_ONLY_HOST)]
    if strangers:
        raise ValueError(f"the picture would fetch {strangers}")
    path.write_text(svg)


def _without_fonts(template: str) -> str:
    """Rich's own template loads its font from a host; the reader's monospace font does as well."""
    bare = re.sub(r"@font-face \{\{.*?\}\}\s*|<!--.*?-->\s*", "", template, flags=re.DOTALL)
    return bare.replace("Fira Code, monospace", _FONT).replace("font-family: arial", "font-family: sans-serif")
