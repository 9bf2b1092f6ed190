"""docs/rules.md leads from every "R15" in the code to its reason, its code, its test and what is red without it."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.foundation.crash import CrashPoint
from tests.chaos.mutations import MUTATIONS, Mutation
from tests.model.document import AnyRule
from tests.model.effects.rules import RULES_OF_EFFECTS
from tests.model.rules import RULES, RULES_OF_LIVES

ROOT = Path(__file__).parents[2]
TEXT = re.sub(r"\n +", " ", (ROOT / "docs/rules.md").read_text())  # each item is one line
SECTIONS = {part.partition("\n")[0]: part for part in re.split(r"^### ", TEXT, flags=re.MULTILINE)[1:]}
NOT_BUILT = set(re.findall(r"R\d+", TEXT.partition("**Not built yet**")[2].partition("\n## ")[0])) - SECTIONS.keys()
PROTOCOL = next((ROOT / "docs").rglob("protocol.md")).read_text()
# Their schedules are shown all the same: an old primary goes on; the sweep is not built yet.
NOT_KEPT = {"R31 fenced", "R31 sweep"}
KEPT = [rule for rule in (*RULES, *RULES_OF_LIVES, *RULES_OF_EFFECTS) if rule.name not in NOT_KEPT]


def named_rules() -> set[str]:
    """Every rule that a tracked file names, in a comment, a docstring, a test or a page."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listed.stdout.split("\0") if name.endswith((".py", ".md", ".toml", ".yaml"))]
    return {rule for file in files if file.is_file() for rule in re.findall(r"\bR[1-9]\d?\b", file.read_text())}


def item(rule: str, name: str) -> str:
    found = re.search(rf"^- {name}: (.+)$", SECTIONS[rule], re.MULTILINE)
    assert found, f"{rule} has no {name}"
    return found[1]


def test_every_rule_that_is_named_has_its_section_and_none_that_is_not_built() -> None:
    numbers = [int(rule.removeprefix("R")) for rule in SECTIONS]
    assert numbers == sorted(set(numbers))
    unknown = named_rules() - SECTIONS.keys() - NOT_BUILT
    assert not unknown, f"docs/rules.md has no section for {unknown}"


def test_no_number_of_a_rule_is_said_to_who_looks_at_the_console() -> None:
    files = [
        file for folder in ("console", "ops/chaos", "web/console") for file in (ROOT / "service" / folder).rglob("*.py")
    ]
    assert [said for file in files for said in strings(file) if re.search(r"\bR[1-9]\d?\b", said)] == []


def strings(file: Path) -> Iterator[str]:
    """The texts in a file that are no docstrings."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


@pytest.mark.parametrize("rule", SECTIONS)
def test_a_rule_has_a_sentence_a_reason_code_and_a_test(rule: str) -> None:
    """That the files and tests exist is held for every page, by test_names_in_prose and test_docs.

    Where one of the files names the rule, the code has not moved on without the page.
    """
    assert re.search(r"^\*\*.+\.\*\*", SECTIONS[rule].replace("\n", " ").partition(" ")[2].strip())
    assert item(rule, "Why")
    files = re.findall(r"`((?:service|workers)/[\w/]+\.py)`", item(rule, "Code"))
    assert any(rule in re.findall(r"R\d+", (ROOT / file).read_text()) for file in files), f"none of {files} names it"
    assert re.search(r"`tests/[\w/]+\.py::test_\w+`", item(rule, "Test"))
    assert item(rule, "Red without it")


def test_every_mutation_has_its_rule_or_is_said_to_have_none() -> None:
    above = TEXT.partition("\n## ")[0].replace("\n", " ")
    named = re.findall(r'"(\w+: .+?)"', " ".join([above, *(item(rule, "Red without it") for rule in SECTIONS)]))
    assert set(named) == {mutation.name for mutation in MUTATIONS}


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mutation_still_finds_its_guard_and_its_tests(mutation: Mutation) -> None:
    """Code that moves on leaves a mutation behind that breaks nothing, and is seen by nobody until it is run."""
    assert (ROOT / mutation.path).read_text().count(mutation.old) == 1
    for wanted in mutation.tests:
        file, _, start = wanted.partition("::")
        assert re.search(rf"^(?:async )?def {start.partition('[')[0]}", (ROOT / file).read_text(), re.MULTILINE), wanted


def test_the_crash_points_that_are_named_exist() -> None:
    red = [item(rule, "Red without it") for rule in SECTIONS]
    points = {point for text in red for point in re.findall(r"`(\w+\.\w+)`", text)}
    assert points <= set(CrashPoint)


@pytest.mark.parametrize("rule", KEPT, ids=lambda rule: rule.part)
def test_every_schedule_of_the_model_is_shown_at_its_rule(rule: AnyRule) -> None:
    above = PROTOCOL.partition(f"<!-- generated: {rule.part} -->")[0]
    heading = re.findall(r"^### (.+)$", above, re.MULTILINE)[-1]
    anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
    assert f"protocol.md#{anchor})" in item(rule.name.split()[0], "Red without it")
