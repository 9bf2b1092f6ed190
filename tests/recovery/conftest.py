"""A database that forgot, and a Stripe that did not: one for all, or one of the test's own that may grow older."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.charges.conftest import a_day_passes, books, own_stripe, own_world, stripe
from tests.charges.conftest import world as remembering
from tests.charges.world import World
from tests.recovery.forgetting import forgets_an_hour
from tests.sandbox.process import SandboxProcess

__all__ = ["a_day_passes", "books", "own_stripe", "own_world", "remembering", "stripe"]


@pytest.fixture(scope="session")
def shared_stripe(servers_folder: Path) -> Iterator[SandboxProcess]:
    """One Stripe for all tests of this folder that can share it."""
    process = SandboxProcess(servers_folder / "stripe-of-recovery.sqlite3")
    yield process.start()
    process.kill()


@pytest.fixture
async def world(remembering: World) -> World:
    """The database has begun another life, and remembers an hour less than Stripe."""
    return await forgets_an_hour(remembering)


@pytest.fixture
async def aging(own_world: World) -> World:
    """The same, with a Stripe that may grow older."""
    return await forgets_an_hour(own_world)
