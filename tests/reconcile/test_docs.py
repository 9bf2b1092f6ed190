"""docs/reference/discrepancies.md and exit-codes.md say what the code does."""

import re
from pathlib import Path

from service.reconcile.classes import CLASSES

DOCS = Path(__file__).parents[2] / "docs/reference"
PAGE = (DOCS / "discrepancies.md").read_text()


def test_the_page_names_every_class_and_no_other() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(CLASSES)


def test_the_page_names_every_exit_code() -> None:
    assert re.findall(r"^\| (\d) \|", (DOCS / "exit-codes.md").read_text(), re.MULTILINE) == ["0", "1", "2", "3", "4"]
