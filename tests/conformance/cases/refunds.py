"""Giving back: a refund and what it leaves behind, what is refused, and that a key gives back once.

Sources: the SDK's types and their texts, Stripe's API reference and its pages on refunds and on testing, and its words
as other projects quote them.
"""

from tests.conformance.calls import (
    CaptureIntent,
    CreateIntent,
    CreateRefund,
    ListEvents,
    ListMovements,
    ListRefunds,
    RetrieveCharge,
    RetrieveIntent,
    RetrieveMovement,
    RetrieveRefund,
)
from tests.conformance.expectations import MISSING, Distinct, Filled, OneOf, Says, Starts
from tests.conformance.scenario import Case, Control, Do, Refusal, Together, create, hold, pay

# A charge is settled when its fee is known; what is refunded before that only Stripe can say.
SOLD = [
    Do("paid", pay()),
    Do("charge", RetrieveCharge("{paid.latest_charge}"), expect={"balance_transaction": Starts("txn_")}, patient=True),
]
REPLAYED = {"idempotent-replayed": "true", "original-request": "{first.request_id}"}
NOTHING_TAKEN = Refusal(
    "InvalidRequestError",
    400,
    message=Says("does not have a successful charge to refund"),
)

CASES = [
    Case("a refund gives all back", [
        *SOLD,
        Do("refund", CreateRefund({
            "payment_intent": "{paid.id}", "reason": "requested_by_customer", "metadata": {"eo_refund": "r1"},
        }), expect={
            "object": "refund", "id": Starts("re_"), "status": "succeeded", "amount": 1999, "currency": "usd",
            "payment_intent": "{paid.id}", "charge": "{charge.id}", "reason": "requested_by_customer",
            "metadata": {"eo_refund": "r1"}, "balance_transaction": Starts("txn_"), "created": Filled(),
            "failure_reason": OneOf((None, MISSING)), "failure_balance_transaction": OneOf((None, MISSING)),
            "destination_details.type": "card", "receipt_number": None,
        }),
        Do("after", RetrieveCharge("{charge.id}"), expect={
            "refunded": True, "amount_refunded": 1999, "amount_captured": 1999, "status": "succeeded", "paid": True,
            "balance_transaction": "{charge.balance_transaction}",
        }),
        Do("intent", RetrieveIntent("{paid.id}"), expect={"status": "succeeded", "amount_received": 1999}),
        Do("read", RetrieveRefund("{refund.id}"), expect={
            "id": "{refund.id}", "amount": 1999, "balance_transaction": "{refund.balance_transaction}",
            "created": "{refund.created}",
        }),
        Do("told", ListEvents({"type": "refund.created", "limit": 100}), find=("data.object.id", "{refund.id}"),
           patient=True, expect={"data.object.object": "refund", "data.object.charge": "{charge.id}"}),
        Do("told too", ListEvents({"type": "charge.refunded", "limit": 100}), find=("data.object.id", "{charge.id}"),
           patient=True, expect={"data.object.amount_refunded": 1999}),
    ]),
    Case("the balance gives back the amount and keeps the fee", [
        *SOLD,
        Do("refund", CreateRefund({
            "charge": "{charge.id}", "amount": 500, "expand": ["balance_transaction", "failure_balance_transaction"],
        }), expect={
            "balance_transaction.object": "balance_transaction", "balance_transaction.type": "refund",
            "balance_transaction.reporting_category": "refund", "balance_transaction.amount": -500,
            "balance_transaction.net": -500, "balance_transaction.fee": 0, "balance_transaction.currency": "usd",
            "balance_transaction.source": "{this.id}", "balance_transaction.exchange_rate": None,
            "failure_balance_transaction": OneOf((None, MISSING)),
        }),
        Do("movement", RetrieveMovement("{refund.balance_transaction.id}"), expect={"source": "{refund.id}"}),
        Do("movements", ListMovements({"source": "{refund.id}"}), expect={
            "data.*.id": ["{refund.balance_transaction.id}"], "data.*.type": ["refund"],
        }),
        Do("listed", ListRefunds({"charge": "{charge.id}", "expand": ["data.balance_transaction", "data.charge"]}),
           expect={
               "data.*.balance_transaction.id": ["{refund.balance_transaction.id}"],
               "data.*.charge.id": ["{charge.id}"],
           }),
    ]),
    Case("refunds may be partial until nothing is left", [
        *SOLD,
        Do("one", CreateRefund({"payment_intent": "{paid.id}", "amount": 500}), expect={"amount": 500}),
        Do("two", CreateRefund({"payment_intent": "{paid.id}", "amount": 1000}), expect={"amount": 1000}),
        Do("between", RetrieveCharge("{charge.id}"), expect={"refunded": False, "amount_refunded": 1500}),
        Do("too much", CreateRefund({"payment_intent": "{paid.id}", "amount": 500}), refused=Refusal(
            "InvalidRequestError", 400,
            message=Says("Refund amount ($5.00) is greater than unrefunded amount on charge ($4.99)"),
        )),
        Do("rest", CreateRefund({"payment_intent": "{paid.id}"}), expect={"amount": 499}),
        Do("after", RetrieveCharge("{charge.id}", {"expand": ["refunds"]}), expect={
            "refunded": True, "amount_refunded": 1999, "refunds.data.*.id": ["{rest.id}", "{two.id}", "{one.id}"],
        }),
    ]),
    Case("more than was taken is not given back", [
        *SOLD,
        Do("refused", CreateRefund({"payment_intent": "{paid.id}", "amount": 2000}), refused=Refusal(
            "InvalidRequestError", 400,
            message=Says("Refund amount ($20.00) is greater than unrefunded amount on charge ($19.99)"),
        )),
        Do("refunds", ListRefunds({"payment_intent": "{paid.id}"}), expect={"data": []}),
    ]),
    Case("what was given back is not given back again, and that is replayed", [
        *SOLD,
        Do("refund", CreateRefund({"payment_intent": "{paid.id}"})),
        Do("first", CreateRefund({"payment_intent": "{paid.id}"}), key="{run}", refused=Refusal(
            "InvalidRequestError", 400, code="charge_already_refunded", message=Says("has already been refunded."),
        )),
        Do("again", CreateRefund({"payment_intent": "{paid.id}"}), key="{run}", headers=REPLAYED, refused=Refusal(
            "InvalidRequestError", 400, code="charge_already_refunded",
        )),
        Do("refunds", ListRefunds({"payment_intent": "{paid.id}"}), expect={"data.*.id": ["{refund.id}"]}),
    ]),
    Case("only what was captured is given back", [
        Do("held", hold()),
        Do("early", CreateRefund({"payment_intent": "{held.id}"}), refused=NOTHING_TAKEN),
        Do("taken", CaptureIntent("{held.id}", {"amount_to_capture": 1500})),
        Do("charge", RetrieveCharge("{held.latest_charge.id}"), patient=True, expect={
            "balance_transaction": Starts("txn_"),
        }),
        Do("refused", CreateRefund({"payment_intent": "{held.id}", "amount": 1501}), refused=Refusal(
            "InvalidRequestError", 400,
        )),
        Do("refund", CreateRefund({"payment_intent": "{held.id}"}), expect={"amount": 1500}),
        Do("after", RetrieveCharge("{charge.id}"), expect={"refunded": True, "amount_refunded": 1500}),
    ]),
    Case("what was not taken is not given back", [
        Do("made", create()),
        Do("refused", CreateRefund({"payment_intent": "{made.id}"}), refused=NOTHING_TAKEN),
    ]),
    Case("the same key twice gives back once", [
        *SOLD,
        Do("first", CreateRefund({"payment_intent": "{paid.id}", "amount": 500}), key="{run}", headers={
            "idempotency-key": "{run}", "original-request": "{this.request_id}", "stripe-should-retry": "false",
            "idempotent-replayed": MISSING,
        }),
        Do("again", CreateRefund({"payment_intent": "{paid.id}", "amount": 500}), key="{run}", headers=REPLAYED,
           expect={
               "id": "{first.id}", "amount": 500, "status": "{first.status}", "created": "{first.created}",
               "balance_transaction": "{first.balance_transaction}",
           }),
        Do("other", CreateRefund({"payment_intent": "{paid.id}", "amount": 501}), key="{run}", refused=Refusal(
            "IdempotencyError", 400, message=Says("can only be used with the same parameters"),
        ), expect={"type": "idempotency_error"}),
        Do("elsewhere", pay(), key="{run}", refused=Refusal("IdempotencyError", 400)),
        Do("refunds", ListRefunds({"payment_intent": "{paid.id}"}), expect={"data.*.id": ["{first.id}"]}),
        Do("after", RetrieveCharge("{charge.id}"), expect={"amount_refunded": 500}),
    ]),
    Case("a key of a refund in flight is refused with 409, and gives back once", [
        *SOLD,
        Control("latency", {"p50_ms": 2000}, only_helps=True),
        Together("at_once", CreateRefund({"payment_intent": "{paid.id}", "amount": 500}), key="{run}", expect={
            "http": [200, 409], "id": Distinct(1), "kind": ["APIError"], "code": ["idempotency_key_in_use"],
            "should_retry": ["true"],
        }),
        Control("latency", {"p50_ms": 0}, only_helps=True),
        Do("after", RetrieveCharge("{charge.id}"), expect={"amount_refunded": 500}),
    ]),
    Case("a lost answer to a refund is had by asking again, and gives back once", [
        *SOLD,
        Control("faults", {"rules": [{"fault": "executed_reply_lost", "path": "/refunds$", "times": 1}]}),
        # Node's SDK asks again by itself when a kept connection breaks; the others raise.
        Do("lost", CreateRefund({"payment_intent": "{paid.id}", "amount": 500}), key="{run}", noted=True),
        Do("again", CreateRefund({"payment_intent": "{paid.id}", "amount": 500}), key="{run}", headers={
            "idempotent-replayed": "true",
        }, expect={"status": "succeeded"}),
        Do("refunds", ListRefunds({"payment_intent": "{paid.id}"}), expect={"data.*.id": ["{again.id}"]}),
    ]),
    Case("a refund may pend and succeed later", [
        Do("paid", pay("pm_card_pendingRefund")),
        Do("refund", CreateRefund({"payment_intent": "{paid.id}"}), expect={
            "status": "pending", "amount": 1999, "failure_reason": OneOf((None, MISSING)),
        }),
        Do("listed", ListRefunds({"payment_intent": "{paid.id}"}), expect={"data.*.id": ["{refund.id}"]}),
        Control("refunds/flush", {}),
        Do("read", RetrieveRefund("{refund.id}", {"expand": ["balance_transaction"]}), expect={
            "status": "succeeded", "pending_reason": OneOf((None, MISSING)), "balance_transaction.amount": -1999,
        }),
        Do("told", ListEvents({"type": "refund.updated", "limit": 100}), find=("data.object.id", "{refund.id}"),
           expect={"data.object.status": "succeeded", "data.previous_attributes.status": "pending"}),
    ]),
    Case("a refund may fail after it succeeded", [
        Do("paid", pay("pm_card_refundFail")),
        Do("refund", CreateRefund({"payment_intent": "{paid.id}"}), expect={"status": "succeeded"}),
        Control("refunds/flush", {}),
        Do("failed", RetrieveRefund("{refund.id}", {
            "expand": ["balance_transaction", "failure_balance_transaction"],
        }), expect={
            "status": "failed", "failure_reason": Filled(), "balance_transaction.amount": -1999,
            "failure_balance_transaction.type": "refund_failure", "failure_balance_transaction.amount": 1999,
            "failure_balance_transaction.source": "{refund.id}",
            "failure_balance_transaction.reporting_category": "refund_failure",
        }),
        Do("movements", ListMovements({"source": "{refund.id}"}), expect={
            "data.*.type": ["refund_failure", "refund"], "data.*.net": [1999, -1999],
        }),
        Do("told", ListEvents({"type": "refund.failed", "limit": 100}), find=("data.object.id", "{refund.id}"),
           expect={"data.object.status": "failed"}),
    ]),
    Case("a refund waits for the balance", [
        *SOLD,
        Control("balance", {"currency": "usd", "available": 1000}),
        Do("refund", CreateRefund({"payment_intent": "{paid.id}"}), expect={
            "status": "pending", "pending_reason": "insufficient_funds", "balance_transaction": None,
        }),
        Control("balance", {"currency": "usd", "available": None}),
        Do("read", RetrieveRefund("{refund.id}"), expect={
            "status": "succeeded", "balance_transaction": Starts("txn_"), "pending_reason": OneOf((None, MISSING)),
        }),
    ]),
    Case("a charge that its owner disputes is not refunded", [
        Do("paid", pay("pm_card_createDispute")),
        Control("disputes/flush", {}, only_helps=True),
        Do("charge", RetrieveCharge("{paid.latest_charge}"), expect={"disputed": True}, patient=True),
        Do("refused", CreateRefund({"payment_intent": "{paid.id}"}), refused=Refusal(
            "InvalidRequestError", 400, code="charge_disputed", message=Says("has been charged back"),
        )),
        Do("refunds", ListRefunds({"payment_intent": "{paid.id}"}), expect={"data": []}),
    ]),
    Case("a key without the permission to refund gives nothing back", [
        *SOLD,
        Control("faults", {"rules": [
            {"fault": "forbidden_403", "method": "POST", "path": "/refunds$", "permission": "rak_charge_write"},
        ]}),
        Do("refused", CreateRefund({"payment_intent": "{paid.id}"}), refused=Refusal(
            "PermissionError", 403, message=Says("'rak_charge_write'"),
        )),
        Do("refunds", ListRefunds({"payment_intent": "{paid.id}"}), expect={"data": []}),
    ]),
    Case("what only Stripe can say about refunds", [
        Do("paid", pay("pm_card_pendingRefund")),
        Do("at once", CreateRefund({"payment_intent": "{paid.id}", "amount": 1}), noted=True),
        Do("nothing named", CreateRefund({}), noted=True),
        Do("no such charge", CreateRefund({"charge": "ch_nobody"}), noted=True),
        Do("no such payment", CreateRefund({"payment_intent": "pi_nobody"}), noted=True),
        Do("listed of nobody", ListRefunds({"payment_intent": "pi_nobody"}), noted=True),
        Do("two", CreateIntent(pay().params)),
        Do("two names", CreateRefund({"payment_intent": "{paid.id}", "charge": "{two.latest_charge}"}), noted=True),
    ]),
]  # fmt: skip
