"""Redis behind a Sentinel, and as a Cluster: orders are paid, also when the primary dies under them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance import redis_servers
from tests.acceptance.fleet import PLACED, SHORT_LEASES, Fleet, NewFleet

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # a busy machine is no reason to fail

PAID_S = 90


@pytest.fixture(scope="module")
def whole_fleet(new_fleet: NewFleet) -> Fleet:
    return new_fleet(**SHORT_LEASES, EO_RATE_LIMIT_RPS="1000")


@pytest.fixture
def fleet(whole_fleet: Fleet) -> Iterator[Fleet]:
    """Its processes end with the test."""
    yield whole_fleet
    for name in [name for name in whole_fleet.alive() if name.partition("-")[0] in ("api", "relay", "worker")]:
        whole_fleet.kill(name)


def start(fleet: Fleet, url: str) -> str:
    fleet.start("relay", REDIS_URL=url)
    fleet.start("worker", REDIS_URL=url)
    return fleet.start("api", REDIS_URL=url)[0]


def test_a_failover_by_sentinel_loses_no_order(fleet: Fleet, tmp_path: Path) -> None:
    with redis_servers.sentinel(tmp_path) as (url, primary, replica):
        api = start(fleet, url)
        fleet.all_paid_once(fleet.place("before", api=api), within_s=PAID_S, api=api)
        during = fleet.place("during", api=api)
        primary.kill()
        during += fleet.place("without", api=api)
        replica.until("replication", "role", "master")
        after = fleet.place("after", api=api)
        for orders in (during[:PLACED], during[PLACED:], after):
            fleet.all_paid_once(orders, within_s=PAID_S, api=api)
        ready = fleet.get("/health/ready", api=api).body
        assert ready["checks"]["redis"] == "ok", ready
        assert redis_servers.PASSWORD not in fleet.warnings()


def test_orders_are_paid_through_a_cluster(fleet: Fleet, tmp_path: Path) -> None:
    with redis_servers.cluster(tmp_path) as url:
        api = start(fleet, url)
        fleet.all_paid_once(fleet.place("cluster", api=api), within_s=PAID_S, api=api)
        assert fleet.get("/health/ready", api=api).body["checks"]["redis"] == "ok"
