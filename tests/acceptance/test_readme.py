"""The README's commands, run as a reader would: `eo up` in a folder of one's own, then block by block, in order.

A block's output is compared with what the README shows below it. There `…` stands for anything; ids, times and ages are
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
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.ops.child import wait_until
from service.ops.embedded import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # a busy machine is no reason to fail

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^```sh\n(.*?)^```\n(?:```\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
CHANGES_ON_ITS_OWN = [  # what differs from run to run
    (r"\d{4}\\-\d\d\\-\d\dT[\d:.]+Z", r"\\S+"),
    (r"[0-9a-f]{8}\\-(?:[0-9a-f]{4}\\-){3}[0-9a-f]{12}", r"[0-9a-f-]{36}"),
    (r"\b(pi|ch|txn)_\w+", r"\1_\\w+"),
    (r"oldest\\ \d+m\\ \d+s|\b\d+m\\ \d+s", r".*"),
    ("…", r"[\\s\\S]*?"),
]
WITHIN_S = 15.0


@dataclass(frozen=True)
class Installation:
    """An `eo up` as `make run` starts it."""

    folder: Path
    port: int
    block: str

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


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    with tempfile.TemporaryDirectory(prefix="eo-readme-") as made:
        folder, port = Path(made), free_port()
        (folder / ".venv").mkdir()
        (folder / ".venv/bin").symlink_to(Path(sys.executable).parent)
        environ = {"PATH": os.environ["PATH"], "EO_PORT": str(port)}
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "up"],
            cwd=folder,
            env={**environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        block = []
        for line in process.stdout:
            block.append(line)
            if line.startswith("ready "):
                break
        try:
            yield Installation(folder, port, "".join(block))
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(15)
            process.stdout.close()


def as_pattern(shown: str) -> str:
    pattern = re.escape(shown.strip())
    for found, stands_for in CHANGES_ON_ITS_OWN:
        pattern = re.sub(found, stands_for, pattern)
    return pattern


def test_the_block_it_prints_has_the_lines_that_the_readme_shows(installation: Installation) -> None:
    shown = re.search(r"^```\n(effectively-once .*?)^```", README, re.MULTILINE | re.DOTALL)
    assert shown
    first_words = [line.split()[0] for line in shown[1].splitlines()]
    assert [line.split()[0] for line in installation.block.splitlines()] == first_words


def test_every_command_below_try_it_does_what_the_readme_shows(installation: Installation) -> None:
    section = README.partition("## Try it")[2].partition("\n## ")[0]
    blocks = BLOCK.findall(section)
    assert len(blocks) >= 8
    before = ""
    for commands, shown in blocks:
        if not shown:
            before += commands
            continue
        pattern = as_pattern(shown)
        printed: list[str] = []

        def as_promised(script: str = before + commands, pattern: str = pattern, printed: list[str] = printed) -> bool:
            printed.append(installation.run(script))
            return re.search(pattern, printed[-1]) is not None

        once = "-d confirm=true" in commands  # this one takes money each time
        held = as_promised() or (
            not once and wait_until(as_promised, within_s=WITHIN_S, pause=lambda _: time.sleep(0.3))
        )
        assert held, f"{commands}\nshould print\n{shown}\nand printed\n{printed[-1]}"
    assert {path.name for path in installation.folder.iterdir()} == {".venv", ".eo"}, (
        "the commands leave nothing behind"
    )
