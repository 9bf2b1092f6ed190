"""What happens to money after the charge, through the API, a relay, a worker and the stand-in: each to its end."""

import pytest

from tests.acceptance.fleet import ORDER, Answer, Fleet

pytestmark = pytest.mark.slow

WAIT = "wait=30"


def ask(fleet: Fleet, order_id: str, what: str, key: str, **body: object) -> Answer:
    return fleet.post(f"/v1/orders/{order_id}/{what}", body, key=key, prefer=WAIT)


def placed(fleet: Fleet, key: str, **changes: object) -> str:
    return str(fleet.post("/v1/orders", {**ORDER, **changes}, key=key, prefer=WAIT).body["id"])


def test_each_operation_comes_to_its_end(fleet: Fleet) -> None:
    held = placed(fleet, "held", capture="manual")
    assert fleet.order(held)["status"] == "authorized"
    captured = ask(fleet, held, "capture", "held", amount=1500)
    assert (captured.status, captured.body["status"], captured.body["amount_captured"]) == (202, "paid", 1500)

    released = placed(fleet, "released", capture="manual")
    canceled = ask(fleet, released, "cancel", "released")
    assert (canceled.status, canceled.body["status"]) == (202, "canceled")

    declined = placed(fleet, "declined", payment_method="pm_card_chargeDeclined")
    assert fleet.order(declined)["status"] == "failed"
    paid = ask(fleet, declined, "pay", "again", payment_method="pm_card_visa")
    assert (paid.status, paid.body["status"]) == (202, "paid")

    challenged = placed(fleet, "challenged", payment_method="pm_card_authenticationRequired")
    action = fleet.get(f"/v1/orders/{challenged}/action")
    assert (action.status, action.headers["cache-control"]) == (200, "no-store")
    assert ask(fleet, challenged, "cancel", "challenged").body["status"] == "canceled"

    part = ask(fleet, held, "refunds", "part", amount=500)
    assert (part.status, part.body["status"]) == (201, "succeeded")
    assert part.body["stripe_refund"].startswith("re_")
    rest = ask(fleet, held, "refunds", "rest")
    assert (rest.body["status"], rest.body["amount"]) == ("succeeded", 1000)
    assert ask(fleet, held, "refunds", "more").status == 409
    shown = fleet.order(held)
    assert (shown["amount_captured"], shown["amount_refunded"]) == (1500, 1500)

    events = [event["event"] for event in fleet.get(f"/v1/orders/{held}/timeline").body["data"]]
    for event in ("operation.asked", "change.called", "change.ended", "order.paid", "refund.answered", "refund.ended"):
        assert event in events, events
    assert fleet.get(f"/v1/orders/{held}/refunds").body["data"][0]["id"] == rest.body["id"]
