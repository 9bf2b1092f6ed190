"""Redis behind a Sentinel, and as a Cluster: orders are paid, also when the primary dies under them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance import redis_servers
from tests.acceptance.fleet import ORDER, SHORT_LEASES, Fleet, NewFleet

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # a busy machine is no reason to fail

ORDERS = 10
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


def place(fleet: Fleet, prefix: str, api: str) -> list[str]:
    answers = [fleet.post("/v1/orders", ORDER, key=f"{prefix}-{n}", api=api) for n in range(ORDERS)]
    assert [answer.status for answer in answers] == [201] * ORDERS
    return [str(answer.body["id"]) for answer in answers]


def all_paid_once(fleet: Fleet, placed: list[str], api: str) -> None:
    for order_id in placed:
        fleet.until(lambda i=order_id: fleet.order(i, api=api)["status"] == "paid", within_s=PAID_S, what="paid")  # type: ignore[misc]
    assert [fleet.truth(order=order_id)["charges"] for order_id in placed] == [1] * ORDERS


def test_a_failover_by_sentinel_loses_no_order(fleet: Fleet, tmp_path: Path) -> None:
    with redis_servers.sentinel(tmp_path) as (url, primary, replica):
        api = start(fleet, url)
        all_paid_once(fleet, place(fleet, "before", api), api)
        during = place(fleet, "during", api)
        primary.kill()
        during += place(fleet, "without", api)
        replica.until("replication", "role", "master")
        after = place(fleet, "after", api)
        for orders in (during[:ORDERS], during[ORDERS:], after):
            all_paid_once(fleet, orders, api)
        ready = fleet.get("/health/ready", api=api).body
        assert ready["checks"]["redis"] == "ok", ready
        assert redis_servers.PASSWORD not in fleet.warnings()


def test_orders_are_paid_through_a_cluster(fleet: Fleet, tmp_path: Path) -> None:
    with redis_servers.cluster(tmp_path) as url:
        api = start(fleet, url)
        all_paid_once(fleet, place(fleet, "cluster", api), api)
        assert fleet.get("/health/ready", api=api).body["checks"]["redis"] == "ok"
