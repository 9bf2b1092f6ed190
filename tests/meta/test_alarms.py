"""The alarms that docs/operations.md lists are the events that the code writes at level error or critical."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
OPERATIONS = ROOT / "docs/operations.md"
LOUD = {"error", "critical"}
TABLE = re.compile(r"<!-- alarms[^\n]*-->\n(.*?)<!-- end of alarms -->", re.DOTALL)


def loud_events() -> Iterator[str]:
    """Names of the events that code of ours may write at a level which nobody should sleep through."""
    for folder in ("service", "workers"):
        for file in (ROOT / folder).rglob("*.py"):
            for call in ast.walk(ast.parse(file.read_text())):
                if isinstance(call, ast.Call) and _is_event(call.func) and LOUD & _levels(call):
                    yield str(ast.literal_eval(call.args[0]))


def _is_event(function: ast.expr) -> bool:
    name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
    return name == "event"


def _levels(call: ast.Call) -> set[str]:
    given = next((keyword.value for keyword in call.keywords if keyword.arg == "level"), None)
    return {str(n.value) for n in ast.walk(given) if isinstance(n, ast.Constant)} if given is not None else set()


def test_the_documented_alarms_are_those_the_code_writes() -> None:
    table = TABLE.search(OPERATIONS.read_text())
    assert table
    documented = re.findall(r"^\| `([\w.]+)` \|", table[1], re.MULTILINE)
    assert documented == sorted(set(documented))
    assert documented == sorted(set(loud_events()))


def test_every_event_has_a_name_that_can_be_searched_for() -> None:
    """One word with dots; what is said besides is a field."""
    assert all(re.fullmatch(r"[a-z_]+(\.[a-z_]+)?", name) for name in loud_events())
