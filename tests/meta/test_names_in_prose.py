"""What pages, comments and docstrings name exists: paths, modules and what is in them, columns, events, functions.

A path is checked wherever it stands; other names are checked where they stand in backticks.
"""

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from service.foundation.postgres.schema import metadata

ROOT = Path(__file__).parents[2]
TOP = "service|workers|sandbox|migrations|demo|benchmarks|tests|docs|deploy"
PATH = re.compile(rf"(?<![\w./-])(?:{TOP})/[\w./-]+")
FILE = re.compile(r"`([\w./-]+\.(?:py|md|toml|yaml|conf|svg|txt))(?:::\w+)?`")
DOTTED = re.compile(r"`([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)(?:\(\))?`")
SINGLE = re.compile(r"`([A-Za-z]\w*_\w+|[A-Z]\w*[a-z][A-Z]\w*)(?:\(\))?`")
SUFFIXES = {".py", ".md", ".toml", ".yaml", ".yml", ".json", ".conf", ".txt", ".svg"}
COLUMNS = {str(column) for table in metadata.tables.values() for column in table.columns}
# Fields of Stripe's objects, and settings of other programs.
OF_OTHERS = {"charge.created", "ignore_startup_parameters", "stripe.handleNextAction"}
# Its text is about Stripe's names; a test of its own holds what it says of the sandbox's.
STRIPES_PAGE = "docs/sandbox.md"
# It keeps the names that were in use when something changed.
HISTORY = "CHANGELOG.md"


@cache
def texts() -> dict[str, str]:
    """Path and text of every tracked file that can hold a name."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    files = [name for name in listed.stdout.split("\0") if Path(name).suffix in SUFFIXES or name == "Makefile"]
    return {name: (ROOT / name).read_text() for name in files if (ROOT / name).is_file()}


@cache
def code() -> str:
    return "\n".join(text for name, text in texts().items() if not name.endswith(".md"))


@cache
def words() -> set[str]:
    """Every word of the code, and the names of its files."""
    metrics = re.findall(r"\b(?:Counter|Gauge|Histogram)\(\s*\"(\w+)\"", code())
    return {*re.findall(r"\w+", code()), *(Path(name).stem for name in texts()), *(f"eo_{name}" for name in metrics)}


@cache
def modules() -> dict[str, str]:
    """The text of each of our modules, by its dotted name after a dot."""
    found = {name.removesuffix(".py").replace("/", "."): text for name, text in texts().items() if name.endswith(".py")}
    return {f".{name.removesuffix('.__init__')}": text for name, text in found.items()}


@cache
def parts_of_modules() -> set[str]:
    return {part for module in modules() for part in module.split(".")}


def exists(name: str) -> bool:
    """Whether a dotted name is a module, a name in one, an attribute of a class, a column, or a word of our logs."""
    return (
        name in COLUMNS | OF_OTHERS
        or any(module.endswith(f".{name}") for module in modules())
        or _is_in_a_module(name)
        or _is_in_a_class(name)
        or f'"{name}"' in code()
        or f'}}.{name.rpartition(".")[2]}"' in code()
    )


def _is_in_a_module(name: str) -> bool:
    above, _, last = name.rpartition(".")
    defined = re.compile(
        rf"^(?:async def|def|class) {last}\b|^{last}\b[^=\n]*=|^(?:from|import) .*\b{last}\b|^    {last},$",
        re.MULTILINE,
    )
    return any(defined.search(text) for module, text in modules().items() if module.endswith(f".{above}"))


def _is_in_a_class(name: str) -> bool:
    owner, _, last = name.rpartition(".")
    holders = [text for text in modules().values() if re.search(rf"^class {owner}\b", text, re.MULTILINE)]
    return any(re.search(rf"^    .*\b{last}\b", text, re.MULTILINE) for text in holders)


def is_foreign(name: str) -> bool:
    """A library's name or one of Stripe's: it begins with nothing of ours."""
    first = name.partition(".")[0]
    return first not in metadata.tables and first not in parts_of_modules() and f"class {first}" not in code()


def test_every_path_that_is_named_exists() -> None:
    for file, text in texts().items():
        for path in {found.group().rstrip("./") for found in PATH.finditer(text)} if file != HISTORY else ():
            assert (ROOT / path).exists() or (ROOT / f"{path}.py").is_file(), f"{file} names {path}"


def test_every_file_that_a_page_names_by_its_last_part_exists() -> None:
    for page, text in texts().items():
        for name in FILE.findall(text) if page.endswith(".md") and page != HISTORY else ():
            is_there = name in texts() or any(path.endswith(f"/{name}") for path in texts())
            assert is_there or name.startswith("build/"), f"{page} names {name}"


def test_every_dotted_name_leads_to_something_of_ours() -> None:
    """In code those that begin with a package of ours; on a page every one that does not belong to somebody else."""
    for file, text in texts().items():
        is_page = file.endswith(".md") and file != HISTORY
        for name in set(DOTTED.findall(text)) if is_page or file.endswith(".py") else ():
            if Path(name).suffix in SUFFIXES:
                continue
            wanted = not is_foreign(name) if is_page else name.partition(".")[0] in TOP.split("|")
            assert not wanted or exists(name), f"{file} names {name}"


def test_every_name_on_a_page_is_a_word_of_the_code() -> None:
    for page, text in texts().items():
        if page.endswith(".md") and page not in (HISTORY, STRIPES_PAGE):
            unknown = {name for name in SINGLE.findall(text) if not {name, name.lower()} & words()} - OF_OTHERS
            assert not unknown, f"{page} names {unknown}"
