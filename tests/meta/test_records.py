"""The decisions are whole and listed; the glossary has each word once."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
RECORDS = sorted((DOCS / "decisions").glob("0*.md"))
HEADINGS = ["Context", "Decision", "Consequences", "Measured"]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_a_decision_says_why_what_and_what_follows_on_one_page(record: Path) -> None:
    text = record.read_text()
    assert re.match(rf"# {record.name[:4]} \S", text)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    assert all(part.strip() for part in re.split(r"^## .+$", text, flags=re.MULTILINE))
    assert "\nCode: " in text
    assert len(text.splitlines()) <= 50


def test_the_list_has_every_decision_in_order() -> None:
    assert [record.name[:4] for record in RECORDS] == [f"{n:04}" for n in range(1, len(RECORDS) + 1)]
    listed = re.findall(r"^\| \[\d+\]\((\S+)\)", (DOCS / "decisions/README.md").read_text(), re.MULTILINE)
    assert listed == [record.name for record in RECORDS]


def test_the_glossary_has_each_word_once_in_order() -> None:
    table = (DOCS / "glossary.md").read_text().partition("## Words with several meanings")[0]
    words = re.findall(r"^\| ([a-z][\w -]+) \|", table, re.MULTILINE)[1:]  # the first row is the head
    assert words == sorted(set(words))
    assert len(words) > 30
