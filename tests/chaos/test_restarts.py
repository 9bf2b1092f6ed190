"""A restart of what we depend on costs the next order a moment, never a lease. All times are the defaults here."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.fleet import ORDER, Answer, Fleet

pytestmark = pytest.mark.slow

SOON_S = 15.0  # a machine busy with other tests; a lease is a minute


@pytest.fixture(scope="module")
def fleet(servers_folder: Path) -> Iterator[Fleet]:
    """One of each, in no haste."""
    with Fleet(servers_folder / "restarted") as fleet:
        yield fleet.start_all()


@pytest.mark.parametrize("restarted", ["postgres", "redis", "sandbox"])
def test_the_first_order_after_a_restart_does_not_wait_for_a_lease(restarted: str, fleet: Fleet) -> None:
    before = fleet.post("/v1/orders", ORDER, key=f"before-{restarted}", prefer="wait=20").body
    assert before["status"] == "paid", "every process holds connections now"
    if restarted == "postgres":
        fleet.send(restarted, signal.SIGQUIT)
        fleet.until(lambda: restarted in fleet.dead(), within_s=10, what="it has stopped")
    else:
        fleet.kill(restarted)
    fleet.restart(restarted)
    placed: list[Answer] = []

    def accepted() -> bool:
        placed[:] = [fleet.post("/v1/orders", ORDER, key=f"after-{restarted}")]
        return placed[0].status == 201

    fleet.until(accepted, within_s=SOON_S, what="an order is accepted")
    order_id = placed[0].body["id"]
    took_s = fleet.until(lambda: fleet.is_paid(order_id), within_s=SOON_S, what="it is paid")
    print(f"paid {took_s:.1f} s after it was accepted")
