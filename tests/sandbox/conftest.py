"""Whom the tests of this folder speak to.

`target`/`api`: our sandbox, or Stripe's test mode when EO_CONFORMANCE_STRIPE_KEY holds a `sk_test_…` key.
`sandbox`, `own_sandbox`/`own_api`: always our own process, shared or of the test's own.
"""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import stripe

from tests.sandbox.client import Api, Target
from tests.sandbox.process import KEY, SandboxProcess

STRIPE = "https://api.stripe.com"
stripe.enable_telemetry = False


@pytest.fixture(scope="session")
def shared_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """One sandbox for all tests that can share it."""
    process = SandboxProcess(tmp_path_factory.mktemp("sandbox") / "books.sqlite3", "--fee-delay-s", "0.2")
    yield process.start()
    process.kill()


@pytest.fixture
def sandbox(shared_sandbox: SandboxProcess) -> Iterator[SandboxProcess]:
    """The shared sandbox; what a test sets is taken back at its end."""
    yield shared_sandbox
    shared_sandbox.calm()


@pytest.fixture
def own_sandbox(tmp_path: Path) -> Iterator[SandboxProcess]:
    """A sandbox of this test's own: the test may move its clock, age its books, kill it."""
    process = SandboxProcess(tmp_path / "books.sqlite3", "--fee-delay-s", "0.2")
    yield process.start()
    process.kill()


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> Target:
    """Whom the conformance suite holds to the contract."""
    key = os.environ.get("EO_CONFORMANCE_STRIPE_KEY")
    if key:
        return Target(STRIPE, key)
    process: SandboxProcess = request.getfixturevalue("shared_sandbox")
    return Target(process.base, KEY)


@pytest.fixture
async def api(target: Target) -> AsyncIterator[Api]:
    """stripe-python, speaking to the target."""
    async with Api(target) as api:
        yield api


@pytest.fixture
async def own_api(own_sandbox: SandboxProcess) -> AsyncIterator[Api]:
    """stripe-python, speaking to the test's own sandbox."""
    async with Api(Target(own_sandbox.base, KEY)) as api:
        yield api


@pytest.fixture
async def sandbox_api(sandbox: SandboxProcess) -> AsyncIterator[Api]:
    """stripe-python, speaking to the shared sandbox, whatever the target is."""
    async with Api(Target(sandbox.base, KEY)) as api:
        yield api
