"""Start: the time of `eo --help`, compared with a Python that does nothing."""

import subprocess
import sys
import time

from benchmarks.report import Ratio, Report
from benchmarks.stack import Stack

_ROUNDS = 10


def run(_stack: Stack) -> Report:
    """Time both in turns, after one unmeasured turn that fills the disk cache."""
    commands = ([sys.executable, "-P", "-m", "service", "--help"], [sys.executable, "-c", "pass"])
    pairs = [(_ms(commands[0]), _ms(commands[1])) for _ in range(_ROUNDS + 1)][1:]
    return Report("start", ratios=[Ratio("eo --help against python -c pass", pairs, "ms", at_most=20)])


def _ms(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, timeout=30, check=True)
    return (time.perf_counter() - began) * 1000
