"""Whom the tests of this folder speak to.

`sandbox`/`sandbox_api`: a process that the tests share. `own_sandbox`/`own_api`: one of the test's own. `shop` and
`own_shop`: one paid order in either. `hooks` and `own_hooks`: whom either tells what happens. Stripe itself is held to
the contract by `tests/conformance`.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import stripe

from tests.sandbox.client import Api, Target
from tests.sandbox.hooks import Hooks
from tests.sandbox.process import KEY, SandboxProcess
from tests.sandbox.receiver import Receiver
from tests.sandbox.shop import Shop

stripe.enable_telemetry = False


# After these seconds all money is available, and what left for the bank is there.
EMPTIED_S = 3 * 86_400


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


@pytest.fixture
async def own_api(own_sandbox: SandboxProcess) -> AsyncIterator[Api]:
    """stripe-python, speaking to the test's own sandbox."""
    async with Api(Target(own_sandbox.base, KEY)) as api:
        yield api


@pytest.fixture
async def sandbox_api(sandbox: SandboxProcess) -> AsyncIterator[Api]:
    """stripe-python, speaking to the shared sandbox."""
    async with Api(Target(sandbox.base, KEY)) as api:
        yield api


@pytest.fixture
async def hooks(sandbox: SandboxProcess, sandbox_api: Api) -> AsyncIterator[Hooks]:
    """Somebody whom the shared sandbox tells what happens."""
    with Receiver() as receiver:
        mine = Hooks(sandbox_api, sandbox, receiver)
        yield mine
        await mine.close()


@pytest.fixture
async def own_hooks(own_sandbox: SandboxProcess, own_api: Api) -> AsyncIterator[Hooks]:
    """Somebody whom the test's own sandbox tells what happens."""
    with Receiver() as receiver:
        yield Hooks(own_api, own_sandbox, receiver)


@pytest.fixture
def shop(sandbox: SandboxProcess, sandbox_api: Api) -> Shop:
    """A shop in the shared sandbox."""
    return Shop(sandbox_api, sandbox)


@pytest.fixture
def own_shop(own_sandbox: SandboxProcess, own_api: Api) -> Shop:
    """A shop in a sandbox of its own."""
    return Shop(own_api, own_sandbox)


@pytest.fixture(scope="module")
def emptied_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """A sandbox of the module's own, whose balance each test begins with at zero."""
    process = SandboxProcess(tmp_path_factory.mktemp("emptied") / "books.sqlite3", "--fee-delay-s", "0")
    yield process.start()
    process.kill()


@pytest.fixture
async def emptied_shop(emptied_sandbox: SandboxProcess) -> AsyncIterator[Shop]:
    """A shop that was paid out days ago."""
    emptied_sandbox.control("POST", "clock", {"advance_s": EMPTIED_S})
    emptied_sandbox.control("POST", "payouts")
    emptied_sandbox.control("POST", "clock", {"advance_s": EMPTIED_S})
    async with Api(Target(emptied_sandbox.base, KEY)) as api:
        yield Shop(api, emptied_sandbox)
