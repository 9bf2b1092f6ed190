"""Cards that do not pay: how each declines, and what is left behind.

Sources: Stripe's page on testing, bodies recorded in the tests of other projects, the SDK's types.
"""

from tests.conformance.calls import ConfirmIntent, CreateIntent, ListCharges, RetrieveIntent
from tests.conformance.expectations import MISSING, OneOf, Present, Says, Starts
from tests.conformance.scenario import Case, Do, Refusal, create, pay

# Card: code, decline code. MISSING and null are the same here: not every code has a decline code.
DECLINES = {
    "pm_card_chargeDeclined": ("card_declined", "generic_decline"),
    "pm_card_visa_chargeDeclined": ("card_declined", "generic_decline"),
    "pm_card_visa_chargeDeclinedInsufficientFunds": ("card_declined", "insufficient_funds"),
    "pm_card_visa_chargeDeclinedLostCard": ("card_declined", "lost_card"),
    "pm_card_visa_chargeDeclinedStolenCard": ("card_declined", "stolen_card"),
    "pm_card_visa_chargeDeclinedVelocityLimitExceeded": ("card_declined", "card_velocity_exceeded"),
    "pm_card_chargeDeclinedExpiredCard": ("expired_card", None),
    "pm_card_chargeDeclinedIncorrectCvc": ("incorrect_cvc", None),
    "pm_card_chargeDeclinedProcessingError": ("processing_error", None),
    "pm_card_chargeCustomerFail": ("card_declined", "generic_decline"),
    "pm_card_radarBlock": ("card_declined", "fraudulent"),
}

CASES = [
    *[
        Case(f"{card} declines with its code", [
            Do("declined", pay(card), refused=Refusal("CardError", 402, code=code, decline_code=decline_code), expect={
                "type": "card_error", "code": code, "charge": Starts("ch_"), "message": Says("Your card")
                if code != "processing_error" else Says("processing your card"),
                "payment_intent.status": "requires_payment_method", "payment_intent.payment_method": None,
                "payment_intent.last_payment_error.code": code, "payment_intent.amount_received": 0,
            }),
        ])
        for card, (code, decline_code) in DECLINES.items()
    ],
    Case("a decline tells what the network said and advises", [
        Do("declined", pay("pm_card_chargeCustomerFail"), refused=Refusal("CardError", 402), expect={
            "advice_code": "try_again_later", "network_decline_code": "01",
            "payment_intent.last_payment_error.advice_code": "try_again_later",
            "payment_intent.last_payment_error.network_decline_code": "01",
            "doc_url": Says("card-declined"), "request_log_url": Starts("https://dashboard.stripe.com/"),
        }),
    ]),
    Case("a decline shows the card that was declined", [
        Do("declined", pay("pm_card_visa_chargeDeclined"), refused=Refusal("CardError", 402), expect={
            "payment_method.id": Starts("pm_1"), "payment_method.object": "payment_method",
            "payment_method.type": "card", "payment_method.card.brand": "visa", "payment_method.card.last4": "0002",
            "payment_method.card.networks.available": ["visa"], "payment_method.card.checks.cvc_check": Present(),
            "payment_method.card.fingerprint": Present(), "payment_method.card.display_brand": "visa",
            "payment_method.card.generated_from": None, "payment_method.card.three_d_secure_usage.supported": True,
            "payment_method.card.three_d_secure": MISSING, "payment_method.card.network": MISSING,
            "payment_method.allow_redisplay": OneOf(("unspecified", "limited", "always")),
            "payment_method.billing_details.address.country": None, "payment_method.customer": None,
        }),
    ]),
    Case("a decline leaves a failed charge and no money", [
        Do("declined", pay("pm_card_visa_chargeDeclinedInsufficientFunds"), refused=Refusal("CardError", 402)),
        Do("charges", ListCharges({"payment_intent": "{declined.payment_intent.id}"}), expect={
            "data.*.id": ["{declined.charge}"], "data.0.status": "failed", "data.0.paid": False,
            "data.0.captured": False, "data.0.failure_code": "card_declined", "data.0.balance_transaction": None,
            "data.0.outcome.type": "issuer_declined", "data.0.outcome.reason": "insufficient_funds",
            "data.0.outcome.network_status": "declined_by_network",
        }),
        Do("read", RetrieveIntent("{declined.payment_intent.id}"), expect={
            "status": "requires_payment_method", "latest_charge": "{declined.charge}", "amount_received": 0,
            "last_payment_error.decline_code": "insufficient_funds", "last_payment_error.charge": "{declined.charge}",
        }),
    ]),
    Case("the seller is told what the bank did not say", [
        Do("declined", pay("pm_card_visa_chargeDeclined"), refused=Refusal("CardError", 402)),
        Do("charges", ListCharges({"payment_intent": "{declined.payment_intent.id}"}), expect={
            "data.0.outcome.seller_message": "The bank did not return any further details with this decline.",
        }),
    ]),
    Case("another card may pay the declined intent", [
        Do("declined", pay("pm_card_visa_chargeDeclined"), refused=Refusal("CardError", 402)),
        Do("paid", ConfirmIntent("{declined.payment_intent.id}", {"payment_method": "pm_card_visa"}), expect={
            "id": "{declined.payment_intent.id}", "status": "succeeded", "last_payment_error": None,
        }),
        Do("charges", ListCharges({"payment_intent": "{paid.id}"}), expect={
            "data.*.status": ["succeeded", "failed"], "data.0.id": "{paid.latest_charge}",
        }),
    ]),
    Case("a confirmation declines as a creation does", [
        Do("made", create()),
        Do("declined", ConfirmIntent("{made.id}", {"payment_method": "pm_card_visa_chargeDeclined"}),
           refused=Refusal("CardError", 402, code="card_declined", decline_code="generic_decline"),
           expect={"payment_intent.id": "{made.id}"}),
    ]),
    Case("a blocked payment never reaches the network", [
        Do("blocked", pay("pm_card_radarBlock"), refused=Refusal("CardError", 402)),
        Do("charges", ListCharges({"payment_intent": "{blocked.payment_intent.id}"}), expect={
            "data.0.outcome.type": "blocked", "data.0.outcome.network_status": "not_sent_to_network",
            "data.0.outcome.risk_level": "highest",
        }),
    ]),
    Case("a declined payment can be expanded in the answer to its question", [
        Do("declined", CreateIntent({**pay("pm_card_visa_chargeDeclined").params, "expand": ["latest_charge"]}),
           refused=Refusal("CardError", 402, code="card_declined")),
    ]),
]  # fmt: skip
