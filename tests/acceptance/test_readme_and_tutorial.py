"""What the README and the tutorial tell a reader to type does what they show, in one installation and in this order.

The tutorial repeats the README's order under the same key, so its sums are the same for who has read the README first.
"""

import re
from collections.abc import Iterator

import pytest

from tests.acceptance.pages import BLOCK, ROOT, Walkthrough, installed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # a busy machine is no reason to fail

README = (ROOT / "README.md").read_text()
TUTORIAL = (ROOT / "docs/tutorial.md").read_text()
START = re.compile(r"^```\n((?:EO_\w+=\S+ )+)make run\n```$", re.MULTILINE)


@pytest.fixture(scope="module")
def walkthrough() -> Iterator[Walkthrough]:
    started = START.search(TUTORIAL)
    assert started
    with installed(**dict(variable.split("=") for variable in started[1].split())) as one:
        yield one


def test_the_block_it_prints_has_the_lines_that_the_readme_shows(walkthrough: Walkthrough) -> None:
    shown = re.search(r"^```\n(effectively-once .*?)^```", README, re.MULTILINE | re.DOTALL)
    assert shown
    first_words = [line.split()[0] for line in shown[1].splitlines()]
    assert [line.split()[0] for line in walkthrough.block.splitlines()] == first_words


def test_every_command_of_the_readme_and_then_of_the_tutorial_does_what_they_show(walkthrough: Walkthrough) -> None:
    assert walkthrough.follow(README.partition("## Try it")[2].partition("\n## ")[0]) >= 5
    walked, _, end = TUTORIAL.partition("## Clean up")
    assert walkthrough.follow(walked) >= 8
    assert {path.name for path in walkthrough.folder.iterdir()} == {".venv", ".eo"}, "the commands leave nothing behind"
    walkthrough.stop()
    ((commands, _),) = BLOCK.findall(end)
    walkthrough.run(commands)
    assert [path.name for path in walkthrough.folder.iterdir()] == [".venv"]
