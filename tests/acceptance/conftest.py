"""A fleet per module that asks for one, and a way to have more."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.fleet import Fleet, NewFleet, fleets


@pytest.fixture(scope="module")
def new_fleet(servers_folder: Path) -> Iterator[NewFleet]:
    """Makes a fleet with PostgreSQL, Redis and a sandbox running, and no process of ours yet."""
    with fleets(servers_folder) as make:
        yield make


@pytest.fixture(scope="module")
def fleet(new_fleet: NewFleet) -> Fleet:
    """One of each, and a second worker; shared by a module's tests, so every test uses keys of its own."""
    return new_fleet().start_all(worker=2)
