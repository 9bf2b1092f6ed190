"""Our clocks an hour off, either way, and jumping: leases and deadlines are the database's, so one charge."""

import pytest

from tests.acceptance.fleet import NewFleet, python
from tests.chaos.invariants import assert_hold, is_quiet
from tests.chaos.producer import Producer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

HOUR = 3_600
ORDERS = 80
WITHIN_S = 60.0


def test_processes_that_disagree_by_two_hours_charge_once(new_fleet: NewFleet) -> None:
    fleet = new_fleet()
    for off_s in (-HOUR, HOUR):
        for part in ("relay", "main"):
            argv = [*python("tests.chaos.jumping_clock"), f"workers.{part}"]
            fleet.start("worker" if part == "main" else part, argv=argv, EO_TEST_CLOCK_OFF_S=str(off_s))
    fleet.start("api")
    # Some replies are lost, so that leases run out and are taken over by a worker of another time.
    rules = [{"fault": "executed_reply_lost", "probability": 0.2}, {"fault": "drop_before", "probability": 0.1}]
    fleet.control("POST", "faults", {"rules": [{"method": "POST", **rule} for rule in rules], "seed": 1})
    producer = Producer([fleet.url()], fleet.api_key, 1, ORDERS, sent_twice=0.2, pause_s=0.05).start()
    fleet.until(lambda: producer.is_done, within_s=WITHIN_S, what="all are accepted")
    fleet.until(lambda: is_quiet(fleet), within_s=WITHIN_S, what="everything is on the books")
    lost = fleet.control("GET", "faults")["rules"][0]["fired"]
    abandoned = fleet.rows("SELECT count(*) FROM charges WHERE history::text LIKE '%abandoned%'")[0][0]
    print(f"{lost} replies lost, {abandoned} calls abandoned because the clock had jumped")
    assert lost
    assert abandoned
    assert assert_hold(fleet, [producer]).parked == 0
