"""What the log may say is one enumeration, each word of it is written somewhere, and docs show its table.

`python tests/meta/test_alarms.py` writes the table in docs/operations.md anew.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from service.foundation.events import HELP, Event

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/operations.md"
TABLE = re.compile(r"(<!-- events[^\n]*-->\n)(.*?)(<!-- end of events -->)", re.DOTALL)
LEVELS = ("critical", "error", "warning", "info")


def table() -> str:
    """Every event, the loudest first."""
    rows = [
        f"| `{event}` | {HELP[event].level} | {HELP[event].means} | {HELP[event].do} |"
        for event in sorted(Event, key=lambda event: (LEVELS.index(HELP[event].level), event))
    ]
    return "\n".join(["| event | level | means | do |", "|---|---|---|---|", *rows]) + "\n"


def calls() -> Iterator[tuple[Path, ast.expr]]:
    """The first argument of everything that is called `event`."""
    for folder in ("service", "workers"):
        for file in (ROOT / folder).rglob("*.py"):
            for call in ast.walk(ast.parse(file.read_text())):
                if isinstance(call, ast.Call) and _is_event(call.func) and call.args:
                    yield file, call.args[0]


def _is_event(function: ast.expr) -> bool:
    name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
    return name == "event"


def test_every_event_has_a_level_and_a_meaning_and_a_loud_one_says_what_to_do() -> None:
    assert set(HELP) == set(Event)
    assert {help_.level for help_ in HELP.values()} <= set(LEVELS)
    assert all(help_.means for help_ in HELP.values())
    assert [event for event, help_ in HELP.items() if help_.level in ("critical", "error") and not help_.do] == []


def test_every_event_that_is_written_is_one_of_these_and_each_is_written() -> None:
    assert [(file.name, ast.unparse(name)) for file, name in calls() if isinstance(name, ast.Constant)] == []
    sources = "".join(
        file.read_text()
        for folder in ("service", "workers")
        for file in (ROOT / folder).rglob("*.py")
        if file.name != "events.py"
    )
    assert [event for event in Event if f"Event.{event.name}" not in sources] == []


def test_the_documented_events_are_those_the_code_writes() -> None:
    found = TABLE.search(PAGE.read_text())
    assert found
    assert found[2] == table(), "run: .venv/bin/python tests/meta/test_alarms.py"


def test_every_event_has_a_name_that_can_be_searched_for() -> None:
    """Words with a dot; what is said besides is a field."""
    assert all(re.fullmatch(r"[a-z_]+\.[a-z_]+|ready|request", event) for event in Event)


if __name__ == "__main__":
    text = PAGE.read_text()
    PAGE.write_text(TABLE.sub(lambda found: found[1] + table() + found[3], text))
