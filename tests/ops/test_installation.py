"""An installation's processes: a kind of them is declared once, and everybody who starts processes has it then."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import click
import pytest

from benchmarks import end_to_end
from demo.contenders import Ours
from service.foundation.errors import Unavailable
from service.ops import healthy, installation
from service.ops.child import http_get
from service.ops.cli import cli
from service.ops.commands.processes import of_kind
from service.ops.installation import Installation
from service.ops.kinds import KINDS, PARTS, START_ORDER, STOP_ORDER, Kind
from service.ops.up import plan
from tests.acceptance.fleet import Fleet

ROOT = Path(__file__).parents[2]
SAYS_READY = [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(60)"]
ANSWERS = [sys.executable, "-c", """
import http.server, os
class Ok(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["EO_PORT"])), Ok).serve_forever()
"""]  # fmt: skip
GIVES_UP = [sys.executable, "-c", "print('no ink left'); raise SystemExit(3)"]


@pytest.fixture
def some(tmp_path: Path) -> Iterator[Installation]:
    some = Installation(tmp_path, {})
    yield some
    some.end()


def test_every_kind_is_a_command_and_a_part_of_eo_up_that_is_stopped_and_looked_after(tmp_path: Path) -> None:
    assert set(KINDS) <= set(cli.commands)
    assert {name: cli.commands[name].help for name in KINDS} == {k.name: k.summary for k in KINDS.values()}
    planned = plan(tmp_path, {})
    planned.discard()
    assert [tuple(part.name for part in stage) for stage in planned.stages()] == list(START_ORDER)
    assert sorted(STOP_ORDER) == sorted(name for stage in START_ORDER for name in stage) == sorted([*PARTS, "migrate"])
    choice = healthy.command.params[0].type
    assert isinstance(choice, click.Choice)
    assert list(choice.choices) == list(KINDS)


def test_every_kind_runs_in_fleets_benchmarks_and_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fleet, "bring_up", lambda *_: None)
    assert set(Fleet(tmp_path).start_all().parts) == {"postgres", "redis", "sandbox", *(f"{kind}-1" for kind in KINDS)}
    stack = Mock()
    stack.running.side_effect = StopAsyncIteration  # what would be started is known by then
    with pytest.raises(StopAsyncIteration):
        end_to_end.product(stack, 1.0, "database")
    assert stack.running.call_args.args == ("database", *KINDS)
    assert {*Ours.others, "worker"} == set(KINDS)


def test_a_new_kind_needs_its_line_and_nothing_else(some: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    new = Kind("clock", "Tell the time.", "service.clock", stage=1)
    monkeypatch.setattr(installation, "KINDS", {**KINDS, new.name: new})
    assert some.start("clock", 2, SAYS_READY) == ["clock-1", "clock-2"]
    assert some.add("clock").argv == installation.eo("clock")
    assert of_kind(new).get_short_help_str() == "Tell the time."


def test_nobody_else_builds_our_processes_or_puts_a_broker_under_the_relay() -> None:
    folders = ("benchmarks", "demo", "tests/acceptance", "tests/chaos")
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        text = path.read_text()
        assert not re.search(r"\b(HttpPart|LoopPart|OneShot)\(", text), path
        assert not re.search(r"\brelay\.make_broker\b", text), path


def test_processes_are_numbered_and_those_that_died_come_back_where_they_were(some: Installation) -> None:
    assert some.start("relay", 2, SAYS_READY) == ["relay-1", "relay-2"]
    assert some.start("relay", argv=SAYS_READY) == ["relay-3"]
    some.start("api", argv=ANSWERS)
    address = some.url("api-1")
    some.kill("api-1", "relay-2")
    assert (some.dead(), some.alive()) == (["relay-2", "api-1"], ["relay-1", "relay-3"])
    with pytest.raises(Unavailable, match="relay-2 has ended: killed by SIGKILL"):
        some.kill("relay-2")
    some.restart("relay-2")
    some.add("api-1", ANSWERS)
    some.bring_up("api-1")
    assert some.url("api-1") == address
    assert http_get(address + "/health/ready") == (200, b"")
    with pytest.raises(ValueError, match="api-1 still runs"):
        some.restart("api-1")
    some.pause("relay-1")
    some.end()
    assert some.alive() == []


def test_what_does_not_become_ready_says_why(some: Installation) -> None:
    with pytest.raises(Unavailable, match="worker-1 stopped at start: no ink left"):
        some.start("worker", argv=GIVES_UP)
