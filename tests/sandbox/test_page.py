"""docs/sandbox.md, block by block: what the page says a command prints, it prints."""

import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from sandbox.faults import FaultName
from service.ops.child import wait_until
from service.ops.embedded import free_port
from tests.acceptance.pages import as_pattern

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/sandbox.md"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```\n(?:```\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
START_S, BLOCK_S = 20.0, 60.0


class Sandbox:
    """`eo sandbox` as the page starts it, on a port of its own; started again when it has ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.said = folder / "said"
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, language: str, text: str) -> str:
        """What a block prints."""
        local = text.replace("localhost:12111", f"localhost:{self.port}")
        command = ["/bin/bash", "-c", local] if language == "sh" else [sys.executable, "-c", local]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=BLOCK_S, check=False)
        return done.stdout

    def start(self) -> None:
        """Start it unless it runs, and wait until it answers."""
        if self._process is not None and self._process.poll() is None:
            return
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "EO_SANDBOX_PORT": str(self.port)}
        with self.said.open("wb") as said:
            command = [sys.executable, "-m", "service", "sandbox"]
            self._process = subprocess.Popen(command, cwd=self.folder, env=environ, stderr=said)
        assert wait_until(self._answers, within_s=START_S, pause=lambda _: time.sleep(0.02))

    def has_ended(self) -> bool:
        """Whether it ends within a moment."""
        assert self._process is not None
        try:
            self._process.wait(0.2)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self) -> None:
        """End it."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(10)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://localhost:{self.port}/_sandbox/health", timeout=5):
                return True
        except OSError:
            return False


@pytest.fixture(scope="module")
def sandbox_of_the_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    sandbox = Sandbox(tmp_path_factory.mktemp("page"))
    sandbox.start()
    yield sandbox
    sandbox.stop()


def blocks() -> list[tuple[str, str, str]]:
    """(language, commands, what they print) in the page's order."""
    return [(found[1], found[2], found[3] or "") for found in BLOCK.finditer(PAGE.read_text())]


@pytest.mark.timeout(300)
def test_every_command_prints_what_the_page_shows(sandbox_of_the_page: Sandbox) -> None:
    functions, checked = "", 0
    for language, commands, shown in blocks():
        if commands == "eo sandbox\n":
            assert "Stripe's API at http://127.0.0.1:" in sandbox_of_the_page.said.read_text()
            continue
        sandbox_of_the_page.start()
        if not shown:
            functions += commands
            continue
        printed = sandbox_of_the_page.run(language, functions * (language == "sh") + commands)
        pattern = as_pattern(shown)
        assert re.fullmatch(pattern, printed.strip()), f"{commands}\nshould print\n{shown}\nand printed\n{printed}"
        assert sandbox_of_the_page.has_ended() is ("crash_after_execution" in commands)
        checked += 1
    assert checked >= 15


@pytest.mark.parametrize("fault", get_args(FaultName))
def test_every_fault_is_explained_and_shown(fault: str) -> None:
    explained, shown = re.findall(rf"^\|.*`{fault}`|`{fault}` (?:answers|takes)", PAGE.read_text(), re.MULTILINE), ""
    for _, commands, _ in blocks():
        shown += commands
    assert explained
    assert f'"fault": "{fault}"' in shown


def test_the_page_names_every_option_that_the_help_names() -> None:
    command = [sys.executable, "-m", "service", "sandbox", "--help"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "sandbox [-h]" in told.splitlines()[0]
    options = set(re.findall(r"(?<![\w-])--[a-z-]+", told)) - {"--help"}
    variables = set(re.findall(r"EO_SANDBOX_\w+", told))
    assert len(options) == len(variables - {"EO_SANDBOX_SECRET"}) >= 6  # which `ps` must not show
    assert [name for name in options | variables if f"`{name}" not in PAGE.read_text()] == []


def test_every_point_of_the_comparison_has_its_answer() -> None:
    points = re.findall(r"^\| A(\d+) \| .+ \| .+ \|$", PAGE.read_text(), re.MULTILINE)
    assert [int(number) for number in points] == list(range(1, 29))
