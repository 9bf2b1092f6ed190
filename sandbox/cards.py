"""Test payment methods: which token stands for which card, and what the network says to it.

Source: Stripe's page on testing. Older texts spell the declining tokens without `_visa_`; both spellings work. Three
are our own: `pm_sandbox_processing` stays in `processing` until it is completed, `pm_sandbox_slow` ends by itself, and
a refund to `pm_sandbox_refundAsks` waits for the customer.
"""

import msgspec

from sandbox import declines
from sandbox.declines import Decline


class Card(msgspec.Struct, frozen=True):
    """What a card is and how it behaves.

    `decline` (null: it pays) is what the network answers; `authenticate` is `never`, `always`, or `on_session_only`
    (set up for off-session use, so it asks only when the customer is there); `ends` is `now`, `later` (processing,
    ends by itself) or `on_request` (processing, ends by the control API). `refund` is how its refunds go: `now`,
    `later` (pending at first), `fails` (succeeded at first) or `asks` (its owner must act). `then` is what follows on a
    payment: a dispute by its reason, an `inquiry`, or a `warning` of fraud. `cvc`, `line1` and `zip_code` are the
    results of the network's checks.
    """

    last4: str = "4242"
    brand: str = "visa"
    decline: Decline | None = None
    authenticate: str = "never"
    ends: str = "now"
    available_at_once: bool = False
    country: str = "US"
    funding: str = "credit"
    cvc: str = "pass"
    line1: str | None = None
    zip_code: str | None = None
    knows_3ds: bool = True
    refund: str = "now"
    risk: str = "normal"
    then: str = ""

    def asks(self, *, off_session: bool) -> bool:
        """Whether the bank asks for 3-D Secure."""
        return self.authenticate == "always" or (self.authenticate == "on_session_only" and not off_session)


_DECLINES = {
    "chargeDeclined": Card("0002", decline=declines.GENERIC),
    "chargeDeclinedInsufficientFunds": Card("9995", decline=declines.INSUFFICIENT_FUNDS),
    "chargeDeclinedLostCard": Card("9987", decline=declines.LOST_CARD),
    "chargeDeclinedStolenCard": Card("9979", decline=declines.STOLEN_CARD),
    "chargeDeclinedVelocityLimitExceeded": Card("6975", decline=declines.VELOCITY_EXCEEDED),
    "chargeDeclinedFraudulent": Card("0019", decline=declines.BLOCKED, risk="highest"),
    "chargeDeclinedExpiredCard": Card("0069", decline=declines.EXPIRED_CARD),
    "chargeDeclinedIncorrectCvc": Card("0127", decline=declines.INCORRECT_CVC, cvc="fail"),
    "chargeDeclinedProcessingError": Card("0119", decline=declines.PROCESSING_ERROR),
}
_BRANDS = {
    "pm_card_visa": Card(),
    "pm_card_visa_debit": Card("5556", funding="debit"),
    "pm_card_mastercard": Card("4444", "mastercard"),
    "pm_card_mastercard_debit": Card("8210", "mastercard", funding="debit"),
    "pm_card_mastercard_prepaid": Card("5100", "mastercard", funding="prepaid"),
    "pm_card_amex": Card("0005", "amex"),
    "pm_card_discover": Card("1117", "discover"),
    "pm_card_diners": Card("0004", "diners"),
    "pm_card_jcb": Card("0505", "jcb"),
    "pm_card_unionpay": Card("0005", "unionpay"),
}
_COUNTRIES = {
    "pm_card_us": Card(),
    "pm_card_gb": Card("0000", country="GB"),
    "pm_card_de": Card("0016", country="DE"),
    "pm_card_fr": Card("0003", country="FR"),
    "pm_card_ca": Card("0000", country="CA"),
    "pm_card_br": Card("0002", country="BR"),
    "pm_card_au": Card("0006", country="AU"),
    "pm_card_jp": Card("0003", country="JP"),
}
# The country stands in the card's number: 4000 0027 6000 3184 is a card of country 276, Germany.
_AUTHENTICATION = {
    "pm_card_authenticationRequired": Card("3184", authenticate="always", country="DE"),
    "pm_card_authenticationRequiredOnSetup": Card("3155", authenticate="on_session_only", country="FR"),
    "pm_card_authenticationRequiredSetupForOffSession": Card("0446", authenticate="on_session_only", country="IT"),
    "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds": Card(
        "3178", decline=declines.INSUFFICIENT_FUNDS, authenticate="always", country="GB"
    ),
    "pm_card_threeDSecure2Required": Card("3220", authenticate="always", country="IE"),
    "pm_card_threeDSecureRequired": Card("3063", authenticate="always"),
    "pm_card_threeDSecureOptional": Card("3055"),
    "pm_card_amex_threeDSecureNotSupported": Card("0005", "amex", knows_3ds=False),
}
_CHECKS_AND_RISK = {
    "pm_card_cvcCheckFail": Card("0101", cvc="fail"),
    "pm_card_avsFail": Card("0010", line1="fail", zip_code="fail"),
    "pm_card_avsLine1Fail": Card("0028", line1="fail", zip_code="pass"),
    "pm_card_avsZipFail": Card("0036", line1="pass", zip_code="fail"),
    "pm_card_avsUnchecked": Card("0044", line1="unavailable", zip_code="unavailable"),
    "pm_card_riskLevelElevated": Card("9235", risk="elevated"),
    "pm_card_riskLevelHighest": Card("4954", decline=declines.BLOCKED, risk="highest"),
    "pm_card_radarBlock": Card("0019", decline=declines.BLOCKED, risk="highest"),
}
# They pay, and something follows. No source says how several disputes share one charge: `…Multiple…` only pays.
_FOLLOW_UPS = {
    "pm_card_createDispute": Card("0259", then="fraudulent"),
    "pm_card_createDisputeProductNotReceived": Card("2685", then="product_not_received"),
    "pm_card_createDisputeInquiry": Card("1976", then="inquiry"),
    "pm_card_createIssuerFraudRecord": Card("5423", then="warning"),
    "pm_card_createMultipleDisputes": Card("0079"),
    "pm_card_pendingRefund": Card("7726", refund="later"),
    "pm_card_refundFail": Card("5126", refund="fails"),
}

CARDS: dict[str, Card] = {
    **_BRANDS,
    **_COUNTRIES,
    **_AUTHENTICATION,
    **_CHECKS_AND_RISK,
    **_FOLLOW_UPS,
    "pm_card_bypassPending": Card("0077", available_at_once=True),
    "pm_card_chargeCustomerFail": Card("0341", decline=declines.GENERIC),
    "pm_sandbox_processing": Card(ends="on_request"),
    "pm_sandbox_slow": Card(ends="later"),
    "pm_sandbox_refundAsks": Card(refund="asks"),
    **{f"pm_card_{name}": card for name, card in _DECLINES.items()},
    **{f"pm_card_visa_{name}": card for name, card in _DECLINES.items()},
}
