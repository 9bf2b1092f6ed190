"""Fleets that die often: everything that waits is told to wait briefly, so that a day's worth of failures fits in one
minute. The order of the waits is that of the defaults: call < lease < visibility.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.fleet import Fleet, NewFleet, fleets
from tests.chaos.producer import Producer

HASTE = {
    "EO_STRIPE_CONNECT_TIMEOUT_S": "0.5",
    "EO_STRIPE_TIMEOUT_S": "1",
    "EO_CHARGE_LEASE_S": "2.5",
    "EO_OUTBOX_LEASE_S": "3",
    "EO_RETRY_BASE_S": "0.2",
    "EO_RETRY_MAX_S": "2",
    "EO_BREAKER_S": "0.5",
    "EO_FEE_SWEEP_S": "0.3",
    "EO_ROLLUP_S": "1",
}


@pytest.fixture(scope="module")
def new_fleet(servers_folder: Path) -> Iterator[NewFleet]:
    """Makes a hasty fleet with PostgreSQL, Redis and a sandbox running, and no process of ours yet."""
    with fleets(servers_folder, **HASTE) as make:
        yield make


@pytest.fixture(scope="module")
def fleet(new_fleet: NewFleet) -> Fleet:
    """One of each, so that a process that is armed is the one that gets there."""
    return new_fleet().start_all()


@pytest.fixture(scope="module")
def producers() -> list[Producer]:
    """All of the module's, so that what an earlier case promised is still held against the books."""
    return []
