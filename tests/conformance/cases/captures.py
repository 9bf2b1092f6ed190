"""Capturing later: money is held, then taken wholly or in part, or let go.

Sources: the SDK's types and their texts, Stripe's page on capturing later, and the page of its support about what
partial captures and cancellations leave behind since 2025-03-31.
"""

from tests.conformance.calls import (
    CancelIntent,
    CaptureIntent,
    ConfirmIntent,
    CreateIntent,
    ListEvents,
    ListMovements,
    ListRefunds,
    RetrieveCharge,
    RetrieveIntent,
)
from tests.conformance.expectations import MISSING, Filled, Says, Starts, Whole
from tests.conformance.scenario import Case, Control, Do, Refusal, create, hold, ill_typed

DAY_S = 24 * 3600
UNEXPECTED_STATE = "payment_intent_unexpected_state"
NOT_HELD = Refusal("InvalidRequestError", 400, code=UNEXPECTED_STATE, message=Says("could not be captured because"))
LET_GO = {"captured": False, "refunded": False, "amount_captured": 0, "amount_refunded": 0}

CASES = [
    Case("what is held is not taken", [
        Do("held", hold(), expect={
            "status": "requires_capture", "capture_method": "manual", "amount": 1999, "amount_capturable": 1999,
            "amount_received": 0, "canceled_at": None, "latest_charge.status": "succeeded", "latest_charge.paid": True,
            "latest_charge.captured": False, "latest_charge.amount_captured": 0, "latest_charge.refunded": False,
            "latest_charge.balance_transaction": None,
            "latest_charge.payment_method_details.card.capture_before": Whole(1),
        }),
        Do("movements", ListMovements({"source": "{held.latest_charge.id}"}), expect={"data": []}),
        Do("told", ListEvents({"type": "payment_intent.amount_capturable_updated", "limit": 100}), patient=True,
           find=("data.object.id", "{held.id}"), expect={"data.object.status": "requires_capture"}),
    ]),
    Case("a capture takes all that is held", [
        Do("held", hold()),
        Do("taken", CaptureIntent("{held.id}", {"expand": ["latest_charge"]}), expect={
            "id": "{held.id}", "object": "payment_intent", "status": "succeeded", "amount_received": 1999,
            "amount_capturable": 0, "latest_charge.id": "{held.latest_charge.id}", "latest_charge.captured": True,
            "latest_charge.amount_captured": 1999, "latest_charge.amount_refunded": 0,
        }),
        Do("charge", RetrieveCharge("{held.latest_charge.id}", {"expand": ["balance_transaction"]}), patient=True,
           expect={
               "balance_transaction.amount": 1999, "balance_transaction.type": "charge",
               "balance_transaction.source": "{held.latest_charge.id}",
           }),
        Do("told", ListEvents({"type": "charge.captured", "limit": 100}), patient=True,
           find=("data.object.id", "{held.latest_charge.id}"), expect={"data.object.captured": True}),
    ]),
    Case("a partial capture releases the rest, which is no refund", [
        Do("held", hold()),
        Do("taken", CaptureIntent("{held.id}", {"amount_to_capture": 1500, "expand": ["latest_charge"]}), expect={
            "status": "succeeded", "amount": 1999, "amount_received": 1500, "amount_capturable": 0,
            "latest_charge.amount": 1999, "latest_charge.amount_captured": 1500, "latest_charge.captured": True,
            "latest_charge.amount_refunded": 0, "latest_charge.refunded": False,
        }),
        Do("charge", RetrieveCharge("{held.latest_charge.id}", {"expand": ["balance_transaction"]}), patient=True,
           expect={"balance_transaction.amount": 1500}),
        Do("movements", ListMovements({"source": "{held.latest_charge.id}"}), expect={"data.*.type": ["charge"]}),
        Do("refunds", ListRefunds({"payment_intent": "{held.id}"}), expect={"data": []}),
    ]),
    Case("a second capture takes nothing, and its refusal is replayed", [
        Do("held", hold()),
        Do("taken", CaptureIntent("{held.id}", {"amount_to_capture": 1500})),
        Do("first", CaptureIntent("{held.id}", {"amount_to_capture": 499}), key="{run}", refused=Refusal(
            "InvalidRequestError", 400, code=UNEXPECTED_STATE, message=Says("has already been captured"),
        ), expect={"payment_intent.id": "{held.id}", "payment_intent.status": "succeeded"}),
        Do("again", CaptureIntent("{held.id}", {"amount_to_capture": 499}), key="{run}", headers={
            "idempotent-replayed": "true", "original-request": "{first.request_id}",
        }, refused=Refusal("InvalidRequestError", 400, code=UNEXPECTED_STATE)),
        Do("read", RetrieveIntent("{held.id}"), expect={"amount_received": 1500, "amount_capturable": 0}),
    ]),
    Case("the same key twice captures once", [
        Do("held", hold()),
        Do("first", CaptureIntent("{held.id}", {"amount_to_capture": 1500}), key="{run}", expect={
            "status": "succeeded",
        }, headers={"idempotency-key": "{run}", "idempotent-replayed": MISSING}),
        Do("again", CaptureIntent("{held.id}", {"amount_to_capture": 1500}), key="{run}", headers={
            "idempotent-replayed": "true", "original-request": "{first.request_id}",
        }, expect={"id": "{held.id}", "amount_received": 1500}),
        Do("other", CaptureIntent("{held.id}", {"amount_to_capture": 1999}), key="{run}", refused=Refusal(
            "IdempotencyError", 400,
        )),
    ]),
    Case("no more than is held can be captured", [
        Do("held", hold()),
        Do("refused", CaptureIntent("{held.id}", {"amount_to_capture": 2000}), refused=Refusal(
            "InvalidRequestError", 400,
        )),
        Do("read", RetrieveIntent("{held.id}"), expect={"status": "requires_capture", "amount_capturable": 1999}),
        Do("taken", CaptureIntent("{held.id}", {"amount_to_capture": 1999}), expect={"amount_received": 1999}),
    ]),
    Case("what is not held cannot be captured", [
        Do("made", create()),
        Do("early", CaptureIntent("{made.id}"), refused=NOT_HELD, expect={
            "payment_intent.status": "requires_payment_method",
        }),
        Do("canceled", CancelIntent("{made.id}")),
        Do("late", CaptureIntent("{made.id}"), refused=NOT_HELD, expect={"payment_intent.status": "canceled"}),
        Do("nobody", CaptureIntent("pi_nobody"), refused=Refusal("InvalidRequestError", 404, code="resource_missing")),
    ]),
    Case("a cancel lets the card go, for good", [
        Do("held", hold()),
        Do("canceled", CancelIntent("{held.id}", {
            "cancellation_reason": "requested_by_customer", "expand": ["latest_charge"],
        }), expect={
            "status": "canceled", "cancellation_reason": "requested_by_customer", "canceled_at": Whole(1),
            "amount_capturable": 0, "amount_received": 0,
            **{f"latest_charge.{name}": value for name, value in LET_GO.items()},
        }),
        Do("late", CaptureIntent("{held.id}"), refused=NOT_HELD, expect={"payment_intent.status": "canceled"}),
        Do("refunds", ListRefunds({"payment_intent": "{held.id}"}), expect={"data": []}),
        Do("movements", ListMovements({"source": "{held.latest_charge.id}"}), expect={"data": []}),
    ]),
    Case("what was captured cannot be canceled", [
        Do("held", hold()),
        Do("taken", CaptureIntent("{held.id}")),
        Do("late", CancelIntent("{held.id}"), refused=Refusal("InvalidRequestError", 400, code=UNEXPECTED_STATE)),
        Do("read", RetrieveIntent("{held.id}"), expect={"status": "succeeded", "amount_received": 1999}),
    ]),
    Case("a held payment ends by itself after seven days", [
        Do("held", hold()),
        Control("clock", {"advance_s": 7 * DAY_S + 60}),
        Do("expired", RetrieveIntent("{held.id}", {"expand": ["latest_charge"]}), expect={
            "status": "canceled", "cancellation_reason": "expired", "canceled_at": Whole(1), "amount_capturable": 0,
            **{f"latest_charge.{name}": value for name, value in LET_GO.items()},
        }),
        Do("late", CaptureIntent("{held.id}"), refused=NOT_HELD),
        Do("told", ListEvents({"type": "charge.expired", "limit": 100}),
           find=("data.object.id", "{held.latest_charge.id}"), expect={"data.object.captured": False}),
    ]),
    Case("a confirm may ask to hold", [
        Do("made", CreateIntent({**create().params, "payment_method": "pm_card_visa"})),
        Do("held", ConfirmIntent("{made.id}", {"capture_method": "manual"}), expect={
            "status": "requires_capture", "capture_method": "manual", "latest_charge": Starts("ch_"),
        }),
    ]),
    Case("what the bank asks for first is held then", [
        Do("asked", hold("pm_card_authenticationRequired"), expect={"status": "requires_action"}),
        Control("payment_intents/{asked.id}/complete_action", {"succeed": True}),
        Do("read", RetrieveIntent("{asked.id}"), expect={"status": "requires_capture", "amount_capturable": 1999}),
    ]),
    Case("a capture changes what it names", [
        Do("held", CreateIntent({**hold().params, "metadata": {"a": "1", "b": "2"}})),
        Do("taken", CaptureIntent("{held.id}", {
            "statement_descriptor_suffix": "ORDER 17", "metadata": {"a": "", "c": "3"}, "expand": ["latest_charge"],
        }), expect={
            "metadata": {"b": "2", "c": "3"}, "statement_descriptor_suffix": "ORDER 17",
            "latest_charge.calculated_statement_descriptor": Filled(),
        }),
    ]),
    *[
        Case(f"wrong on capture: {name}", [
            Do("held", hold()),
            Do("refused", CaptureIntent("{held.id}", ill_typed(params)), refused=Refusal(
                "InvalidRequestError", 400, param=param,
            )),
            Do("read", RetrieveIntent("{held.id}"), expect={"status": "requires_capture"}),
        ])
        for name, params, param in (
            ("amount 0", {"amount_to_capture": 0}, "amount_to_capture"),
            ("amount broken", {"amount_to_capture": "1.5"}, "amount_to_capture"),
            ("unknown parameter", {"colour": "red"}, "colour"),
        )
    ],
    Case("what only Stripe can say about captures", [
        Do("held", hold()),
        Do("more than is held", CaptureIntent("{held.id}", {"amount_to_capture": 2000}), noted=True),
        Do("not the last one", CaptureIntent("{held.id}", {"amount_to_capture": 100, "final_capture": False}),
           noted=True),
    ]),
]  # fmt: skip
