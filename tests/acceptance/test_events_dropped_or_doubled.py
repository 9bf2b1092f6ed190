"""R38: one history at Stripe, told by no event or by each of them under two ids, leaves the same rows and books."""

from typing import Any

import pytest

from tests.acceptance.fleet import ORDER, Fleet, NewFleet
from tests.chaos.bank import ask_stripe
from tests.chaos.both_balances import differences, looks_come_due
from tests.chaos.hearing import Hearing
from tests.chaos.weather import calm_plan

pytestmark = pytest.mark.slow

WITHIN_S = 30.0
WAIT = "wait=30"
AT_ONCE = "pm_card_bypassPending"
QUICK = {"EO_SWEEP_S": "0.2", "EO_FEE_SWEEP_S": "0.1"}
# What there is to see, without the ids and moments that no two histories share.
_SEEN = (
    "SELECT idempotency_key, status, amount_refunded_minor, amount_disputed_minor FROM orders",
    "SELECT o.idempotency_key, r.status, r.amount_minor FROM refunds r JOIN orders o ON o.id = r.order_id",
    "SELECT o.idempotency_key, d.status, d.amount_minor FROM disputes d JOIN orders o ON o.id = d.order_id",
    "SELECT status, amount_minor, currency, failure ->> 'code' FROM payouts",
    """SELECT o.idempotency_key, b.category, b.status, b.amount_minor, b.fee_minor, b.currency
         FROM balance_transactions b LEFT JOIN orders o ON o.id = b.order_id""",
    """SELECT o.idempotency_key, e.kind, e.customer_minor,
              (SELECT string_agg(l.code || ' ' || p.amount_minor || ' ' || p.currency, ', ' ORDER BY p.line)
                 FROM postings p JOIN ledger_accounts l ON l.id = p.ledger_account_id WHERE p.entry_id = e.id)
         FROM journal_entries e LEFT JOIN orders o ON o.id = e.order_id""",
)
_HEARD = "SELECT count(*) AS n FROM stripe_events GROUP BY type, object_id, kept ORDER BY 1"


def test_no_event_and_every_event_twice_leave_the_same(new_fleet: NewFleet) -> None:
    seen, heard = {}, {}
    for events in ("all dropped", "all doubled"):
        fleet = new_fleet(**QUICK)
        hears(fleet, events)
        history(fleet)
        seen[events] = [sorted(map(str, map(tuple, fleet.rows(statement)))) for statement in _SEEN]
        heard[events] = {row["n"] for row in fleet.rows(_HEARD)}
        assert fleet.control("GET", "faults")["rules"][0]["fired"] > 0
    assert heard["all dropped"] == set()
    assert heard["all doubled"] >= {2}
    assert seen["all dropped"] == seen["all doubled"]
    assert all(seen["all dropped"]), "there was something of everything"


def hears(fleet: Fleet, events: str) -> None:
    """One of each process; the api is told what is told at all."""
    hearing = Hearing(fleet, 1)
    fleet.control("POST", "faults", calm_plan(1, events))
    fleet.start_all()
    hearing.begin([fleet.url()])


def history(fleet: Fleet) -> None:
    """A charge, a refund, a dispute that is won and one that is lost, a payout that arrives and one that fails."""
    fleet.control("POST", "settlement", {"currency": "jpy", "settles_in": "usd", "rate": "0.67"})
    orders = {key: placed(fleet, key) for key in ("plain", "won", "lost")}
    orders["yen"] = placed(fleet, "yen", amount=3_000, currency="jpy")
    for key in ("plain", "yen"):
        back = fleet.post(f"/v1/orders/{orders[key]}/refunds", {"amount": 500}, key=f"{key}-back", prefer=WAIT)
        assert back.status == 201, back
    disputes = [disputed(fleet, orders[key]) for key in ("won", "lost")]
    agreed(fleet)
    for dispute, end in zip(disputes, ("won", "lost"), strict=True):
        fleet.control("POST", f"disputes/{dispute}/end", {"status": end})
    agreed(fleet)
    for n, ends in enumerate((["paid"], ["paid", "failed"])):
        placed(fleet, f"paid-out-{n}", amount=20_000, payment_method=AT_ONCE)
        fleet.control("POST", "fees/flush")
        for payout in fleet.control("POST", "payouts", {})["payouts"]:
            fleet.control("POST", f"payouts/{payout['id']}/reconcile")
            agreed(fleet)
            for end in ends:
                fleet.control("POST", f"payouts/{payout['id']}/end", {"status": end})
                agreed(fleet)


def placed(fleet: Fleet, key: str, **changes: object) -> str:
    """An order that is paid."""
    order = fleet.post("/v1/orders", {**ORDER, **changes}, key=key, prefer=WAIT).body
    assert order["status"] == "paid", order
    return str(order["id"])


def disputed(fleet: Fleet, order_id: str) -> str:
    """Its bank takes the payment back."""
    intent = fleet.order(order_id)["payment_intent"]
    (charge,) = ask_stripe(fleet, "GET", f"charges?payment_intent={intent}").body["data"]
    opened: dict[str, Any] = fleet.control("POST", f"charges/{charge['id']}/dispute", {})
    return str(opened["id"])


def agreed(fleet: Fleet) -> None:
    """Wait until both sides say the same, and the ledger's balance is Stripe's."""

    def agrees() -> bool:
        looks_come_due(fleet)
        return next(differences(fleet), None) is None

    try:
        fleet.until(agrees, within_s=WITHIN_S, every_s=0.1, what="both sides agree")
    except AssertionError as error:
        error.add_note("\n".join(differences(fleet)))
        raise
