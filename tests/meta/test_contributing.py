"""What a second contributor is handed fits the project: recipes, hooks, CI."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
RECIPES = ("A route", "A setting", "A migration", "A state", "A discrepancy class", "An outbox kind")
MAKEFILE = (ROOT / "Makefile").read_text()


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_names_its_files_and_the_tests_that_are_red_without_a_step(name: str) -> None:
    """That they exist is held for every page, by test_names_in_prose and test_docs."""
    steps, _, forgotten = PAGE.partition(f"### {name}\n")[2].partition("\n##")[0].partition("Forgotten?")
    assert re.search(r"`(?:service|workers)/[\w/]+\.py`", steps)
    assert len(re.findall(r"`tests/[\w/]+\.py::test_\w+`", forgotten)) >= 3


def test_the_hooks_run_what_make_check_runs() -> None:
    recipes = re.findall(r"^(?:lint|check):.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert len(recipes) == 2
    checks = [line.strip().replace("$(BIN)", ".venv/bin") for line in "".join(recipes).splitlines()]
    (repository,) = read(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local", "nothing is fetched"
    assert [hook["entry"] for hook in repository["hooks"]] == checks


def test_ci_runs_the_suite_on_every_supported_postgresql_and_the_oldest_python() -> None:
    (job,) = read(".github/workflows/ci.yml")["jobs"].values()
    matrix = job["strategy"]["matrix"]["include"]
    assert {leg["postgres"] for leg in matrix} == {"15", "16", "18"}
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")
    assert oldest in {leg["python"] for leg in matrix}
    assert job["env"]["EO_TEST_POSTGRES"] == "${{ matrix.postgres }}"
    assert job["steps"][-1]["run"] == "make test"


def test_no_revision_imports_the_service() -> None:
    """What a revision did once, it does for ever: code that it took from elsewhere would change under it."""
    for revision in (ROOT / "migrations/versions").glob("*.py"):
        assert not re.search(r"^\s*(?:from|import) (?:service|workers)\b", revision.read_text(), re.MULTILINE), (
            revision.name
        )


def test_whatever_ci_uses_is_pinned_to_a_commit() -> None:
    for file in (ROOT / ".github/workflows").glob("*.yml"):
        used = re.findall(r"uses: (\S+)(.*)", file.read_text())
        assert used
        for action, comment in used:
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), action
            assert re.fullmatch(r" # v[\d.]+", comment), action


def test_every_make_target_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([a-z][\w%-]*):", MAKEFILE, re.MULTILINE))
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for name in re.findall(r"`make ([a-z][\w-]*)", page.read_text()):
            assert name in targets or name.startswith("bench-"), f"{page.name} names make {name}"
