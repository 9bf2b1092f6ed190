"""What a producer sees: an order is accepted, paid within a second, and the same request again is the same order."""

import json
import time

import pytest

from tests.acceptance.fleet import ORDER, Fleet, http
from tests.conformance.cases.declines import DECLINES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # a busy machine is no reason to fail

DECLINED_ORDERS = 100


def test_an_order_becomes_paid_within_a_second_and_the_same_post_again_replays(fleet: Fleet) -> None:
    placed = fleet.post("/v1/orders", ORDER, key="cart:1")
    assert (placed.status, placed.body["status"]) == (201, "pending")
    assert placed.headers["location"] == f"/v1/orders/{placed.body['id']}"
    assert "idempotent-replayed" not in placed.headers
    fleet.until(lambda: fleet.is_paid(placed.body["id"]), within_s=10)
    assert min(seconds_until_paid(fleet, f"quick:{n}") for n in range(3)) < 1  # the best: others use this machine too
    again = fleet.post("/v1/orders", ORDER, key="cart:1")
    assert (again.status, again.headers["idempotent-replayed"]) == (201, "true")
    assert (again.body["id"], again.body["status"]) == (placed.body["id"], "paid")
    assert fleet.truth(order=placed.body["id"])["charges"] == 1


def test_prefer_wait_answers_with_the_end(fleet: Fleet) -> None:
    placed = fleet.post("/v1/orders", ORDER, key="cart:wait", prefer="wait=10")
    assert (placed.status, placed.body["status"]) == (201, "paid")


def test_the_timeline_tells_cause_before_effect(fleet: Fleet) -> None:
    placed = fleet.post("/v1/orders", ORDER, key="cart:story", prefer="wait=10").body
    events = [event["event"] for event in fleet.get(f"/v1/orders/{placed['id']}/timeline").body["data"]]
    story = "order.accepted charge.opened charge.called charge.answered ledger.booked order.paid"
    assert " ".join(events).removesuffix(" ledger.booked") == story  # the fee may be on the books already


def test_one_key_and_another_body_is_refused_and_charges_nothing(fleet: Fleet) -> None:
    placed = fleet.post("/v1/orders", ORDER, key="cart:2", prefer="wait=10")
    other = fleet.post("/v1/orders", {**ORDER, "amount": 2000}, key="cart:2")
    assert (other.status, other.headers["content-type"]) == (422, "application/problem+json")
    assert fleet.truth(order=placed.body["id"])["amounts"] == {"usd": 1999}


def test_one_key_in_two_accounts_is_two_orders_and_neither_sees_the_other(fleet: Fleet) -> None:
    other_key = json.loads(fleet.eo("keys", "create", "--account", "second", "--json").stdout)["key"]
    mine = fleet.post("/v1/orders", ORDER, key="cart:shared", prefer="wait=10").body
    theirs = fleet.post("/v1/orders", ORDER, key="cart:shared", prefer="wait=10", api_key=other_key).body
    assert (mine["status"], theirs["status"]) == ("paid", "paid")
    assert mine["id"] != theirs["id"]
    assert fleet.get(f"/v1/orders/{theirs['id']}").status == 404
    assert fleet.get(f"/v1/orders/{mine['id']}", api_key=other_key).status == 404
    assert [order["id"] for order in fleet.get("/v1/orders", api_key=other_key).body["data"]] == [theirs["id"]]
    assert [fleet.truth(order=order["id"])["charges"] for order in (mine, theirs)] == [1, 1]
    keys = fleet.rows(
        "SELECT order_id::text, idempotency_key FROM charges WHERE order_id = ANY($1)", [mine["id"], theirs["id"]]
    )
    on_the_wire = {row[0]: row[1] for row in keys}
    assert on_the_wire[mine["id"]] == "cart:shared"
    assert on_the_wire[theirs["id"]].startswith("eo1:")


def test_a_hundred_orders_with_cards_that_decline_all_fail_with_the_bank_s_own_reason(fleet: Fleet) -> None:
    methods = [list(DECLINES)[n % len(DECLINES)] for n in range(DECLINED_ORDERS)]
    orders = [
        {**ORDER, "payment_method": method, "idempotency_key": f"declined-{n}"} for n, method in enumerate(methods)
    ]
    results = fleet.post("/v1/orders/batch", {"orders": orders}, key="unused").body["results"]
    placed = [result["order"]["id"] for result in results]
    fleet.until(lambda: all_final(fleet, placed), within_s=30, every_s=0.1, what="every order has its end")
    for order_id, method in zip(placed, methods, strict=True):
        order = fleet.order(order_id)
        assert order["status"] == "failed", order
        assert (order["failure"]["code"], order["failure"]["decline_code"]) == DECLINES[method], method
        assert order["failure"]["message"]
    assert fleet.rows("SELECT count(*) FROM outbox WHERE order_id = ANY($1)", placed)[0][0] == 0
    charged = {entry["order"] for entry in fleet.truth(per_order=True)["orders"]}
    assert charged.isdisjoint(placed)


def test_after_3d_secure_an_order_gets_its_end_without_a_human(fleet: Fleet) -> None:
    asks = {**ORDER, "payment_method": "pm_card_authenticationRequired"}
    ends = {True: "paid", False: "failed"}
    placed = {ok: fleet.post("/v1/orders", asks, key=f"3ds:{end}").body for ok, end in ends.items()}
    for succeeds, order in placed.items():
        fleet.until(
            lambda i=order["id"]: fleet.order(i)["status"] not in ("pending", "processing"),  # type: ignore[misc]
            within_s=60,
            what="Stripe has answered",
        )
        asked = fleet.order(order["id"])
        assert (asked["status"], fleet.truth(order=order["id"])["charges"]) == ("requires_action", 0)
        fleet.control("POST", f"payment_intents/{asked['payment_intent']}/complete_action", {"succeed": succeeds})
    half_a_minute_passes = "UPDATE outbox SET deliver_after = deliver_after - interval '30 s' WHERE order_id = ANY($1)"
    fleet.rows(half_a_minute_passes, [order["id"] for order in placed.values()])
    for succeeds, order in placed.items():
        end = ends[succeeds]
        fleet.until(
            lambda i=order["id"], e=end: fleet.order(i)["status"] == e,  # type: ignore[misc]
            within_s=60,
            every_s=0.1,
            what=f"the order is {end}",
        )
        assert fleet.truth(order=order["id"])["charges"] == int(succeeds)


def test_a_charge_made_past_us_is_named_and_the_exit_code_says_so(fleet: Fleet) -> None:
    fleet.post("/v1/orders", ORDER, key="cart:clean", prefer="wait=10")
    fees = "SELECT count(*) FROM charges WHERE status = 'succeeded' AND balance_transaction_id IS NULL"
    fleet.until(lambda: fleet.rows(fees)[0][0] == 0, within_s=20, every_s=0.1, what="every fee is booked")
    before = fleet.eo("reconcile", "--json", EO_RECONCILE_GRACE_S="0")
    assert (before.returncode, json.loads(before.stdout)["verdict"]) == (0, "clean"), before.stdout
    form = "amount=4242&currency=usd&payment_method=pm_card_visa&confirm=true"
    form += "&automatic_payment_methods[enabled]=true&automatic_payment_methods[allow_redirects]=never"
    bearer = {"Authorization": "Bearer sk_test_" + "0" * 24, "Content-Type": "application/x-www-form-urlencoded"}
    planted = http("POST", f"{fleet.stripe}/v1/payment_intents", bearer, form).body
    assert planted["status"] == "succeeded"
    after = fleet.eo("reconcile", "--json", EO_RECONCILE_GRACE_S="0")
    assert after.returncode == 1, after.stderr
    (named,) = json.loads(after.stdout)["discrepancies"]
    assert (named["class"], named["payment_intent"], named["amount"]) == ("missing_locally", planted["id"], 4242)
    young = fleet.eo("reconcile")
    assert young.returncode == 0, "it is a minute old at most, so without grace 0 it may still be on its way"
    assert "in_flight" in young.stdout


def seconds_until_paid(fleet: Fleet, key: str) -> float:
    began = time.monotonic()
    order_id = fleet.post("/v1/orders", ORDER, key=key).body["id"]
    fleet.until(lambda: fleet.is_paid(order_id), within_s=10, what="the order is paid")
    return time.monotonic() - began


def all_final(fleet: Fleet, placed: list[str]) -> bool:
    """Whether none of the orders has anything coming."""
    waiting = "SELECT count(*) FROM orders WHERE id = ANY($1) AND status IN ('pending', 'processing')"
    return bool(fleet.rows(waiting, placed)[0][0] == 0)
