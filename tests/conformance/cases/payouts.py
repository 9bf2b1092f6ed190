"""Money on its way to the bank: asked for by hand, canceled, refused, and what the day's payout is made of.

Sources: the SDK's types and their texts, lists of balance transactions that others recorded, and two sentences that
many public repositories quote. At Stripe the account must have a bank account.
"""

from tests.conformance.calls import (
    CancelPayout,
    CreatePayout,
    ListEvents,
    ListMovements,
    ListPayouts,
    RetrieveMovement,
    RetrievePayout,
    UpdatePayout,
)
from tests.conformance.expectations import Filled, Says, Starts, Whole
from tests.conformance.scenario import Case, Control, Do, Refusal, number, pay

# What earlier cases left of the balance, above or below zero, goes first.
FUNDED: list[Do | Control] = [
    Control("payouts", {}, only_helps=True),
    Do("paid", pay("pm_card_bypassPending")),
    Control("fees/flush", {}, only_helps=True),
]
BY_HAND: list[Do | Control] = [
    *FUNDED,
    Do("payout", CreatePayout({"amount": 500, "currency": "usd"}), expect={"status": "pending"}),
]
MANUAL = "Balance transaction history can only be filtered on automatic transfers, not manual"
DAYS: list[Do | Control] = [
    *FUNDED,
    Control("payouts", {}),
    Do("newest", ListPayouts({"limit": 1}), expect={"data.0.automatic": True, "url": "/v1/payouts"}),
    Do("payout", RetrievePayout("{newest.data.0.id}"), expect={
        "amount": 1911, "status": "pending", "reconciliation_status": "in_progress", "description": "STRIPE PAYOUT",
        "trace_id": {"status": "pending", "value": None}, "failure_balance_transaction": None,
    }),
]  # fmt: skip


def told(kind: str) -> Do:
    """The event of this type that tells of the payout."""
    listing = ListEvents({"type": f"payout.{kind}", "limit": 100})
    seen = {"data.object.object": "payout"}
    return Do(f"told {kind}", listing, find=("data.object.id", "{payout.id}"), patient=True, expect=seen)


CASES = [
    Case("a payout by hand takes its amount from the balance", [
        *FUNDED,
        Do("payout", CreatePayout({
            "amount": 500, "currency": "usd", "description": "rent", "metadata": {"k": "v"},
            "expand": ["balance_transaction"],
        }), key="{run}", expect={
            "id": Starts("po_"), "object": "payout", "amount": 500, "currency": "usd", "automatic": False,
            "description": "rent", "metadata": {"k": "v"}, "status": "pending", "method": "standard",
            "type": "bank_account", "source_type": "card", "reconciliation_status": "not_applicable",
            "destination": Filled(), "arrival_date": Whole(1), "livemode": False, "failure_code": None,
            "failure_message": None, "original_payout": None, "reversed_by": None, "trace_id.status": "pending",
            "balance_transaction.type": "payout", "balance_transaction.reporting_category": "payout",
            "balance_transaction.amount": -500, "balance_transaction.net": -500, "balance_transaction.fee": 0,
            "balance_transaction.source": "{this.id}",
        }),
        Do("again", CreatePayout({
            "amount": 500, "currency": "usd", "description": "rent", "metadata": {"k": "v"},
            "expand": ["balance_transaction"],
        }), key="{run}", expect={"id": "{payout.id}"}),
        Do("updated", UpdatePayout("{payout.id}", {"metadata": {"k": "", "l": "w"}}), expect={"metadata": {"l": "w"}}),
        Do("listed", ListPayouts({"limit": 100, "created": {"gte": number("{payout.created}")}}),
           find=("id", "{payout.id}"), expect={"amount": 500, "metadata": {"l": "w"}}),
        Do("itemized", ListMovements({"payout": "{payout.id}"}), refused=Refusal(
            "InvalidRequestError", 400, message=Says(MANUAL),
        )),
        told("created"),
        told("updated"),
    ]),
    Case("a payout that is canceled gives the money back", [
        *BY_HAND,
        Do("canceled", CancelPayout("{payout.id}"), expect={
            "id": "{payout.id}", "status": "canceled", "failure_balance_transaction": Starts("txn_"),
        }),
        Do("back", RetrieveMovement("{canceled.failure_balance_transaction}"), expect={
            "type": "payout_cancel", "reporting_category": "payout_reversal", "net": 500, "source": "{payout.id}",
        }),
        Do("again", CancelPayout("{payout.id}"), refused=Refusal(
            "InvalidRequestError", 400, message=Says("can only be canceled while they are pending"),
        )),
        told("canceled"),
    ]),
    Case("no more is paid out than is available", [
        *FUNDED,
        Do("too much", CreatePayout({"amount": 99_999_999, "currency": "usd"}), refused=Refusal(
            "InvalidRequestError", 400, code="balance_insufficient", message=Says("You have insufficient funds"),
        )),
        Do("nothing", CreatePayout({"amount": 0, "currency": "usd"}), refused=Refusal(
            "InvalidRequestError", 400, param="amount",
        )),
    ]),
    Case("a payout that nobody made is not found", [
        Do("read", RetrievePayout("po_nobody"), refused=Refusal(
            "InvalidRequestError", 404, code="resource_missing", message=Says("No such payout"),
        )),
        Do("canceled", CancelPayout("po_nobody"), refused=Refusal("InvalidRequestError", 404)),
    ]),
    Case("the day's payout lists what it took once it is reconciled", [
        *DAYS,
        Do("not yet", ListMovements({"payout": "{payout.id}"}), expect={"data": [], "has_more": False}),
        Control("payouts/{payout.id}/reconcile", {}),
        Do("inside", ListMovements({"payout": "{payout.id}", "limit": 100}), expect={
            "data.*.type": ["payout", "charge"], "data.*.net": [-1911, 1911], "data.0.source": "{payout.id}",
            "data.1.source": "{paid.latest_charge}", "data.0.id": "{payout.balance_transaction}",
        }),
        Do("reconciled", RetrievePayout("{payout.id}"), expect={"reconciliation_status": "completed"}),
        told("reconciliation_completed"),
    ]),
    Case("a payout may fail after it was paid", [
        *DAYS,
        Control("payouts/{payout.id}/end", {"status": "in_transit"}),
        Control("payouts/{payout.id}/end", {"status": "paid"}),
        Do("paid out", RetrievePayout("{payout.id}"), expect={
            "status": "paid", "trace_id.status": "supported", "trace_id.value": Filled(),
        }),
        Do("by status", ListPayouts({"status": "paid", "limit": 1}), expect={"data.0.id": "{payout.id}"}),
        Control("payouts/{payout.id}/end", {"status": "failed", "failure_code": "account_closed"}),
        Do("failed", RetrievePayout("{payout.id}", {"expand": ["failure_balance_transaction"]}), expect={
            "status": "failed", "failure_code": "account_closed", "failure_message": Filled(),
            "failure_balance_transaction.type": "payout_failure", "failure_balance_transaction.net": 1911,
            "failure_balance_transaction.reporting_category": "payout_reversal",
        }),
        told("paid"),
        told("failed"),
    ]),
]  # fmt: skip
