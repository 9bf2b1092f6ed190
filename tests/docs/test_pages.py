"""A generated part of a page says what the code says; `make docs` writes them all anew."""

import re

import pytest

from service.ledger import checks
from tests.docs.all_parts import ALL, QUICK
from tests.docs.parts import ROOT, names, written


@pytest.mark.parametrize("name", QUICK)
def test_no_generated_part_is_stale(name: str) -> None:
    assert written(name) == QUICK[name](), "run: make docs"


def test_every_part_stands_in_one_page_and_every_page_has_known_parts() -> None:
    assert sorted(names()) == sorted(ALL)


def test_the_page_explains_every_finding_of_ledger_verify_and_no_other() -> None:
    page = (ROOT / "docs/reference/journal.md").read_text()
    section = page.partition("\n## What `eo ledger verify` finds\n")[2]
    rows = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `")]
    told = re.findall(r"`(\w+)`", "".join(rows))
    assert sorted(told) == sorted([*checks._PASSES, "entry_altered"])
