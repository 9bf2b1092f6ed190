"""Idempotency keys, to the letter: what is replayed, what is refused, what is not remembered.

Sources: Stripe's API reference on idempotent requests, its page on low-level errors, recorded response headers.
"""

from tests.conformance.calls import CancelIntent, ConfirmIntent, CreateIntent, ListCharges, ListIntents, RetrieveIntent
from tests.conformance.expectations import MISSING, Distinct, Other, Says
from tests.conformance.scenario import Case, Control, Do, Refusal, Together, create, ill_typed, pay

DAY_S = 24 * 3600
REPLAYED = {"idempotent-replayed": "true", "original-request": "{first.request_id}"}
OTHER_PARAMETERS = Refusal(
    "IdempotencyError", 400, message=Says("can only be used with the same parameters they were first used with")
)

CASES = [
    Case("the same key and parameters replay the saved answer", [
        Do("first", pay(), key="{run}", headers={
            "idempotency-key": "{run}", "original-request": "{this.request_id}",
            "stripe-should-retry": "false", "idempotent-replayed": MISSING,
        }),
        Do("again", pay(), key="{run}", headers=REPLAYED, expect={
            "id": "{first.id}", "latest_charge": "{first.latest_charge}", "client_secret": "{first.client_secret}",
            "payment_method": "{first.payment_method}", "created": "{first.created}",
        }),
        Do("charges", ListCharges({"payment_intent": "{first.id}"}), expect={"data.*.id": ["{first.latest_charge}"]}),
    ]),
    Case("the order of parameters does not matter", [
        Do("first", CreateIntent({**create().params, "metadata": {"a": "1", "b": "2"}}), key="{run}"),
        Do("again", CreateIntent({"metadata": {"b": "2", "a": "1"}, **create().params}), key="{run}", headers=REPLAYED,
           expect={"id": "{first.id}"}),
    ]),
    Case("a replay repeats the first answer, not the present", [
        Do("first", create(), key="{run}"),
        Do("canceled", CancelIntent("{first.id}"), expect={"status": "canceled"}),
        Do("again", create(), key="{run}", expect={"id": "{first.id}", "status": "requires_payment_method"}),
        Do("read", RetrieveIntent("{first.id}"), expect={"status": "canceled"}),
    ]),
    Case("the same key with other parameters is refused and does nothing", [
        Do("first", pay(), key="{run}"),
        Do("dearer", CreateIntent({**pay().params, "amount": 2000}), key="{run}", refused=OTHER_PARAMETERS,
           expect={"type": "idempotency_error"}),
        Do("more", CreateIntent({**pay().params, "metadata": {"k": "v"}}), key="{run}", refused=OTHER_PARAMETERS),
        Do("again", pay(), key="{run}", headers=REPLAYED, expect={"id": "{first.id}", "amount": 1999}),
    ]),
    Case("a key belongs to one endpoint", [
        Do("one", create(), key="{run}"),
        Do("two", create()),
        Do("refused", CancelIntent("{two.id}"), key="{run}", refused=Refusal("IdempotencyError", 400)),
        Do("read", RetrieveIntent("{two.id}"), expect={"status": "requires_payment_method"}),
    ]),
    Case("a key belongs to one object", [
        Do("one", create()),
        Do("two", create()),
        Do("canceled", CancelIntent("{one.id}"), key="{run}"),
        Do("refused", CancelIntent("{two.id}"), key="{run}", refused=Refusal("IdempotencyError", 400)),
        Do("read", RetrieveIntent("{two.id}"), expect={"status": "requires_payment_method"}),
    ]),
    Case("a confirmation is replayed under its key", [
        Do("made", create()),
        Do("first", ConfirmIntent("{made.id}", {"payment_method": "pm_card_visa"}), key="{run}"),
        Do("again", ConfirmIntent("{made.id}", {"payment_method": "pm_card_visa"}), key="{run}", headers=REPLAYED,
           expect={"latest_charge": "{first.latest_charge}"}),
    ]),
    Case("a decline is replayed as well", [
        Do("first", pay("pm_card_visa_chargeDeclined"), key="{run}", refused=Refusal("CardError", 402), headers={
            "stripe-should-retry": "false", "original-request": "{this.request_id}", "idempotent-replayed": MISSING,
        }),
        Do("again", pay("pm_card_visa_chargeDeclined"), key="{run}", headers=REPLAYED, refused=Refusal(
            "CardError", 402, code="card_declined",
        ), expect={"payment_intent.id": "{first.payment_intent.id}", "charge": "{first.charge}"}),
    ]),
    Case("a refusal by state is replayed although the state has changed", [
        Do("made", create()),
        Do("first", ConfirmIntent("{made.id}"), key="{run}", refused=Refusal("InvalidRequestError", 400)),
        Do("paid", ConfirmIntent("{made.id}", {"payment_method": "pm_card_visa"}), expect={"status": "succeeded"}),
        Do("again", ConfirmIntent("{made.id}"), key="{run}", headers=REPLAYED, refused=Refusal(
            "InvalidRequestError", 400, message="{first.message}",
        )),
    ]),
    Case("a validation error is not remembered", [
        Do("wrong", CreateIntent({**pay().params, "amount": 1}), key="{run}", refused=Refusal(
            "InvalidRequestError", 400, code="amount_too_small",
        )),
        Do("right", pay(), key="{run}", expect={"status": "succeeded"}, headers={"idempotent-replayed": MISSING}),
    ]),
    Case("an unknown parameter is not remembered", [
        Do("wrong", CreateIntent(ill_typed({**pay().params, "colour": "red"})), key="{run}", refused=Refusal(
            "InvalidRequestError", 400, code="parameter_unknown",
        )),
        Do("right", pay(), key="{run}", expect={"status": "succeeded"}, headers={"idempotent-replayed": MISSING}),
    ]),
    Case("a wrong API key remembers nothing", [
        Do("stranger", pay(), key="{run}", api_key="sk_wrong", refused=Refusal("AuthenticationError", 401)),
        Do("owner", pay(), key="{run}", expect={"status": "succeeded"}, headers={"idempotent-replayed": MISSING}),
    ]),
    Case("a key in flight is refused with 409, and charges once", [
        Control("latency", {"p50_ms": 2000}, only_helps=True),
        Together("at_once", pay(), key="{run}", expect={
            "http": [200, 409], "id": Distinct(1), "kind": ["APIError"], "code": ["idempotency_key_in_use"],
            "should_retry": ["true"],
        }),
    ]),
    Case("a key holds at most 255 characters", [
        Do("longest", create(), key="{run}" + "k" * 219, expect={"status": "requires_payment_method"}),
        Do("longer", create(), key="{run}" + "k" * 220, refused=Refusal("InvalidRequestError", 400)),
    ]),
    Case("a read ignores keys", [
        Do("made", create(), key="{run}"),
        Do("read", RetrieveIntent("{made.id}"), key="{run}", expect={"id": "{made.id}"}),
        Do("listed", ListCharges({"payment_intent": "{made.id}"}), key="{run}", expect={"data": []}),
    ]),
    Case("a key is remembered for 24 hours and then charges again", [
        Do("first", pay(), key="{run}"),
        Control("clock", {"advance_s": DAY_S - 60}),
        Do("replayed", pay(), key="{run}", headers=REPLAYED, expect={"id": "{first.id}"}),
        Control("clock", {"advance_s": 120}),
        Do("charged", pay(), key="{run}", headers={"idempotent-replayed": MISSING}, expect={
            "id": Other("{first.id}"), "latest_charge": Other("{first.latest_charge}"), "status": "succeeded",
        }),
    ]),
    Case("a server error is replayed although the payment was made", [
        Control("faults", {"rules": [{"fault": "executed_500", "times": 1}]}),
        Do("first", pay(), key="{run}", refused=Refusal("APIError", 500), headers={"stripe-should-retry": "false"}),
        Do("again", pay(), key="{run}", headers=REPLAYED, refused=Refusal("APIError", 500)),
    ]),
    Case("a lost answer is had by asking again, and charges once", [
        Control("faults", {"rules": [{"fault": "executed_reply_lost", "times": 1}]}),
        # Node's SDK asks again by itself when a kept connection breaks; the others raise.
        Do("lost", pay(), key="{run}", noted=True),
        Do("again", pay(), key="{run}", headers={"idempotent-replayed": "true"}, expect={"status": "succeeded"}),
        Do("charges", ListCharges({"payment_intent": "{again.id}"}), expect={"data.*.id": ["{again.latest_charge}"]}),
        Do("created", ListIntents({"limit": 1}), expect={"data.*.id": ["{again.id}"]}),
    ]),
    Case("what only Stripe can say about keys", [
        Do("made", create(), key="{run}"),
        Do("another version", create(), key="{run}", version="2026-09-30.endive", noted=True),
        Do("nobody", CancelIntent("pi_nobody"), key="{run}-404", noted=True),
        Do("somebody", CancelIntent("{made.id}"), key="{run}-404", noted=True),
        Do("an empty key", create(), key="", noted=True),
    ]),
]  # fmt: skip
