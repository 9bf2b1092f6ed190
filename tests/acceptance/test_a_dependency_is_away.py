"""Redis, PostgreSQL or Stripe is gone for a while: nothing accepted is lost or fails, and nobody restarts a thing."""

import pytest

from tests.acceptance.fleet import ORDER, PLACED, SHORT_LEASES, Fleet, NewFleet

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # a busy machine is no reason to fail

AWAY_S = 15  # until 503 is said, or a part has noticed
BACK_S = 60  # the backoff of a part that waits, and of a row that was tried in vain


@pytest.fixture(scope="module")
def short_lease_fleet(new_fleet: NewFleet) -> Fleet:
    return new_fleet(**SHORT_LEASES).start_all(worker=2)


@pytest.fixture
def fleet(short_lease_fleet: Fleet) -> Fleet:
    """It works before each test: what the test before it took away has come back."""
    assert short_lease_fleet.dead() == []
    placed = short_lease_fleet.post("/v1/orders", ORDER, key=f"before-{short_lease_fleet.outbox()}", prefer="wait=30")
    assert placed.body["status"] == "paid"
    return short_lease_fleet


def statuses(fleet: Fleet, placed: list[str]) -> set[str]:
    return {row[0] for row in fleet.rows("SELECT DISTINCT status FROM orders WHERE id = ANY($1)", placed)}


def all_paid_once(fleet: Fleet, placed: list[str]) -> None:
    fleet.all_paid_once(placed, within_s=BACK_S)
    assert fleet.eo("ledger", "verify").returncode == 0


def test_redis_gone_orders_are_accepted_and_charged_when_it_returns(fleet: Fleet) -> None:
    fleet.kill("redis")
    placed = fleet.place("no-redis")
    is_degraded = {"status": "degraded"}
    fleet.until(  # one look is shared for a second
        lambda: is_degraded.items() <= fleet.get("/health/ready").body.items(), within_s=10, what="ready is degraded"
    )
    assert fleet.get("/health/ready").status == 200
    assert statuses(fleet, placed) == {"pending"}
    fleet.restart("redis")
    all_paid_once(fleet, placed)
    assert fleet.dead() == []


def test_redis_emptied_under_a_backlog_costs_time_only(fleet: Fleet) -> None:
    fleet.pause("worker-1", "worker-2")
    placed = fleet.place("flushed")
    out = "SELECT count(*) FROM outbox WHERE published > 0 AND order_id = ANY($1)"
    fleet.until(lambda: fleet.rows(out, placed)[0][0] == PLACED, within_s=10, every_s=0.1, what="all are published")
    fleet.redis.command("FLUSHALL")
    fleet.resume("worker-1", "worker-2")
    all_paid_once(fleet, placed)


def test_postgresql_gone_is_503_and_then_everything_works_again_by_itself(fleet: Fleet) -> None:
    placed = fleet.place("before-the-fall")
    fleet.stop("postgres")
    refused = fleet.post("/v1/orders", ORDER, key="in-the-fall-0")
    assert refused.status == 503
    assert int(refused.headers["retry-after"]) > 0
    assert fleet.get("/health/ready").status == 503
    fleet.restart("postgres")
    fleet.until(lambda: fleet.get("/health/ready").status == 200, within_s=AWAY_S, every_s=0.1, what="ready again")
    assert fleet.post("/v1/orders", ORDER, key="in-the-fall-0").status == 201
    placed = [*placed[1:], *fleet.place("in-the-fall")[:1]]
    all_paid_once(fleet, placed)
    assert fleet.dead() == []


def test_stripe_gone_orders_are_accepted_and_paid_when_it_is_back_and_none_failed(fleet: Fleet) -> None:
    fleet.kill("sandbox")
    placed = fleet.place("no-stripe")
    tried = "SELECT count(*) FROM outbox WHERE deliveries > 0 AND order_id = ANY($1)"
    fleet.until(lambda: fleet.rows(tried, placed)[0][0] > 0, within_s=AWAY_S, every_s=0.1, what="some were tried")
    assert statuses(fleet, placed) <= {"pending", "processing"}
    fleet.restart("sandbox")
    all_paid_once(fleet, placed)
    history = fleet.rows("SELECT count(*) FROM charges WHERE status = 'declined' AND order_id = ANY($1)", placed)
    assert history[0][0] == 0
