"""A worker that stops midway, past its lease, and wakes when another has done its work: one charge, one entry."""

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.fleet import ORDER, Fleet, NewFleet, python
from tests.chaos.invariants import is_quiet

pytestmark = pytest.mark.slow

WITHIN_S = 20.0
_CHARGES = """
SELECT count(*) AS charges, (SELECT count(*) FROM journal_entries j WHERE j.order_id = c.order_id AND kind = 'charge')
  AS entries, min(c.status) AS status FROM charges c WHERE c.order_id = $1::text::uuid GROUP BY c.order_id"""

_MAYBE = "SELECT maybe_executed, first_sent_at FROM charges WHERE order_id = $1::text::uuid"


@pytest.fixture(scope="module")
def fleet(new_fleet: NewFleet) -> Fleet:
    """No worker yet: each test decides who gets the order first."""
    return new_fleet().start_all(worker=0)


def stopped(fleet: Fleet, name: str) -> bool:
    """Whether the process is stopped by a signal: state T."""
    stat = Path(f"/proc/{fleet.part(name).pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"


def zombie_with(fleet: Fleet, point: str, key: str) -> tuple[str, dict[str, Any]]:
    """A worker that holds this order and has stopped at `point`."""
    (zombie,) = fleet.start("worker", argv=python("tests.chaos.odd_worker"), EO_TEST_ODDITY=f"stop:{point}")
    order = fleet.post("/v1/orders", ORDER, key=key).body
    fleet.until(lambda: stopped(fleet, zombie), within_s=WITHIN_S, what=f"{zombie} stops at {point}")
    return zombie, order


@pytest.mark.parametrize("point", ["worker.before_open", "worker.after_open", "worker.after_reply"])
def test_a_worker_that_wakes_past_its_lease_changes_nothing(point: str, fleet: Fleet) -> None:
    zombie, order = zombie_with(fleet, point, key=f"zombie-{point}")
    (other,) = fleet.start("worker")
    fleet.until(lambda: fleet.is_paid(order["id"]), within_s=WITHIN_S, what="the other takes over")
    fleet.until(lambda: is_quiet(fleet), within_s=WITHIN_S, what="on the books")
    replays = fleet.truth()["replays"]
    fleet.resume(zombie)
    assert fleet.stop(zombie, within_s=WITHIN_S) == 0, "it finishes what it holds"
    assert fleet.truth()["replays"] == replays, "nothing was sent late: Stripe would have replayed its answer"
    fleet.stop(other)

    assert fleet.truth(order=order["id"])["charges"] == 1
    (row,) = fleet.rows(_CHARGES, order["id"])
    assert dict(row) == {"charges": 1, "entries": 1, "status": "succeeded"}


def test_what_a_zombie_has_learnt_clears_nothing_once_another_holds_the_charge(fleet: Fleet) -> None:
    """Its 429 proves that *its* request did not run. Meanwhile the other's did (R16)."""
    lost = {"fault": "executed_reply_lost", "method": "POST", "nth": [1]}
    fleet.control("POST", "faults", {"rules": [{"fault": "rate_limited", "method": "POST", "times": 1}, lost]})
    zombie, order = zombie_with(fleet, "worker.after_reply", key="zombie-429")
    (second,) = fleet.start("worker", argv=python("tests.chaos.odd_worker"), EO_TEST_ODDITY="stop:worker.after_reply")
    fleet.until(lambda: stopped(fleet, second), within_s=WITHIN_S, what=f"{second} has sent it and lost the reply")
    fleet.control("DELETE", "faults")
    fleet.resume(zombie)
    said = fleet.part(zombie).log
    fleet.until(lambda: "charge.fenced" in said.read_text(), within_s=WITHIN_S, what="the zombie is fenced off")
    (row,) = fleet.rows(_MAYBE, order["id"])
    assert row["maybe_executed"]
    assert row["first_sent_at"] is not None
    fleet.resume(second)
    fleet.until(lambda: fleet.is_paid(order["id"]), within_s=WITHIN_S, what="paid")
    fleet.until(lambda: is_quiet(fleet), within_s=WITHIN_S, what="on the books")
    assert fleet.truth(order=order["id"])["charges"] == 1
