"""What must hold of what Stripe tells: disputes, payouts, and each movement of its balance. A part of the invariants.

The witnesses: Stripe's own lists, the sandbox's sum of its balance, our tables, and the journal.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import asyncpg

from service.states import DISPUTE_DECIDED, DISPUTE_HOLDS_MONEY, PAYOUT_FINAL
from tests.acceptance.fleet import Fleet
from tests.chaos.bank import all_at_stripe, is_ours

BALANCE, SUSPENSE = "assets:stripe:balance", "suspense:stripe"
RECEIVABLE, IN_TRANSIT = "assets:disputes_receivable", "assets:payouts_in_transit"
_SUMS = """
SELECT p.currency, sum(p.amount_minor)::bigint AS amount
  FROM postings p JOIN ledger_accounts l ON l.id = p.ledger_account_id WHERE l.code = $1 GROUP BY 1"""
# An entry of a dispute or payout names it second: dispute:du_…:withdrawn:txn_…, payout_arrived:po_….
_OF_EACH = """
SELECT split_part(e.reference, ':', 2) AS id, sum(p.amount_minor)::bigint AS amount
  FROM journal_entries e JOIN postings p ON p.entry_id = e.id
  JOIN ledger_accounts l ON l.id = p.ledger_account_id WHERE l.code = $1 GROUP BY 1"""
_DISPUTES = "SELECT id, order_id::text, status, amount_minor AS amount FROM disputes"
_PAYOUTS = "SELECT id, status, amount_minor AS amount FROM payouts"
_WARNINGS = "SELECT id FROM fraud_warnings"
_PAYMENTS = "SELECT payment_intent_id AS intent, order_id::text FROM charges WHERE payment_intent_id IS NOT NULL"
_DISPUTED = "SELECT id::text, amount_disputed_minor AS amount FROM orders"
_WAITING = "SELECT id, category, source, why FROM balance_transactions WHERE status = 'waiting'"
_UNHEARD = """
SELECT id, type, object_id, note FROM stripe_events
 WHERE settled_at IS NULL AND note IS DISTINCT FROM 'it is of no payment that is known here'"""
_DUE = (
    "UPDATE sweeps SET swept_at = swept_at - interval '1 day' WHERE kind LIKE '%.%'",
    "UPDATE stripe_events SET look_at = now() WHERE settled_at IS NULL",
    "UPDATE balance_transactions SET look_at = now() WHERE status <> 'booked'",
)


def looks_come_due(fleet: Fleet) -> None:
    """Whatever would be looked at again within a day is due now."""
    for statement in _DUE:
        with suppress(asyncpg.DeadlockDetectedError):  # the next call tries again
            fleet.rows(statement)


def differences(fleet: Fleet) -> Iterator[str]:
    """Stripe's word against ours."""
    yield from _balance(fleet)
    yield from _disputes(fleet)
    yield from _payouts(fleet)
    yield from _left_open(fleet)


def _balance(fleet: Fleet) -> Iterator[str]:
    ours, theirs = _sums(fleet, BALANCE), fleet.truth()["balance"]
    for currency in sorted({*ours, *theirs}):
        shown, booked = theirs.get(currency, {"net": 0}), ours.get(currency, 0)
        if shown["net"] != booked:
            yield f"Stripe's balance in {currency} is {shown}, on the books it is {booked}"


def _disputes(fleet: Fleet) -> Iterator[str]:
    payments = {row["intent"]: row["order_id"] for row in fleet.rows(_PAYMENTS)}
    ours = {row["id"]: row for row in fleet.rows(_DISPUTES)}
    at_stripe = [one for one in all_at_stripe(fleet, "disputes") if one["payment_intent"] in payments]
    receivable = {row["id"]: row["amount"] for row in fleet.rows(_OF_EACH, RECEIVABLE)}
    held: dict[str, int] = defaultdict(int)
    for shown in at_stripe:
        here = ours.pop(shown["id"], None)
        if here is None or (here["status"], here["amount"]) != (shown["status"], shown["amount"]):
            yield f"{shown['id']} is {shown['status']} of {shown['amount']}, here {here and dict(here)}"
        if shown["status"] in DISPUTE_HOLDS_MONEY:
            held[payments[shown["payment_intent"]]] += shown["amount"]
        if shown["status"] in DISPUTE_DECIDED and receivable.get(shown["id"], 0):
            yield f"{shown['id']} is {shown['status']}, and {receivable[shown['id']]} of it is receivable"
    yield from (f"no dispute of Stripe's: {dict(row)}" for row in ours.values())
    for row in fleet.rows(_DISPUTED):
        if row["amount"] != held[row["id"]]:
            yield f"of order {row['id']} {held[row['id']]} is disputed at Stripe, here {row['amount']}"
    warnings = {one["id"] for one in all_at_stripe(fleet, "radar/early_fraud_warnings")
                if one["payment_intent"] in payments}  # fmt: skip
    yield from (f"a warning on one side: {one}" for one in warnings ^ {row["id"] for row in fleet.rows(_WARNINGS)})


def _payouts(fleet: Fleet) -> Iterator[str]:
    ours = {row["id"]: row for row in fleet.rows(_PAYOUTS)}
    transit = {row["id"]: row["amount"] for row in fleet.rows(_OF_EACH, IN_TRANSIT)}
    for shown in all_at_stripe(fleet, "payouts"):
        here = ours.pop(shown["id"], None)
        if here is None or (here["status"], here["amount"]) != (shown["status"], shown["amount"]):
            yield f"{shown['id']} is {shown['status']} of {shown['amount']}, here {here and dict(here)}"
        under_way = 0 if shown["status"] in PAYOUT_FINAL else shown["amount"]
        if transit.get(shown["id"], 0) != under_way:
            yield f"{shown['id']} is {shown['status']}, and {transit.get(shown['id'], 0)} of it under way on the books"
    yield from (f"no payout of Stripe's: {dict(row)}" for row in ours.values())


def _left_open(fleet: Fleet) -> Iterator[str]:
    yield from (f"a movement waits: {dict(row)}" for row in fleet.rows(_WAITING))
    yield from (f"an event waits: {dict(row)}" for row in fleet.rows(_UNHEARD))


def of_strangers(fleet: Fleet) -> set[str]:
    """What moved their money: the ids of their charges, and of what banks dispute of these."""
    strange = {one["id"] for one in all_at_stripe(fleet, "charges") if not is_ours(one)}
    return strange | {one["id"] for one in all_at_stripe(fleet, "disputes") if one["charge"] in strange}


def suspense(fleet: Fleet) -> Iterator[str]:
    """What nobody explains is the money of strangers, and of what banks took of it."""
    strange = of_strangers(fleet)
    nets: dict[str, int] = defaultdict(int)
    for movement in all_at_stripe(fleet, "balance_transactions"):
        if movement["source"] in strange:
            nets[movement["currency"]] += movement["net"]
    found = {currency: -amount for currency, amount in _sums(fleet, SUSPENSE).items() if amount}
    if found != {currency: net for currency, net in nets.items() if net}:
        yield f"in suspense {found}, and strangers' money is {dict(nets)}"


def _sums(fleet: Fleet, account: str) -> dict[str, Any]:
    return {row["currency"]: row["amount"] for row in fleet.rows(_SUMS, account)}
