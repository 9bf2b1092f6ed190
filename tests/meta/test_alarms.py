"""What the log may say is one enumeration, and each word of it is written somewhere."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from service.foundation.events import HELP, Event
from tests.docs.reference import LEVELS

ROOT = Path(__file__).parents[2]


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


def test_every_event_has_a_name_that_can_be_searched_for() -> None:
    """Words with a dot; what is said besides is a field."""
    assert all(re.fullmatch(r"[a-z_]+\.[a-z_]+|ready|request", event) for event in Event)
