"""What must hold of the money after the charge: held, captured, let go, given back. A part of the invariants.

The witnesses: our tables, the journal, Stripe's own list of refunds, what the sandbox noted where money moved, and what
the producer was told.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from tests.acceptance.fleet import Fleet
from tests.chaos.bank import SETTLES_ELSEWHERE, all_at_stripe
from tests.chaos.customer import Asked, Customer
from tests.chaos.stories import ASKS_WHERE, BAD, FAILS_LATER, story_of

_ORDERS = """
SELECT o.id::text, o.idempotency_key AS key, o.status, o.currency, o.amount_minor AS amount,
       o.failure ->> 'code' AS why,
       CASE o.status WHEN 'paid' THEN coalesce(o.amount_captured_minor, o.amount_minor) ELSE 0 END AS captured,
       o.amount_refunded_minor AS refunded, o.amount_refunding_minor AS refunding, o.amount_owed_minor AS owed,
       EXISTS (SELECT FROM outbox x WHERE x.order_id = o.id AND x.parked_at IS NOT NULL) AS parked,
       ARRAY(SELECT a.id::text FROM order_aliases a WHERE a.order_id = o.id) AS former
  FROM orders o"""
_REFUNDS = """
SELECT id::text, order_id::text, producer_key AS key, status, amount_minor AS amount, stripe_refund_id AS re,
       drawn_minor AS drawn
  FROM refunds"""
# What each entry moved, by the side that a charge, a refund and a return each write above zero. Where Stripe's balance
# got another currency, the entry says beside it what the customer paid or got.
_BOOKED = """
SELECT order_id::text, kind, sum(amount)::bigint AS amount
  FROM (SELECT e.order_id, e.kind, coalesce(e.customer_minor, sum(p.amount_minor)) AS amount
          FROM journal_entries e JOIN postings p ON p.entry_id = e.id AND p.amount_minor > 0
         WHERE e.order_id IS NOT NULL GROUP BY e.id) AS each
 GROUP BY 1, 2"""
# What the books say is owed to customers, by order, in the currency of Stripe's balance.
_PAYABLE = """
SELECT e.order_id::text, p.currency, -sum(p.amount_minor)::bigint AS amount
  FROM journal_entries e JOIN postings p ON p.entry_id = e.id
  JOIN ledger_accounts l ON l.id = p.ledger_account_id AND l.code = 'liabilities:refunds_payable'
 GROUP BY 1, 2"""
_WITHOUT = ("failed", "canceled")


def money(fleet: Fleet) -> Iterator[str]:
    """What went back = what is booked = what our rows say = what Stripe shows; never more than was taken."""
    truth = {entry["order"]: entry for entry in fleet.truth(per_order=True)["orders"]}
    at_stripe = all_at_stripe(fleet, "refunds")
    ours: dict[str, list[Any]] = defaultdict(list)
    for refund in fleet.rows(_REFUNDS):
        ours[refund["order_id"]].append(refund)
    booked: dict[str, dict[str, int]] = defaultdict(dict)
    for row in fleet.rows(_BOOKED):
        booked[row["order_id"]][row["kind"]] = row["amount"]
    payable: dict[str, dict[str, int]] = defaultdict(dict)
    for row in fleet.rows(_PAYABLE):
        payable[row["order_id"]][row["currency"]] = row["amount"]
    for order in fleet.rows(_ORDERS):
        if not order["parked"]:
            what = f"{order['key']} ({order['status']})"
            real = _together([truth[i] for i in (order["id"], *order["former"]) if i in truth])
            refunds = ours[order["id"]]
            yield from (f"{what}: {found}" for found in _order(order, real, refunds))
            yield from (
                f"{what}: {found}" for found in _books(order, booked[order["id"]], payable[order["id"]], refunds)
            )
    yield from _each_once(at_stripe, {refund["re"]: refund for rows in ours.values() for refund in rows})


def _together(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """An order's truth under all the ids that it has had."""
    sums: dict[str, Counter[str]] = {
        name: Counter() for name in ("amounts", "held", "captured", "released", "refunded")
    }
    lists: dict[str, list[str]] = {"canceled": [], "refund_ids": []}
    for entry in entries:
        for name, amounts in sums.items():
            amounts.update(entry[name])
        for name in lists:
            lists[name] += entry[name]
    return {**sums, **lists}


def _order(order: Any, real: Mapping[str, Any], refunds: list[Any]) -> Iterator[str]:
    """The order and its refunds against what the sandbox noted."""
    currency = order["currency"]
    taken, back = real["amounts"][currency], real["refunded"][currency]
    if taken != order["captured"]:
        yield f"taken {taken}, and {order['captured']} is captured here"
    held = order["amount"] if order["status"] == "authorized" else 0
    if real["held"][currency] != held:
        yield f"held {dict(real['held'])} instead of {held}"
    if back > taken:
        yield f"given back {back} of {taken}"
    if order["refunded"] != back:
        yield f"given back {back}, and {order['refunded']} is refunded here"
    if order["refunding"]:
        yield f"{order['refunding']} is still being refunded"
    succeeded = sorted(refund["re"] or "no id" for refund in refunds if refund["status"] == "succeeded")
    if succeeded != sorted(real["refund_ids"]):
        yield f"refunds here {succeeded}, at Stripe {sorted(real['refund_ids'])}"
    if sum(refund["amount"] for refund in refunds if refund["status"] == "succeeded") != order["refunded"]:
        yield "its refunds that succeeded are not the sum that it shows"


def _books(order: Any, booked: Mapping[str, int], payable: Mapping[str, int], refunds: list[Any]) -> Iterator[str]:
    """The journal against the tables."""
    if booked.get("charge", 0) != order["captured"]:
        yield f"booked {booked.get('charge', 0)}, captured {order['captured']}"
    net = booked.get("refund", 0) - booked.get("refund_failed", 0)
    if net != order["refunded"]:
        yield f"booked as given back {net}, refunded {order['refunded']}"
    came_back = sum(r["amount"] for r in refunds if r["re"] and r["status"] in _WITHOUT)
    owed = came_back - sum(r["drawn"] for r in refunds)
    booked_as_owed = {currency: amount for currency, amount in payable.items() if amount}
    is_booked = booked_as_owed == ({order["currency"]: owed} if owed else {})
    if order["currency"] == SETTLES_ELSEWHERE:  # at the rate of its charge, which is not known here
        is_booked = (sum(booked_as_owed.values()) > 0) == (owed > 0)
    if order["owed"] != owed or not is_booked:
        yield f"owed {order['owed']}, by its refunds {owed}, by the books {booked_as_owed}"


def _each_once(at_stripe: list[dict[str, Any]], ours: Mapping[str | None, Any]) -> Iterator[str]:
    """One key is one refund at Stripe, and each refund there is one here, of the same amount, ended alike."""
    keys = Counter(
        (shown["metadata"]["eo_order"], shown["metadata"]["eo_key"])
        for shown in at_stripe
        if "eo_key" in shown["metadata"]
    )
    yield from (f"refunded {times} times: {key} of {order}" for (order, key), times in keys.items() if times > 1)
    for shown in at_stripe:
        here = ours.get(shown["id"])
        if here is None:
            yield f"not here: {shown['id']}, {shown['status']}, {shown['amount']}, {json.dumps(shown['metadata'])}"
        elif (here["amount"], here["status"]) != (shown["amount"], shown["status"]):
            yield f"{shown['id']} is {shown['status']} of {shown['amount']}, here {here['status']} of {here['amount']}"


def promises(fleet: Fleet, customer: Customer) -> Iterator[str]:
    """What was answered 2xx is carried out, or the order shows why not; what was shown as canceled is never charged."""
    orders = {row["key"]: row for row in fleet.rows(_ORDERS)}
    refunds = {row["id"]: row for row in fleet.rows(_REFUNDS)}
    by_key = {(row["order_id"], row["key"]): row for row in refunds.values() if row["key"]}
    truth = fleet.truth(per_order=True)["orders"]
    disputed = {entry["order"] for entry in truth if entry["withdrawn"]}
    for (operation, key), asked in customer.asked.items():
        promised = asked.promised
        order = orders.get(customer.key(asked.number))
        if promised is None or order is None or order["parked"] or customer.may_be_forgotten(promised):
            continue
        if operation == "refund":
            refund = refunds.get(promised.body["id"]) or by_key.get((order["id"], key))
            is_disputed = not disputed.isdisjoint((order["id"], *order["former"]))
            found = _refund(asked, promised.body, refund, is_disputed=is_disputed)
        else:
            found = _change(asked, order)
        if found and _is_of_a_forgotten(customer, asked, found):
            customer.counts[f"{operation} that met a forgotten one"] += 1
        elif found:
            yield f"{operation} {key}, answered {promised.status}: {found}"
    for key, heard in customer.shown.items():
        if orders[key]["status"] != "canceled" and not customer.may_be_forgotten(heard[-1]):
            yield f"{key} was shown canceled, and is {orders[key]['status']}"


def _is_of_a_forgotten(customer: Customer, asked: Asked, found: str) -> bool:
    """Whether the database has forgotten another request about this order that, alive at Stripe, explains this end.

    A cancel that was forgotten cancels all the same, a forgotten attempt is declined under the number of the next,
    and a forgotten refund leaves less than the next one wants. None of it moves money twice: `money` judges that.
    """
    forgotten = [a for a in customer.asked_of(asked.number) if a is not asked and customer.is_forgotten(a)]
    match asked.step.operation:
        case "capture":
            return found.startswith("canceled") and any(a.step.operation == "cancel" for a in forgotten)
        case "pay":
            return any(a.step.operation == "pay" and a.step.card in BAD for a in forgotten)
        case "refund":
            return found == "failed" and any(a.step.operation == "refund" for a in forgotten)
    return False


def _change(asked: Asked, order: Any) -> str:
    """What is wrong with an order that was to be captured, canceled or paid again; nothing: no word."""
    status = order["status"]
    match asked.step.operation:
        case "capture":
            wanted = asked.step.body(order).get("amount", order["amount"])
            return (
                "" if (status, order["captured"]) == ("paid", wanted) else f"{status}, {order['captured']} of {wanted}"
            )
        case "cancel":
            return "" if status == "canceled" else status
        case _:
            bad = asked.step.card in BAD or order["why"] == "never_executed"
            return "" if status != "failed" or bad else f"{status} ({order['why']})"


def _refund(asked: Asked, told: Mapping[str, Any], refund: Any, *, is_disputed: bool) -> str:
    """What is wrong with a refund that was promised. `is_disputed`: its bank held the payment at some time."""
    if refund is None:
        return "there is no such refund"
    story = story_of(asked.number)
    past_us = any(s.operation == "past us" for a in story.acts for s in a.steps)
    may_fail = is_disputed or past_us or story.card in (FAILS_LATER, ASKS_WHERE)
    if refund["status"] == "succeeded" or (may_fail and refund["status"] in _WITHOUT):
        return "" if refund["amount"] == told["amount"] else f"{refund['amount']} instead of {told['amount']}"
    return str(refund["status"])
