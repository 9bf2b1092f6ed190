"""The same two sides as the tests of charges have, with a Stripe of this folder's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.charges.conftest import stripe, world
from tests.sandbox.process import SandboxProcess

__all__ = ["stripe", "world"]


@pytest.fixture(scope="session")
def shared_stripe(servers_folder: Path) -> Iterator[SandboxProcess]:
    """One Stripe for all tests of this folder that can share it."""
    process = SandboxProcess(servers_folder / "stripe-of-disputes.sqlite3")
    yield process.start()
    process.kill()
