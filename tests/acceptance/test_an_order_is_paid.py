"""What a producer sees: an order is accepted, paid within a second, and the same request again is the same order."""

import pytest

from tests.acceptance.fleet import ORDER, Fleet

pytestmark = pytest.mark.slow


def test_an_order_becomes_paid_within_a_second_and_the_same_post_again_replays(fleet: Fleet) -> None:
    placed = fleet.post("/v1/orders", ORDER, key="cart:1")
    assert (placed.status, placed.body["status"]) == (201, "pending")
    assert placed.headers["location"] == f"/v1/orders/{placed.body['id']}"
    assert "idempotent-replayed" not in placed.headers
    took_s = fleet.until(lambda: fleet.order(placed.body["id"])["status"] == "paid", within_s=10)
    assert took_s < 1, took_s
    again = fleet.post("/v1/orders", ORDER, key="cart:1")
    assert (again.status, again.headers["idempotent-replayed"]) == (201, "true")
    assert (again.body["id"], again.body["status"]) == (placed.body["id"], "paid")
    assert fleet.truth(order=placed.body["id"])["charges"] == 1
