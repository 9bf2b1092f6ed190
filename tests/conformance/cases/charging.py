"""Create, confirm, cancel: what one payment goes through.

Sources: the SDK's types and their texts, Stripe's page on the PaymentIntent lifecycle, its changelog of 2026-09-30.
"""

from stripe.params import PaymentIntentCreateParamsShipping

from tests.conformance.calls import (
    CancelIntent,
    ConfirmIntent,
    CreateIntent,
    ListCharges,
    ListIntents,
    RetrieveCharge,
    RetrieveIntent,
)
from tests.conformance.expectations import MISSING, Distinct, Filled, OneOf, Present, Says, Starts, Whole
from tests.conformance.scenario import Case, Do, Refusal, create, ill_typed, number, pay

SHIPPING: PaymentIntentCreateParamsShipping = {
    "name": "Jenny Rosen",
    "address": {"line1": "1 Main Street", "city": "Springfield", "country": "US", "postal_code": "12345"},
}
LONGEST = {f"{n:040}": "é&=[]+ %" + "v" * 492 for n in range(50)}
UNEXPECTED_STATE = "payment_intent_unexpected_state"

CASES = [
    Case("a good card is charged at once", [
        Do("paid", CreateIntent({**pay().params, "description": "an order", "metadata": {"k": "v"}}), expect={
            "object": "payment_intent", "id": Starts("pi_"), "status": "succeeded", "amount": 1999,
            "amount_received": 1999, "amount_capturable": 0, "currency": "usd", "description": "an order",
            "metadata": {"k": "v"}, "capture_method": "automatic_async", "confirmation_method": "automatic",
            "livemode": False, "latest_charge": Starts("ch_"), "payment_method": Starts("pm_"),
            "client_secret": Starts("{this.id}_secret_"), "canceled_at": None, "last_payment_error": None,
            "next_action": None, "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        }),
        Do("read", RetrieveIntent("{paid.id}"), expect={
            "id": "{paid.id}", "client_secret": "{paid.client_secret}", "payment_method": "{paid.payment_method}",
            "latest_charge": "{paid.latest_charge}", "created": "{paid.created}", "status": "succeeded",
        }),
    ]),
    Case("a payment shows every field that its readers may ask for", [
        Do("paid", pay(), expect={
            **dict.fromkeys(("customer", "on_behalf_of", "receipt_email", "review", "setup_future_usage", "shipping",
                             "statement_descriptor", "transfer_data", "application", "processing"), None),
            "invoice": MISSING, "source": Present(), "customer_account": Present(), "payment_method_types": Filled(),
            "payment_method_options.card.request_three_d_secure": "automatic",
        }),
        Do("charge", RetrieveCharge("{paid.latest_charge}"), expect={
            "object": "charge", "paid": True, "captured": True, "status": "succeeded", "refunded": False,
            "amount": 1999, "amount_captured": 1999, "amount_refunded": 0, "disputed": False, "invoice": MISSING,
            "payment_intent": "{paid.id}", "payment_method": "{paid.payment_method}", "failure_code": None,
            "billing_details.address.country": None, "billing_details.tax_id": Present(), "review": None,
            "receipt_url": Filled(), "calculated_statement_descriptor": Filled(), "shipping": None,
            "outcome.network_status": "approved_by_network", "outcome.type": "authorized",
            "outcome.seller_message": "Payment complete.", "payment_method_details.type": "card",
            "payment_method_details.card.brand": "visa", "payment_method_details.card.last4": "4242",
            "payment_method_details.card.funding": "credit", "payment_method_details.card.fingerprint": Filled(),
            "payment_method_details.card.checks.cvc_check": Present(), "payment_method_details.card.wallet": None,
            "payment_method_details.card.network_transaction_id": Present(),
            "payment_method_details.card.amount_authorized": Present(),
            "payment_method_details.card.three_d_secure": None,
        }),
    ]),
    Case("the funding of a card is that of its name", [
        Do(name, CreateIntent({**pay(card).params, "expand": ["latest_charge"]}), expect={
            "latest_charge.payment_method_details.card.brand": brand,
            "latest_charge.payment_method_details.card.funding": funding,
        })
        for name, card, brand, funding in (
            ("debit", "pm_card_visa_debit", "visa", "debit"),
            ("prepaid", "pm_card_mastercard_prepaid", "mastercard", "prepaid"),
            ("amex", "pm_card_amex", "amex", "credit"),
        )
    ]),
    Case("every use of a test card is a payment method of its own", [
        Do("one", pay(), expect={"payment_method": Starts("pm_1")}),
        Do("two", pay(), expect={"payment_method": Starts("pm_1")}),
        Do("both", ListIntents({"limit": 2}), expect={"data.*.payment_method": Distinct(2)}),
        Do("read", RetrieveIntent("{two.id}"), expect={"payment_method": "{two.payment_method}"}),
        Do("other", RetrieveIntent("{one.id}"), expect={"payment_method": "{one.payment_method}"}),
    ]),
    Case("a currency without minor units is charged as it is", [
        Do("paid", CreateIntent({**pay().params, "amount": 500, "currency": "jpy"}), expect={
            "status": "succeeded", "currency": "jpy", "amount_received": 500,
        }),
    ]),
    Case("an intent is created first and confirmed later", [
        Do("made", CreateIntent({**create().params, "payment_method": "pm_card_visa"}), expect={
            "status": "requires_confirmation", "latest_charge": None, "amount_received": 0,
        }),
        Do("paid", ConfirmIntent("{made.id}"), expect={
            "id": "{made.id}", "status": "succeeded", "latest_charge": Starts("ch_"), "amount_received": 1999,
        }),
    ]),
    Case("the card may come with the confirmation", [
        Do("made", create(), expect={"status": "requires_payment_method", "payment_method": None}),
        Do("paid", ConfirmIntent("{made.id}", {"payment_method": "pm_card_visa"}), expect={"status": "succeeded"}),
    ]),
    Case("a confirmation changes what it names", [
        Do("made", CreateIntent({**create().params, "payment_method": "pm_card_visa"})),
        Do("paid", ConfirmIntent("{made.id}", {
            "receipt_email": "jenny@example.com", "setup_future_usage": "off_session", "shipping": {
                "name": "Jenny Rosen", "address": {"line1": "1 Main Street"},
            },
        }), expect={
            "receipt_email": "jenny@example.com", "setup_future_usage": "off_session", "shipping.name": "Jenny Rosen",
            "status": "succeeded",
        }),
    ]),
    Case("what an order says about its goods is stored and shown", [
        Do("made", CreateIntent({
            **create().params, "shipping": SHIPPING, "receipt_email": "jenny@example.com",
            "statement_descriptor_suffix": "ORDER 17",
        }), expect={
            "shipping.name": "Jenny Rosen", "shipping.address.line1": "1 Main Street", "shipping.address.state": None,
            "shipping.phone": None, "receipt_email": "jenny@example.com", "statement_descriptor_suffix": "ORDER 17",
        }),
    ]),
    Case("metadata comes back to the letter", [
        Do("made", CreateIntent({**create().params, "metadata": LONGEST}), expect={"metadata": LONGEST}),
    ]),
    Case("an intent without a card cannot be confirmed", [
        Do("made", create()),
        Do("refused", ConfirmIntent("{made.id}"), refused=Refusal(
            "InvalidRequestError", 400, code=OneOf((UNEXPECTED_STATE, "parameter_missing")),
            message=Says("missing a payment method"),
        )),
    ]),
    Case("a second confirm charges nothing", [
        Do("paid", pay()),
        Do("again", ConfirmIntent("{paid.id}", {"payment_method": "pm_card_visa"}), refused=Refusal(
            "InvalidRequestError", 400, code=UNEXPECTED_STATE,
            message=Says("already succeeded after being previously confirmed"),
        ), expect={"payment_intent.status": "succeeded", "payment_intent.id": "{paid.id}"}),
        Do("charges", ListCharges({"payment_intent": "{paid.id}"}), expect={"data.*.id": ["{paid.latest_charge}"]}),
    ]),
    Case("a canceled intent can no longer be paid", [
        Do("made", CreateIntent({**create().params, "payment_method": "pm_card_visa"})),
        Do("canceled", CancelIntent("{made.id}", {"cancellation_reason": "abandoned"}), expect={
            "status": "canceled", "cancellation_reason": "abandoned",
            "canceled_at": Whole(number("{made.created}")),
        }),
        Do("late", ConfirmIntent("{made.id}"), refused=Refusal("InvalidRequestError", 400, code=UNEXPECTED_STATE)),
        Do("again", CancelIntent("{made.id}"), refused=Refusal("InvalidRequestError", 400, code=UNEXPECTED_STATE)),
    ]),
    Case("a paid intent cannot be canceled", [
        Do("paid", pay()),
        Do("late", CancelIntent("{paid.id}"), refused=Refusal("InvalidRequestError", 400, code=UNEXPECTED_STATE)),
        Do("read", RetrieveIntent("{paid.id}"), expect={"status": "succeeded", "canceled_at": None}),
    ]),
    Case("a cancel knows four reasons", [
        Do("made", create()),
        Do("refused", CancelIntent("{made.id}", {"cancellation_reason": "bored"}), refused=Refusal(
            "InvalidRequestError", 400, param="cancellation_reason",
        )),
    ]),
    Case("automatic payment methods with redirects need a return_url", [
        Do("refused", CreateIntent({
            "amount": 1999, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True,
        }), refused=Refusal("InvalidRequestError", 400, message=Says("return_url"))),
        Do("made", CreateIntent({"amount": 1999, "currency": "usd", "payment_method": "pm_card_visa"}), expect={
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "always"},
        }),
        Do("confirmed", ConfirmIntent("{made.id}"), refused=Refusal(
            "InvalidRequestError", 400, message=Says("return_url"),
        )),
        Do("paid", ConfirmIntent("{made.id}", {"return_url": "https://example.com/back"}), expect={
            "status": "succeeded",
        }),
    ]),
    Case("payment_method_types is no longer supported", [
        Do("created", CreateIntent(ill_typed({"amount": 1999, "currency": "usd", "payment_method_types": ["card"]})),
           refused=Refusal("InvalidRequestError", 400, code="payment_method_types_no_longer_supported")),
        Do("made", CreateIntent({**create().params, "payment_method": "pm_card_visa"})),
        Do("confirmed", ConfirmIntent("{made.id}", ill_typed({"payment_method_types": ["card"]})),
           refused=Refusal("InvalidRequestError", 400)),
    ]),
]  # fmt: skip
