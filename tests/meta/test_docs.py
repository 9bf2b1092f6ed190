"""What the documentation says is checked: settings, commands, tests, links, and that nobody's machine is named."""

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import click
import pytest

from service.foundation.knobs import OF_THE_SANDBOX
from service.foundation.settings import KNOBS, Settings
from service.ops.cli import cli

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
LISTED = ROOT / "docs/reference/commands.md"  # where every command is, because it is generated
# Variables that tests and tools read, and that are no knob of a running service.
NOT_SETTINGS = {"EO_CRASH_AT", "EO_TEST_POSTGRES", *OF_THE_SANDBOX}


def commands() -> list[str]:
    """Every `eo` command by its full name, groups left out."""
    found = []
    for name, command in inner(cli).items():
        below = inner(command)
        found += [f"eo {name} {word}" for word in below] if below else [f"eo {name}"]
    return found


def inner(command: click.Command) -> dict[str, click.Command]:
    """The commands of a group, also those that are imported when they are called."""
    if not isinstance(command, click.Group):
        return {}
    context = click.Context(command)
    found = {name: command.get_command(context, name) for name in command.list_commands(context)}
    return {name: below for name, below in found.items() if below is not None}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_every_variable_that_is_named_exists() -> None:
    known = {knob.variable for knob in KNOBS} | NOT_SETTINGS
    for page in PAGES:
        named = set(re.findall(r"\b(?:EO_[A-Z_]+|DATABASE_URL|REDIS_URL|STRIPE_[A-Z_]+)\b", page.read_text()))
        assert named <= known, f"{page.name} names {named - known}"


def test_the_readme_shows_the_defaults_that_hold() -> None:
    """The README's short table is for people; what it says of defaults must be so."""
    text = README.read_text()
    assert f"| `EO_PORT`, `EO_HOST` | where the API listens | {Settings().port}, {Settings().host} |" in text
    assert f"| `EO_DATA_DIR` | embedded data and logs | `{Settings().data_dir}` |" in text


@pytest.mark.parametrize("name", commands())
def test_every_command_is_documented(name: str) -> None:
    assert any(name in page.read_text() for page in PAGES if page != LISTED), name


def test_every_command_that_is_named_exists() -> None:
    """Also the options: a page that says `--parked` means an option there is."""
    for page in PAGES:
        for line in re.findall(r"(?:^|`|bin/)(eo [a-z][^`\n]*)", page.read_text(), re.MULTILINE):
            words = line.split()[1:]
            command: click.Command = cli
            while words and words[0] in (below := inner(command)):
                command = below[words.pop(0)]
            is_whole = not isinstance(command, click.Group) or command.invoke_without_command
            assert is_whole, f"{page.name}: {line}"
            known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
            used = {word.rstrip(".,;:)") for word in words if word.startswith("--")}
            assert line.startswith("eo sandbox") or used <= known, f"{page.name}: {line}: {used - known}"


@cache
def names(path: str) -> set[str]:
    """What is defined in a file."""
    return {node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if hasattr(node, "name")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_test_that_is_named_exists(page: Path) -> None:
    for path, name in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page.read_text()):
        assert (ROOT / path).is_file(), path
        assert not name or name in names(path), f"{path}::{name}"


def test_every_promise_has_a_test() -> None:
    promises = re.findall(r"^\| (P\d) \|.*\| (.*) \|$", README.read_text(), re.MULTILINE)
    assert [name for name, _ in promises] == [f"P{n}" for n in range(1, 9)]
    assert all("::test_" in held_by for _, held_by in promises)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), f"{page.name} → {target}"
        headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE) if anchor else []
        assert not anchor or anchor in {_slug(heading) for heading in headings}, f"{page.name} → {target}"


def test_every_page_that_is_named_exists() -> None:
    for file in tracked():
        if file.suffix in {".py", ".md", ".toml", ".yaml"}:
            for name in re.findall(r"\bdocs/[\w/-]+\.md\b", file.read_text()):
                assert (ROOT / name).is_file(), f"{file.relative_to(ROOT)} names {name}"


def test_no_tracked_file_names_a_machine_or_a_package_index() -> None:
    # Put together here, so that this file does not name them either.
    paths = ["/" + "work/", "/" + "root/", "/" + "opt/pypi", "/home/" + "ubuntu"]
    hosts = ["pypi" + ".org", "python" + "hosted", "--index" + "-url", "--extra-" + "index", "find-" + "links ="]
    for file in tracked():
        text = file.read_text(errors="replace")
        named = [word for word in paths + hosts if word in text]
        assert not named, f"{file.relative_to(ROOT)} names {named}"


def _slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
