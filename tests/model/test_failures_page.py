"""docs/reference/failures.md is complete: a test in every row, and a row for every point of death."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from service.foundation.crash import CrashPoint

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/failures.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| **")]
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))


def test_every_row_says_everything_and_names_a_test() -> None:
    assert len(ROWS) > 30
    for row in ROWS:
        cells = [cell.strip() for cell in row.strip("|").split(" | ")]
        assert len(cells) == 5, row
        assert all(cells), row
        assert "::test_" in cells[3], row


@cache
def functions(path: str) -> set[str]:
    found = ast.walk(ast.parse((ROOT / path).read_text()))
    return {node.name for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize(("path", "name"), TESTS, ids=lambda part: part.rsplit("/")[-1])
def test_every_test_that_the_page_names_exists(path: str, name: str) -> None:
    assert name in functions(path)


@pytest.mark.parametrize("point", list(CrashPoint))
def test_every_point_of_death_has_its_row(point: CrashPoint) -> None:
    assert any(f"(`{point}`)" in row for row in ROWS)
