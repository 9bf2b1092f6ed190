"""Refunds afterwards: found in lists, changed, canceled, and what is refused about them.

Sources: the SDK's types and their texts, Stripe's API reference on refunds.
"""

from tests.conformance.calls import (
    AutoPage,
    CancelRefund,
    CreateRefund,
    ListEvents,
    ListRefunds,
    RetrieveCharge,
    RetrieveRefund,
    UpdateRefund,
)
from tests.conformance.cases.refunds import SOLD
from tests.conformance.expectations import Filled, OneOf, Says
from tests.conformance.scenario import Case, Do, Refusal, ill_typed, number, pay

PARTS = [Do(name, CreateRefund({"payment_intent": "{paid.id}", "amount": 100})) for name in ("a", "b", "c", "d")]

CASES = [
    Case("refunds are found by their payment and by their charge", [
        *SOLD,
        Do("mine", CreateRefund({"payment_intent": "{paid.id}", "amount": 100})),
        Do("another", pay()),
        Do("theirs", CreateRefund({"payment_intent": "{another.id}"})),
        Do("by payment", ListRefunds({"payment_intent": "{paid.id}"}), expect={
            "object": "list", "url": "/v1/refunds", "has_more": False, "data.*.id": ["{mine.id}"],
        }),
        Do("by charge", ListRefunds({"charge": "{another.latest_charge}"}), expect={"data.*.id": ["{theirs.id}"]}),
        Do("by both", ListRefunds({"charge": "{charge.id}", "payment_intent": "{another.id}"}), expect={"data": []}),
        Do("all", ListRefunds({"limit": 2}), expect={"data.*.id": ["{theirs.id}", "{mine.id}"]}),
        Do("nobody's", ListRefunds({"charge": "ch_nobody"}), refused=Refusal(
            "InvalidRequestError", OneOf((400, 404)), code="resource_missing",
        )),
    ]),
    Case("refunds are newest first, and pages join in both directions", [
        *SOLD,
        *PARTS,
        Do("one", ListRefunds({"limit": 2}), expect={"data.*.id": ["{d.id}", "{c.id}"], "has_more": True}),
        Do("two", ListRefunds({"payment_intent": "{paid.id}", "limit": 2, "starting_after": "{c.id}"}), expect={
            "data.*.id": ["{b.id}", "{a.id}"], "has_more": False,
        }),
        Do("back", ListRefunds({"payment_intent": "{paid.id}", "limit": 1, "ending_before": "{b.id}"}), expect={
            "data.*.id": ["{c.id}"], "has_more": True,
        }),
        Do("all", AutoPage(ListRefunds({"payment_intent": "{paid.id}", "limit": 1})), expect={
            "data.*.id": ["{d.id}", "{c.id}", "{b.id}", "{a.id}"],
        }),
    ]),
    Case("a window of created holds the refunds that lie in it", [
        *SOLD,
        Do("refund", CreateRefund({"payment_intent": "{paid.id}"})),
        Do("inside", ListRefunds({
            "payment_intent": "{paid.id}", "created": {"gte": number("{refund.created}")},
        }), expect={"data.*.id": ["{refund.id}"]}),
        Do("exactly", ListRefunds({"payment_intent": "{paid.id}", "created": number("{refund.created}")}), expect={
            "data.*.id": ["{refund.id}"],
        }),
        Do("before", ListRefunds({
            "payment_intent": "{paid.id}", "created": {"lt": number("{refund.created}")},
        }), expect={"data": []}),
        Do("after", ListRefunds({
            "payment_intent": "{paid.id}", "created": {"gt": number("{refund.created}")},
        }), expect={"data": []}),
    ]),
    Case("metadata is all that can be changed of a refund", [
        *SOLD,
        Do("refund", CreateRefund({"payment_intent": "{paid.id}", "metadata": {"a": "1", "b": "2"}})),
        Do("changed", UpdateRefund("{refund.id}", {"metadata": {"a": "", "c": "3"}}), expect={
            "id": "{refund.id}", "metadata": {"b": "2", "c": "3"}, "amount": 1999,
        }),
        Do("refused", UpdateRefund("{refund.id}", ill_typed({"amount": 1})), refused=Refusal(
            "InvalidRequestError", 400, code="parameter_unknown", param="amount",
        )),
        Do("read", RetrieveRefund("{refund.id}"), expect={"metadata": {"b": "2", "c": "3"}, "amount": 1999}),
        Do("told", ListEvents({"type": "refund.updated", "limit": 100}), find=("data.object.id", "{refund.id}"),
           patient=True, expect={"data.previous_attributes.metadata": Filled()}),
    ]),
    Case("a refund that is done cannot be canceled", [
        *SOLD,
        Do("refund", CreateRefund({"payment_intent": "{paid.id}"}), expect={"status": "succeeded"}),
        Do("refused", CancelRefund("{refund.id}"), refused=Refusal("InvalidRequestError", 400)),
        Do("read", RetrieveRefund("{refund.id}"), expect={"status": "succeeded"}),
        Do("after", RetrieveCharge("{charge.id}"), expect={"refunded": True}),
    ]),
    Case("a refund that waits for the customer can be canceled", [
        Do("paid", pay("pm_sandbox_refundAsks")),
        Do("refund", CreateRefund({"payment_intent": "{paid.id}", "amount": 500}), expect={
            "status": "requires_action", "next_action.type": Filled(), "balance_transaction": None,
        }),
        Do("canceled", CancelRefund("{refund.id}"), key="{run}", expect={"status": "canceled", "amount": 500}),
        Do("replayed", CancelRefund("{refund.id}"), key="{run}", expect={"status": "canceled"}, headers={
            "idempotent-replayed": "true", "original-request": "{canceled.request_id}",
        }),
        Do("again", CancelRefund("{refund.id}"), refused=Refusal(
            "InvalidRequestError", 400, message=Says("it has a status of canceled"),
        )),
        Do("after", RetrieveCharge("{paid.latest_charge}"), expect={"amount_refunded": 0}),
    ], stripe_lacks="a card whose refund waits for the customer"),
    *[
        Case(f"wrong on refund: {name}", [
            Do("paid", pay()),
            Do("refused", CreateRefund(ill_typed({"payment_intent": "{paid.id}", **params})), refused=Refusal(
                "InvalidRequestError", 400, param=param,
            )),
            Do("refunds", ListRefunds({"payment_intent": "{paid.id}"}), expect={"data": []}),
        ])
        for name, params, param in (
            ("amount 0", {"amount": 0}, "amount"),
            ("amount negative", {"amount": -1}, "amount"),
            ("amount broken", {"amount": "1.5"}, "amount"),
            ("reason", {"reason": "bored"}, "reason"),
            ("unknown parameter", {"colour": "red"}, "colour"),
            ("metadata name", {"metadata": {"k" * 41: "v"}}, None),
        )
    ],
    Case("a refund that nobody has is 404", [
        Do("read", RetrieveRefund("re_nobody"), refused=Refusal("InvalidRequestError", 404, code="resource_missing")),
        Do("changed", UpdateRefund("re_nobody", {"metadata": {"a": "b"}}), refused=Refusal(
            "InvalidRequestError", 404, code="resource_missing",
        )),
        Do("canceled", CancelRefund("re_nobody"), refused=Refusal(
            "InvalidRequestError", 404, code="resource_missing",
        )),
    ]),
    Case("what only Stripe can say about a refund afterwards", [
        *SOLD,
        Do("refund", CreateRefund({"payment_intent": "{paid.id}"})),
        Do("cancel of a refund that is done", CancelRefund("{refund.id}"), noted=True),
    ]),
]  # fmt: skip
