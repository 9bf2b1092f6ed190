"""Fleets that die often: everything that waits is told to wait briefly, so that a day's worth of failures fits in one
minute. The order of the waits is that of the defaults: call < lease < visibility.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from tests.acceptance.fleet import Fleet

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

_numbers = count(1)


@pytest.fixture(scope="module")
def new_fleet(servers_folder: Path) -> Iterator[Callable[..., Fleet]]:
    """Makes a hasty fleet with PostgreSQL, Redis and a sandbox running, and no process of ours yet."""
    with ExitStack() as stack:

        def make(**environ: str) -> Fleet:
            folder = servers_folder / f"chaos-{next(_numbers)}"
            return stack.enter_context(Fleet(folder, **{**HASTE, **environ}))

        yield make
