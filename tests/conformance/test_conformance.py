"""The suite against the sandbox, through three clients that are not ours. `make conformance` holds Stripe to it too."""

from collections.abc import Iterator

import pytest

from tests.conformance import runner
from tests.conformance.cases import CASES
from tests.conformance.drivers.aiohttp_client import AiohttpDriver
from tests.conformance.drivers.node_client import NodeDriver, why_not
from tests.conformance.drivers.outcome import Driver
from tests.conformance.drivers.requests_client import RequestsDriver
from tests.conformance.scenario import Case
from tests.conformance.targets import Sandbox
from tests.sandbox.process import SandboxProcess

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox of this suite's own: cases move its clock."""
    process = SandboxProcess(tmp_path_factory.mktemp("conformance") / "books.sqlite3", "--fee-delay-s", "0.2")
    yield Sandbox(process.start())
    process.kill()


@pytest.fixture(scope="module", params=[RequestsDriver, AiohttpDriver, NodeDriver], ids=["requests", "aiohttp", "node"])
def driver(request: pytest.FixtureRequest, sandbox: Sandbox) -> Iterator[Driver]:
    """One of the clients."""
    absent = why_not() if request.param is NodeDriver else None
    if absent is not None:
        pytest.skip(absent)
    client: Driver = request.param(sandbox.target)
    yield client
    client.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_client_that_is_not_ours_sees_stripe(case: Case, driver: Driver, sandbox: Sandbox) -> None:
    result = runner.run(case, driver, sandbox)
    assert not result.differences, "\n".join(map(str, result.differences))
    if result.left_out:
        pytest.skip(result.left_out)
