"""A fleet per module that asks for one, and a way to have more."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from tests.acceptance.fleet import Fleet

_numbers = count(1)


@pytest.fixture(scope="module")
def new_fleet(servers_folder: Path) -> Iterator[Callable[..., Fleet]]:
    """Makes a fleet with PostgreSQL, Redis and a sandbox running, and no process of ours yet."""
    with ExitStack() as stack:

        def make(**environ: str) -> Fleet:
            return stack.enter_context(Fleet(servers_folder / f"fleet-{next(_numbers)}", **environ))

        yield make


@pytest.fixture(scope="module")
def fleet(new_fleet: Callable[..., Fleet]) -> Fleet:
    """One of each, and a second worker; shared by a module's tests, so every test uses keys of its own."""
    fleet = new_fleet()
    fleet.start("relay")
    fleet.start("worker", 2)
    fleet.start("api")
    return fleet
