"""Every exception class of this service is drawn in the tree of errors, below the class that it extends."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from service.foundation import errors

ROOT = Path(__file__).parents[2]
BUILT_IN = {"Exception", "BaseException"}
DRAWN = re.compile(
    r"^    (?P<branch>[│ ]*[├└]── )?(?P<name>[A-Z_]\w+)(?: {2,}.*?(?:\((?P<module>[a-z_.]+)\))?)?$", re.MULTILINE
)


def drawn() -> dict[str, tuple[str, str]]:
    """The base and the module of each class, as the docstring draws them."""
    found: dict[str, tuple[str, str]] = {}
    above: list[str] = []
    for line in DRAWN.finditer(errors.__doc__ or ""):
        depth = len(line["branch"] or "") // 4
        above = [*above[:depth], line["name"]]
        base = above[depth - 1] if depth else "Exception"
        if line["name"] not in BUILT_IN:
            found[line["name"]] = (base, f"service.{line['module'] or 'foundation.errors'}")
    return found


def written() -> dict[str, tuple[str, str]]:
    """The base and the module of each class, as the code has them."""
    classes = list(_classes())
    known = set(BUILT_IN)
    while more := {name for name, base, _ in classes if base in known} - known:
        known |= more
    return {name: (base, module) for name, base, module in classes if name in known}


def _classes() -> Iterator[tuple[str, str, str]]:
    for file in sorted((*(ROOT / "service").rglob("*.py"), *(ROOT / "workers").rglob("*.py"))):
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef) and node.bases:
                yield node.name, ast.unparse(node.bases[0]).rpartition(".")[2], module


def test_the_tree_of_errors_draws_every_exception_class_where_it_is() -> None:
    assert drawn() == written()
