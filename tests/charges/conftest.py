"""The charge protocol on the real PostgreSQL, Valkey and Stripe stand-in, one process for all: orders have own ids."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.settings import Settings
from tests.charges.world import Books, World, time_passes
from tests.sandbox.process import SandboxProcess

# Short enough to wait for. A test that needs a lease to end moves the lease.
QUICK: dict[str, Any] = {"retry_base_s": 0.02, "retry_max_s": 0.05, "breaker_s": 0.2, "stripe_timeout_s": 2.0}


@pytest.fixture(scope="session")
def shared_stripe(servers_folder: Path) -> Iterator[SandboxProcess]:
    """One Stripe for all tests of this folder that can share it."""
    process = SandboxProcess(servers_folder / "stripe-of-charges.sqlite3")
    yield process.start()
    process.kill()


@pytest.fixture
def stripe(shared_stripe: SandboxProcess) -> Iterator[SandboxProcess]:
    """The shared Stripe; what a test sets is taken back at its end."""
    yield shared_stripe
    shared_stripe.calm()


@pytest.fixture
def own_stripe(tmp_path: Path) -> Iterator[SandboxProcess]:
    """A Stripe of this test's own: the test may age its books, move its clock, kill it."""
    process = SandboxProcess(tmp_path / "stripe.sqlite3", "--fee-delay-s", "0")
    yield process.start()
    process.kill()


@pytest.fixture
def books(engine: AsyncEngine, settings: Settings) -> Books:
    """Our side alone: nobody answers at Stripe's address."""
    return Books(engine, settings)


@pytest.fixture
async def world(engine: AsyncEngine, settings: Settings, stripe: SandboxProcess) -> AsyncIterator[World]:
    """Both sides, with the shared Stripe."""
    async with World(engine, replace(settings, stripe_api_base=stripe.base, **QUICK), stripe) as world:
        yield world


@pytest.fixture
async def own_world(engine: AsyncEngine, settings: Settings, own_stripe: SandboxProcess) -> AsyncIterator[World]:
    """Both sides, with a Stripe of the test's own."""
    async with World(engine, replace(settings, stripe_api_base=own_stripe.base, **QUICK), own_stripe) as world:
        yield world


@pytest.fixture
def a_day_passes(settings: Settings, own_stripe: SandboxProcess) -> Callable[[float], Awaitable[None]]:
    """`await a_day_passes(hours)`: our rows and Stripe's become older in one step, both clocks stay (R28)."""

    async def a_day_passes(hours: float = 24) -> None:
        await time_passes(settings.database_url, own_stripe, hours)

    return a_day_passes
