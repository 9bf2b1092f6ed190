"""A page's commands, run as a reader would: `eo up` in a folder of one's own, then block by block, in order.

A block's output is compared with what the page shows below it. There `…` stands for anything; ids, times and ages are
this run's. A block that asks is asked again until it shows what was promised, because charging takes a moment.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from service.ops.child import wait_until
from service.ops.embedded import free_port

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```\n(?:```\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
CHANGES_ON_ITS_OWN = [  # what differs from run to run
    (r"\d{4}\\-\d\d\\-\d\dT[\d:.]+Z", r"\\S+"),
    (r"\b\d\d:\d\d:\d\d\b", r"\\d\\d:\\d\\d:\\d\\d"),
    (r"[0-9a-f]{8}\\-(?:[0-9a-f]{4}\\-){3}[0-9a-f]{12}", r"[0-9a-f-]{36}"),
    (r"\b(pi|ch|txn|req)_\w+", r"\1_\\w+"),
    (r"oldest\\ \d+m\\ \d+s|\b\d+m\\ \d+s", r".*"),
    (r"\\\n…\\\n", r"\n[\\s\\S]*?"),  # a line of it stands for any number of lines
    ("…", r"[\\s\\S]*?"),
]
ONLY_ONCE = ("-d confirm=true", "kill -9")  # these do something each time
WITHIN_S = 30.0  # on a busy machine; otherwise a second or two


@dataclass
class Walkthrough:
    """An `eo up` as `make run` starts it. `block`: what it prints once it is ready."""

    folder: Path
    port: int
    process: subprocess.Popen[str]
    block: str = ""
    defined: str = field(default="", init=False)  # variables and functions of the blocks so far

    def run(self, script: str) -> str:
        """What the lines print in a shell of the folder."""
        local = script.replace("localhost:8000", f"localhost:{self.port}")
        done = subprocess.run(  # noqa: S602  a shell is what a reader has
            local,
            shell=True,
            executable="/bin/bash",
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout

    def follow(self, page: str) -> int:
        """Run every block of a page and hold its output against what the page shows; how many were compared."""
        compared = 0
        for commands, shown in BLOCK.findall(page):
            if shown:
                self._compare(commands, shown)
                compared += 1
            else:
                self.defined += commands
        return compared

    def stop(self) -> None:
        """Ctrl-C, as a reader ends it."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(15)

    def _compare(self, commands: str, shown: str) -> None:
        pattern, printed = as_pattern(shown), [""]

        def is_as_promised() -> bool:
            printed.append(self.run(self.defined + commands))
            return re.search(pattern, printed[-1]) is not None

        may_repeat = not any(word in commands for word in ONLY_ONCE)
        held = is_as_promised() or (
            may_repeat and wait_until(is_as_promised, within_s=WITHIN_S, pause=lambda _: time.sleep(0.3))
        )
        assert held, f"{commands}\nshould print\n{shown}\nand printed\n{printed[-1]}"


@contextmanager
def installed(**environ: str) -> Iterator[Walkthrough]:
    """An `eo up` in a folder of its own, from `make run` to Ctrl-C."""
    with tempfile.TemporaryDirectory(prefix="eo-page-") as made:
        folder, port = Path(made), free_port()
        (folder / ".venv").mkdir()
        (folder / ".venv/bin").symlink_to(Path(sys.executable).parent)
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "up"],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "EO_PORT": str(port), "PYTHONPATH": str(ROOT), **environ},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        one = Walkthrough(folder, port, process)
        for line in process.stdout:
            one.block += line
            if line.startswith("ready "):
                break
        try:
            yield one
        finally:
            if process.poll() is None:
                one.stop()
            process.stdout.close()


def as_pattern(shown: str) -> str:
    """What a page shows, as a regular expression that another run's output fits, too."""
    pattern = re.escape(shown.strip())
    for found, stands_for in CHANGES_ON_ITS_OWN:
        pattern = re.sub(found, stands_for, pattern)
    return pattern
