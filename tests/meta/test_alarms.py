"""What the log may say is one enumeration, and each word of it is written somewhere."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from service.foundation.events import HELP, Event
from service.foundation.log import of_error
from service.foundation.log_fields import FIELDS
from service.web import request_log
from tests.docs.reference import LEVELS
from workers import attempts

ROOT = Path(__file__).parents[2]


def calls() -> Iterator[tuple[Path, ast.Call]]:
    """Every call of something that is called `event`."""
    for folder in ("service", "workers"):
        for file in (ROOT / folder).rglob("*.py"):
            for call in ast.walk(ast.parse(file.read_text())):
                if isinstance(call, ast.Call) and _is_event(call.func) and call.args:
                    yield file, call


def _is_event(function: ast.expr) -> bool:
    name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
    return name == "event"


def test_every_event_has_a_level_and_a_meaning_and_a_loud_one_says_what_to_do() -> None:
    assert set(HELP) == set(Event)
    assert {help_.level for help_ in HELP.values()} <= set(LEVELS)
    assert all(help_.means for help_ in HELP.values())
    assert [event for event, help_ in HELP.items() if help_.level in ("critical", "error") and not help_.do] == []


def test_every_event_that_is_written_is_one_of_these_and_each_is_written() -> None:
    assert [(file.name, ast.unparse(c)) for file, c in calls() if isinstance(c.args[0], ast.Constant)] == []
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


def test_every_field_that_is_written_is_in_the_table_and_each_is_written() -> None:
    fields = {keyword.arg for _, call in calls() for keyword in call.keywords if keyword.arg}
    often = {name for line in (attempts.Line, request_log.Line) for name in line.__struct_fields__}
    by_the_log = {"ts", "level", "process", "event", "logger", "dropped", "sqlstate", *of_error(ValueError())}
    assert fields | often | by_the_log == FIELDS.keys()
