"""What is refused, in which class of error, and in which words.

Sources: the SDK's types and error codes, Stripe's page on error codes, its words as other projects quote them.
"""

from typing import Any

import stripe

from tests.conformance.calls import (
    ConfirmIntent,
    CreateIntent,
    ListIntents,
    RetrieveBalance,
    RetrieveCharge,
    RetrieveIntent,
)
from tests.conformance.expectations import MISSING, Filled, Says, Starts
from tests.conformance.scenario import Case, Control, Do, Refusal, create, ill_typed, pay

VERSION = str(stripe.api_version)  # what the SDK asks for by itself

# Name, parameters, the parameter that is blamed, code. None: whatever it is.
WRONG: list[tuple[str, dict[str, Any], str | None, str | None]] = [
    ("amount missing", {"amount": MISSING}, "amount", "parameter_missing"),
    ("amount broken", {"amount": "12.5"}, "amount", "parameter_invalid_integer"),
    ("amount negative", {"amount": -1}, "amount", "parameter_invalid_integer"),
    ("amount too small", {"amount": 49}, "amount", "amount_too_small"),
    ("amount too large", {"amount": 100_000_000}, "amount", "amount_too_large"),
    ("currency missing", {"currency": MISSING}, "currency", "parameter_missing"),
    ("currency unknown", {"currency": "xxx"}, "currency", None),
    ("unknown parameter", {"colour": "red"}, "colour", "parameter_unknown"),
    ("unknown card", {"payment_method": "pm_nobody"}, "payment_method", "resource_missing"),
    ("unknown customer", {"customer": "foo"}, "customer", "resource_missing"),
    ("capture method", {"capture_method": "bogus"}, "capture_method", None),
    ("confirmation method", {"automatic_payment_methods": MISSING, "confirmation_method": "bogus",
                             "return_url": "https://example.com/back"}, "confirmation_method", None),
    ("future usage", {"setup_future_usage": "bogus"}, "setup_future_usage", None),
    ("receipt email", {"receipt_email": "notanemail"}, "receipt_email", "email_invalid"),
    ("metadata keys", {"metadata": {f"k{n}": "v" for n in range(51)}}, None, None),
    ("metadata name", {"metadata": {"k" * 41: "v"}}, None, None),
    ("metadata value", {"metadata": {"k": "v" * 501}}, None, None),
    ("automatic without enabled", {"automatic_payment_methods": {"allow_redirects": "never"}}, None,
     "parameter_missing"),
    ("return_url without confirm", {"confirm": False, "return_url": "https://example.com/back"}, None, None),
    ("off_session without confirm", {"confirm": False, "off_session": True}, "off_session", None),
    ("statement descriptor for a card", {"statement_descriptor": "SHOP"}, None, None),
]  # fmt: skip
LISTS: list[tuple[str, dict[str, Any], str, str | None]] = [
    ("limit 0", {"limit": 0}, "limit", "parameter_invalid_integer"),
    ("limit 101", {"limit": 101}, "limit", "parameter_invalid_integer"),
    ("unknown cursor", {"starting_after": "pi_nobody"}, "starting_after", "resource_missing"),
    ("unknown filter", {"colour": "red"}, "colour", "parameter_unknown"),
]


def _wrong(changed: dict[str, Any]) -> CreateIntent:
    params = {**pay().params, **changed}
    return CreateIntent(ill_typed({name: value for name, value in params.items() if value is not MISSING}))


CASES = [
    *[
        Case(f"wrong on create: {name}", [
            Do("refused", _wrong(changed), refused=Refusal("InvalidRequestError", 400, param=param, code=code), expect={
                "type": "invalid_request_error", "message": Filled(),
            }, headers={"request-id": "{this.request_id}"}),
        ])
        for name, changed, param, code in WRONG
    ],
    *[
        Case(f"wrong on list: {name}", [
            Do("refused", ListIntents(ill_typed(params)), refused=Refusal(
                "InvalidRequestError", 400, param=param, code=code,
            )),
        ])
        for name, params, param, code in LISTS
    ],
    Case("both cursors at once are refused", [
        Do("made", create()),
        Do("refused", ListIntents({"starting_after": "{made.id}", "ending_before": "{made.id}"}), refused=Refusal(
            "InvalidRequestError", 400,
        )),
    ]),
    Case("wrong on confirm: capture method", [
        Do("made", CreateIntent({**create().params, "payment_method": "pm_card_visa"})),
        Do("refused", ConfirmIntent("{made.id}", {"capture_method": "bogus"}), refused=Refusal(
            "InvalidRequestError", 400, param="capture_method",
        )),
        Do("read", RetrieveIntent("{made.id}"), expect={"status": "requires_confirmation"}),
    ]),
    Case("wrong on confirm: what only a creation takes", [
        Do("made", CreateIntent({**create().params, "payment_method": "pm_card_visa"})),
        Do("refused", ConfirmIntent("{made.id}", ill_typed({"currency": "usd"})), refused=Refusal(
            "InvalidRequestError", 400, param="currency", code="parameter_unknown",
        )),
    ]),
    Case("what nobody has is 404", [
        Do("intent", RetrieveIntent("pi_nobody"), refused=Refusal(
            "InvalidRequestError", 404, code="resource_missing", param="intent",
            message=Says("No such payment_intent: 'pi_nobody'"),
        )),
        Do("charge", RetrieveCharge("ch_nobody"), refused=Refusal("InvalidRequestError", 404, code="resource_missing")),
        Do("confirm", ConfirmIntent("pi_nobody"), refused=Refusal("InvalidRequestError", 404, code="resource_missing")),
    ]),
    Case("an empty id names nothing", [
        Do("confirmed", ConfirmIntent("", {"payment_method": "pm_card_visa"}), refused=Refusal(
            "InvalidRequestError", 404, message=Says("Unrecognized request URL"),
        )),
        Do("read", RetrieveIntent(""), refused=Refusal(
            "InvalidRequestError", 404, message=Says("Unrecognized request URL"),
        )),
    ]),
    Case("a wrong API key is an authentication error", [
        Do("refused", RetrieveBalance(), api_key="sk_wrong", refused=Refusal(
            "AuthenticationError", 401, message=Says("Invalid API Key provided"),
        )),
    ]),
    Case("an unknown version of the API is refused", [
        Do("refused", RetrieveBalance(), version="nonsense", refused=Refusal(
            "InvalidRequestError", 400, message=Says("Invalid Stripe API version"),
        )),
    ]),
    Case("a revoked key is an authentication error", [
        Control("keys/revoke", {"key": "sk_test_revoked0123456789"}),
        Do("refused", RetrieveBalance(), api_key="sk_test_revoked0123456789", refused=Refusal(
            "AuthenticationError", 401, message=Says("Expired API Key provided"),
        ), expect={"code": "api_key_expired"}),
    ]),
    Case("a key without permission is a permission error", [
        Control("faults", {"rules": [{"fault": "forbidden_403", "times": 1}]}),
        Do("refused", RetrieveBalance(), refused=Refusal("PermissionError", 403)),
    ]),
    Case("too many requests are a rate limit error", [
        Control("rate_limit", {"rps": 0.001}),
        Do("one", RetrieveBalance()),
        Do("two", RetrieveBalance(), refused=Refusal("RateLimitError", 429), expect={"code": "rate_limit"},
           headers={"stripe-rate-limited-reason": Filled(), "request-id": Starts("req_")}),
    ]),
    Case("every answer names its request and its version", [
        Do("made", create(), key="{run}", headers={
            "request-id": "{this.request_id}", "stripe-version": VERSION, "date": Filled(),
            "content-type": Says("application/json"), "idempotency-key": "{run}",
        }),
        Do("read", RetrieveIntent("{made.id}"), headers={
            "request-id": "{this.request_id}", "stripe-version": VERSION, "idempotency-key": MISSING,
        }),
        Do("refused", RetrieveIntent("pi_nobody"), refused=Refusal("InvalidRequestError", 404), headers={
            "request-id": "{this.request_id}",
        }, expect={"request_log_url": Says("{this.request_id}")}),
    ]),
    Case("what only Stripe can say about parameters", [
        Do("nested", _wrong({"automatic_payment_methods": {"enabled": "perhaps"}}), noted=True),
        Do("created", ListIntents(ill_typed({"created": {"gte": "soon"}})), noted=True),
        Do("used", pay()),
        Do("used again", CreateIntent({**pay().params, "payment_method": "{used.payment_method}"}), noted=True),
        Do("off session", CreateIntent({
            **pay("pm_card_authenticationRequiredOnSetup").params, "off_session": True,
        }), noted=True),
        Do("fifty dong", CreateIntent({**pay().params, "amount": 50, "currency": "vnd"}), noted=True),
        Do("brackets", CreateIntent({**pay().params, "metadata": {"a[b]": "v"}}), noted=True),
    ]),
]  # fmt: skip
