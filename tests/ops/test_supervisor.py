"""The supervisor's promises, on parts that are three lines of Python each."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from service.ops.child import wait_until
from service.ops.supervisor import is_warning

pytestmark = pytest.mark.slow

# Two parts under a supervisor; what it prints on stdout is the parts' pids.
PROGRAM = """
import sys
from pathlib import Path
from service.ops.child import LoopPart, OneShot
from service.foundation.errors import EffectivelyOnceError
from service.ops.supervisor import StopRequested, Supervisor

folder, bodies = Path(sys.argv[1]), sys.argv[2:]
names = ("first", "second")
parts = [LoopPart(n, [sys.executable, "-c", b], log=folder / f"{n}.log") for n, b in zip(names, bodies)]
once = OneShot("once", [sys.executable, "-c", "print('done')"], log=folder / "once.log")
try:
    with Supervisor([[once], parts], ("second", "first", "once")) as supervisor:
        supervisor.start()
        print(*[part.pid for part in parts], flush=True)
        supervisor.watch()
except StopRequested:
    print("stopped", flush=True)
except EffectivelyOnceError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""

STEADY = "import time; print('ready', flush=True); time.sleep(60)"
POLITE = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print(f'{NAME} stops at {time.monotonic()}', flush=True), sys.exit()))
print('ready', flush=True); time.sleep(60)
"""
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
)


class Supervised:
    """A supervisor process over two parts."""

    def __init__(self, folder: Path, first: str, second: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder), first, second],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pids = [int(word) for word in read(self.process.stdout).readline().split()]

    def stderr_until(self, words: str) -> str:
        """Lines of stderr up to the one with `words`."""
        seen = ""
        for line in read(self.process.stderr):
            seen += line
            if words in line:
                return seen
        pytest.fail(f"{words!r} was never said, but: {seen}")

    def all_gone(self) -> bool:
        return wait_until(lambda: not any(alive(pid) for pid in self.pids), within_s=5)


def read(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Supervised]]:
    """Put a supervisor in here and it is ended with the test."""
    supervisors: list[Supervised] = []
    yield supervisors
    for one in supervisors:
        one.process.kill()
        one.process.communicate()


def run(tmp_path: Path, started: list[Supervised], first: str = STEADY, second: str = STEADY) -> Supervised:
    started.append(Supervised(tmp_path, first, second))
    return started[-1]


def test_a_killed_part_is_named_with_its_reason_and_brought_back(tmp_path: Path, started: list[Supervised]) -> None:
    supervised = run(tmp_path, started)
    os.kill(supervised.pids[0], signal.SIGKILL)
    said = supervised.stderr_until("is back")
    assert "first: died (killed by SIGKILL)" in said
    again = int(re.search(r"first: is back \(pid (\d+)\)", said)[1])  # type: ignore[index]
    assert alive(again)
    assert alive(supervised.pids[1])


def test_a_routine_line_of_a_killed_part_is_not_said_as_if_it_were_why_it_died(
    tmp_path: Path, started: list[Supervised]
) -> None:
    line = '{"level": "info", "event": "attempt.settled", "outcome": "succeeded"}'
    supervised = run(tmp_path, started, first=f"import time; print('ready\\n' + {line!r}, flush=True); time.sleep(60)")
    wait_until(lambda: "attempt.settled" in (tmp_path / "first.log").read_text(), within_s=10)
    os.kill(supervised.pids[0], signal.SIGKILL)
    assert "first: died (killed by SIGKILL); starting again" in supervised.stderr_until("starting again in")


def test_a_part_that_keeps_dying_is_started_ever_less_often(tmp_path: Path, started: list[Supervised]) -> None:
    supervised = run(tmp_path, started, first="import time; print('ready', flush=True); time.sleep(0.2); 1/0")
    said = "".join(supervised.stderr_until("starting again in") for _ in range(3))
    delays = [float(found) for found in re.findall(r"starting again in ([\d.]+) s", said)]
    assert delays == sorted(set(delays))
    assert "ZeroDivisionError" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_signal_stops_in_order_and_leaves_nothing(
    tmp_path: Path, started: list[Supervised], number: signal.Signals
) -> None:
    supervised = run(tmp_path, started, f"NAME = 'first'{POLITE}", f"NAME = 'second'{POLITE}")
    supervised.process.send_signal(number)
    assert supervised.process.wait(10) == 0
    assert supervised.all_gone()
    at = [float((tmp_path / f"{name}.log").read_text().split()[-1]) for name in ("second", "first")]
    assert at == sorted(at)


def test_a_second_signal_kills_what_will_not_stop(tmp_path: Path, started: list[Supervised]) -> None:
    supervised = run(tmp_path, started, STUBBORN, STUBBORN)
    supervised.process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        supervised.process.wait(0.5)
    supervised.process.send_signal(signal.SIGINT)
    assert supervised.process.wait(2) == 0
    assert supervised.all_gone()


def test_what_will_not_stop_is_killed_within_ten_seconds(tmp_path: Path, started: list[Supervised]) -> None:
    supervised = run(tmp_path, started, STUBBORN, STUBBORN)
    supervised.process.send_signal(signal.SIGTERM)
    assert supervised.process.wait(10) == 0
    assert supervised.all_gone()


def test_no_part_outlives_a_supervisor_that_was_killed(tmp_path: Path, started: list[Supervised]) -> None:
    supervised = run(tmp_path, started, STUBBORN, STEADY)
    supervised.process.kill()
    supervised.process.wait(5)
    assert supervised.all_gone()


@pytest.mark.parametrize(("status", "kind"), [(2, "Misconfigured"), (3, "Unavailable"), (1, "Unavailable")])
def test_a_part_that_cannot_start_ends_the_start_with_its_last_words(
    tmp_path: Path, started: list[Supervised], status: int, kind: str
) -> None:
    supervised = run(tmp_path, started, second=f"import sys; print('no such thing'); sys.exit({status})")
    _, said = supervised.process.communicate(timeout=10)
    assert said.startswith(f"{kind}: second stopped at start: no such thing")


def test_warnings_are_shown_with_the_name_of_the_part_and_other_lines_are_not(
    tmp_path: Path, started: list[Supervised]
) -> None:
    supervised = run(tmp_path, started)
    with (tmp_path / "first.log").open("a") as log:
        log.write("all is well\nWARNING: disk is filling\n")
    assert supervised.stderr_until("disk is filling") == "first: WARNING: disk is filling\n"


def test_a_log_that_is_moved_away_ends_nothing(tmp_path: Path, started: list[Supervised]) -> None:
    supervised = run(tmp_path, started)
    moved = (tmp_path / "first.log").rename(tmp_path / "first.log.1")
    with moved.open("a") as log:
        log.write("WARNING: still heard\n")
    assert supervised.stderr_until("still heard") == "first: WARNING: still heard\n"
    os.kill(supervised.pids[0], signal.SIGKILL)
    fresh = tmp_path / "first.log"
    assert wait_until(lambda: fresh.exists() and fresh.read_text() == "ready\n", within_s=30), "it is back"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"level": "warning", "event": "charge.unknown"}', True),
        ('{"level": "ERROR"}', True),
        ('{"level": "info", "event": "an ERROR in a text"}', False),
        ("2026-11-24 [7] eo api FATAL:  out of memory", True),
        ("LOG:  checkpoint complete", False),
    ],
)
def test_a_warning_is_known_in_json_and_in_text(line: str, *, expected: bool) -> None:
    assert is_warning(line) is expected
