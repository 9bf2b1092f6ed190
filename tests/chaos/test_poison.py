"""An order that kills its worker every time: it is parked where a human sees it, and costs its neighbours nothing."""

import pytest

from tests.acceptance.fleet import ORDER, NewFleet, python
from tests.chaos.invariants import is_quiet
from tests.chaos.monkey import Monkey

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

NEIGHBOURS = 40
DEADLY = 66_600
OPENS = 4  # the last two of them alone
WITHIN_S = 90.0

_PARKED = """
SELECT o.idempotency_key, x.last_error FROM outbox x JOIN orders o ON o.id = x.order_id
 WHERE x.parked_at IS NOT NULL"""


def test_a_poison_is_parked_alone_and_its_neighbours_are_paid(new_fleet: NewFleet) -> None:
    fleet = new_fleet(EO_POISON_OPENS=str(OPENS))
    fleet.start("api")
    orders = [{**ORDER, "amount": 1_000 + n, "idempotency_key": f"neighbour-{n}"} for n in range(NEIGHBOURS)]
    orders.insert(NEIGHBOURS // 2, {**ORDER, "amount": DEADLY, "idempotency_key": "poison"})
    answer = fleet.post("/v1/orders/batch", {"orders": orders}, key="batch")
    assert [r["status"] for r in answer.body["results"]] == [201] * len(orders)
    names = fleet.start("worker", 2, argv=python("tests.chaos.odd_worker"), EO_TEST_ODDITY=f"poison:{DEADLY}")
    fleet.start("relay")  # only now, so that all of them share messages
    monkey = Monkey(fleet, names, seed=1)
    monkey.until(lambda: is_quiet(fleet), within_s=WITHIN_S, what="all are paid or parked")

    parked = fleet.rows(_PARKED)
    deaths = sum(monkey.counts.values())
    print(f"{deaths} deaths; parked: {[dict(row) for row in parked]}")
    assert [row["idempotency_key"] for row in parked] == ["poison"]
    assert parked[0]["last_error"].startswith("poison")
    assert fleet.rows("SELECT count(*) FROM orders WHERE status = 'paid'")[0][0] == NEIGHBOURS
    assert fleet.truth()["charges_succeeded"] == NEIGHBOURS
    assert deaths == OPENS
