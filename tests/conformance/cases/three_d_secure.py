"""The bank asks the customer: the payment waits, and ends either way.

Sources: Stripe's pages on testing and on 3-D Secure, and its words as other projects quote them.
"""

from tests.conformance.calls import CancelIntent, ConfirmIntent, CreateIntent, ListCharges, RetrieveIntent
from tests.conformance.expectations import Filled, Says, Starts
from tests.conformance.scenario import Case, Control, Do, Refusal, pay

ASKS = "pm_card_authenticationRequired"
# The API's words. "We are unable to authenticate your payment method" is what Stripe's own pages show for them.
FAILED = "The provided PaymentMethod has failed authentication."

CASES = [
    Case("3-D Secure waits for the customer", [
        Do("asked", pay(ASKS), expect={
            "status": "requires_action", "next_action.type": "use_stripe_sdk", "amount_received": 0,
            "latest_charge": None, "client_secret": Filled(),
        }),
        Do("charges", ListCharges({"payment_intent": "{asked.id}"}), expect={"data": []}),
    ]),
    Case("3-D Secure with a return_url redirects", [
        Do("asked", CreateIntent({
            "amount": 1999, "currency": "usd", "payment_method": ASKS, "confirm": True,
            "automatic_payment_methods": {"enabled": True}, "return_url": "https://example.com/back",
        }), expect={
            "status": "requires_action", "next_action.type": "redirect_to_url",
            "next_action.redirect_to_url.return_url": "https://example.com/back",
            "next_action.redirect_to_url.url": Filled(),
        }),
    ]),
    Case("3-D Secure that succeeds is paid", [
        Do("asked", pay(ASKS), expect={"status": "requires_action"}),
        Control("payment_intents/{asked.id}/complete_action", {"succeed": True}),
        Do("read", RetrieveIntent("{asked.id}", {"expand": ["latest_charge"]}), expect={
            "status": "succeeded", "amount_received": 1999, "next_action": None, "latest_charge.paid": True,
            "latest_charge.payment_method_details.card.three_d_secure.result": "authenticated",
        }),
    ]),
    Case("3-D Secure that fails wants another card", [
        Do("asked", pay(ASKS), expect={"status": "requires_action"}),
        Control("payment_intents/{asked.id}/complete_action", {"succeed": False}),
        Do("read", RetrieveIntent("{asked.id}"), expect={
            "status": "requires_payment_method", "amount_received": 0, "next_action": None, "payment_method": None,
            "last_payment_error.code": "payment_intent_authentication_failure",
            "last_payment_error.message": Says(FAILED), "last_payment_error.type": "invalid_request_error",
        }),
        Do("paid", ConfirmIntent("{asked.id}", {"payment_method": "pm_card_visa"}), expect={"status": "succeeded"}),
    ]),
    Case("a card may decline after 3-D Secure succeeded", [
        Do("asked", pay("pm_card_authenticationRequiredChargeDeclinedInsufficientFunds"), expect={
            "status": "requires_action",
        }),
        Control("payment_intents/{asked.id}/complete_action", {"succeed": True}),
        Do("read", RetrieveIntent("{asked.id}"), expect={
            "status": "requires_payment_method", "last_payment_error.code": "card_declined",
            "last_payment_error.decline_code": "insufficient_funds", "latest_charge": Starts("ch_"),
        }),
    ]),
    Case("3-D Secure off session declines", [
        Do("declined", CreateIntent({**pay(ASKS).params, "off_session": True}), refused=Refusal(
            "CardError", 402, code="authentication_required", decline_code="authentication_required",
        ), expect={"payment_intent.status": "requires_payment_method"}),
    ]),
    Case("who wants no action gets a decline", [
        Do("declined", CreateIntent({**pay(ASKS).params, "error_on_requires_action": True}), refused=Refusal(
            "CardError", 402, code="authentication_required", decline_code="authentication_not_handled",
        )),
    ]),
    Case("a waiting payment can be canceled", [
        Do("asked", pay(ASKS)),
        Do("canceled", CancelIntent("{asked.id}"), expect={"status": "canceled", "next_action": None}),
        Do("late", ConfirmIntent("{asked.id}", {"payment_method": "pm_card_visa"}), refused=Refusal(
            "InvalidRequestError", 400, code="payment_intent_unexpected_state",
        )),
    ]),
]  # fmt: skip
