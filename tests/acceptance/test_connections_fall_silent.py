"""Open connections fall silent for good, or the only synchronous standby is gone: nobody waits for ever.

The silence, to PostgreSQL and Redis, never heals by itself: only connections that are made afterwards work.
"""

import signal
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException

import pytest

from service.foundation.postgres.pools import per_process
from service.foundation.settings import Settings
from tests.acceptance.fleet import ORDER, SHORT_LEASES, Answer, Fleet, NewFleet
from tests.chaos.proxy import Wires

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # a busy machine is no reason to fail

PARTS = ("api-1", "relay-1", "worker-1")
ENDS_WITHIN_S = 20  # twice what docs promise, because machines are busy
BACK_S = 60


@pytest.fixture(scope="module")
def wires() -> Iterator[Wires]:
    wires = Wires(seed=1)
    yield wires
    wires.end()


@pytest.fixture(scope="module")
def fleet(new_fleet: NewFleet, wires: Wires) -> Fleet:
    """One of each, each with its own wires to PostgreSQL and Redis."""
    fleet = new_fleet(**SHORT_LEASES)
    for name in PARTS:
        fleet.start(name.partition("-")[0], 1, (), **wires.around(fleet, name))
    return fleet


def silence(wires: Wires) -> None:
    for name in PARTS:
        wires.silence(f"{name}>postgres")
        wires.silence(f"{name}>redis")


def until_accepted(fleet: Fleet, key: str) -> Answer:
    found: list[Answer] = []

    def accepted() -> bool:
        with suppress(OSError, HTTPException):
            found.append(fleet.post("/v1/orders", ORDER, key=key, prefer="wait=20"))
        return bool(found) and found[-1].status == 201

    fleet.until(accepted, within_s=BACK_S, every_s=0.2, what=f"{key} is accepted")
    assert {answer.status for answer in found} <= {201, 503}
    return found[-1]


def all_end(fleet: Fleet) -> None:
    for name in PARTS:
        fleet.send(name, signal.SIGTERM)
    fleet.until(
        lambda: set(PARTS) <= set(fleet.dead()), within_s=ENDS_WITHIN_S, what="api, relay and worker have ended"
    )
    assert [fleet.part(name).exit_status for name in PARTS] == [0, 0, 0]


HELD = """
SELECT CASE WHEN application_name IN ('eo relay', 'eo rollup') THEN 'relay' WHEN application_name = 'eo worker'
       THEN 'worker' ELSE 'api' END AS kind, count(*) AS n
  FROM pg_stat_activity WHERE application_name LIKE 'eo %' GROUP BY 1
"""


def test_processes_hold_no_more_connections_than_the_formula_says(fleet: Fleet) -> None:
    orders = [{"idempotency_key": f"many-{n}", **ORDER} for n in range(200)]
    assert fleet.post("/v1/orders/batch", {"orders": orders}, key="many").status == 200
    fleet.settle(within_s=BACK_S)
    held = {row["kind"]: row["n"] for row in fleet.rows(HELD)}
    allowed = per_process(Settings())
    assert set(held) == set(allowed)
    assert {kind: n for kind, n in held.items() if n > allowed[kind]} == {}


def test_without_the_synchronous_standby_nothing_is_confirmed_and_everybody_still_ends(fleet: Fleet) -> None:
    fleet.rows("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    fleet.rows("SELECT pg_reload_conf()")
    answer = fleet.post("/v1/orders", ORDER, key="unconfirmed")
    assert answer.status == 503
    assert "same key" in answer.body["detail"]
    all_end(fleet)
    fleet.rows("ALTER SYSTEM RESET synchronous_standby_names")
    fleet.rows("SELECT pg_reload_conf()")
    fleet.restart(*PARTS)
    order = until_accepted(fleet, "unconfirmed").body
    fleet.until(lambda: fleet.is_paid(order["id"]), within_s=BACK_S, every_s=0.2, what="it is paid")


def test_after_a_silence_orders_are_accepted_and_paid_and_everybody_still_ends(fleet: Fleet, wires: Wires) -> None:
    silence(wires)
    order = until_accepted(fleet, "after").body
    fleet.until(lambda: fleet.is_paid(order["id"]), within_s=BACK_S, every_s=0.2, what="it is paid")
    silence(wires)
    all_end(fleet)
