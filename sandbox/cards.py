"""Test payment methods: which token stands for which card, and what the network says to it.

Source: Stripe's page on testing. Older texts spell the declining tokens without `_visa_`; both spellings work. Two are
our own: `pm_sandbox_processing` stays in `processing` until it is completed, `pm_sandbox_slow` ends by itself.
"""

import msgspec

from sandbox.objects import Json

MESSAGES = {
    "generic_decline": "Your card was declined.",
    "insufficient_funds": "Your card has insufficient funds.",
    "lost_card": "Your card was declined.",
    "stolen_card": "Your card was declined.",
    "card_velocity_exceeded": "Your card was declined for making repeated attempts too frequently or exceeding its "
    "amount limit.",
    "fraudulent": "Your card was declined.",
    "expired_card": "Your card has expired.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "processing_error": "An error occurred while processing your card. Try again in a little bit.",
    "authentication_required": "Your card was declined. This transaction requires authentication.",
    "authentication_not_handled": "This payment required an authentication action to complete, but "
    "`error_on_requires_action` was set. When you're ready, you can upgrade your integration to handle actions at "
    "https://stripe.com/docs/payments/payment-intents/upgrade-to-handle-actions.",
}
ADVICE = {"processing_error": "try_again_later", "insufficient_funds": "try_again_later", "lost_card":
          "do_not_try_again", "stolen_card": "do_not_try_again", "incorrect_cvc": "confirm_card_data",
          "expired_card": "confirm_card_data"}  # fmt: skip


class Card(msgspec.Struct, frozen=True):
    """How a card behaves.

    `code` (null: it pays) and `decline_code` are what a decline says; `authenticate` is `never`, `always`, or
    `on_session_only` (set up for off-session use, so it asks only when the customer is there); `ends` is `now`,
    `later` (processing, ends by itself) or `on_request` (processing, ends by the control API).
    """

    brand: str = "visa"
    last4: str = "4242"
    code: str | None = None
    decline_code: str | None = None
    authenticate: str = "never"
    ends: str = "now"
    available_at_once: bool = False
    blocked: bool = False

    def asks(self, *, off_session: bool) -> bool:
        """Whether the bank wants the customer to prove who they are."""
        return self.authenticate == "always" or (self.authenticate == "on_session_only" and not off_session)

    def message(self) -> str:
        """What the customer may be told."""
        return MESSAGES[self.decline_code or self.code or "generic_decline"]

    def outcome(self) -> Json:
        """The charge's `outcome`."""
        if self.code is None:
            return _outcome("authorized", "approved_by_network", None, "normal", "Payment complete.")
        if self.blocked:
            return _outcome("blocked", "not_sent_to_network", "highest_risk_level", "highest",
                            "Stripe blocked this payment as too risky.")  # fmt: skip
        reason = self.decline_code or self.code
        declined = _outcome("issuer_declined", "declined_by_network", reason, "normal", self.message())
        return declined | {"advice_code": ADVICE.get(reason), "network_decline_code": "05"}

    def details(self) -> Json:
        """The charge's `payment_method_details`."""
        card = {"brand": self.brand, "country": "US", "exp_month": 12, "exp_year": 2034, "funding": "credit",
                "last4": self.last4, "network": self.brand, "three_d_secure": None, "wallet": None}  # fmt: skip
        return {"card": card, "type": "card"}


def _outcome(kind: str, network: str, reason: str | None, risk: str, message: str) -> Json:
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": network,
        "reason": reason,
        "risk_level": risk,
        "seller_message": message,
        "type": kind,
    }


def _declined(code: str, decline_code: str, last4: str, *, blocked: bool = False) -> Card:
    return Card(last4=last4, code=code, decline_code=decline_code, blocked=blocked)


_DECLINES = {
    "chargeDeclined": _declined("card_declined", "generic_decline", "0002"),
    "chargeDeclinedInsufficientFunds": _declined("card_declined", "insufficient_funds", "9995"),
    "chargeDeclinedLostCard": _declined("card_declined", "lost_card", "9987"),
    "chargeDeclinedStolenCard": _declined("card_declined", "stolen_card", "9979"),
    "chargeDeclinedVelocityLimitExceeded": _declined("card_declined", "card_velocity_exceeded", "6975"),
    "chargeDeclinedFraudulent": _declined("card_declined", "fraudulent", "0019"),
    "chargeDeclinedExpiredCard": Card(last4="0069", code="expired_card"),
    "chargeDeclinedIncorrectCvc": Card(last4="0127", code="incorrect_cvc"),
    "chargeDeclinedProcessingError": Card(last4="0119", code="processing_error"),
}

CARDS: dict[str, Card] = {
    "pm_card_visa": Card(),
    "pm_card_visa_debit": Card(last4="5556"),
    "pm_card_us": Card(),
    "pm_card_mastercard": Card("mastercard", "4444"),
    "pm_card_mastercard_debit": Card("mastercard", "8210"),
    "pm_card_mastercard_prepaid": Card("mastercard", "5100"),
    "pm_card_amex": Card("amex", "0005"),
    "pm_card_discover": Card("discover", "1117"),
    "pm_card_diners": Card("diners", "0004"),
    "pm_card_jcb": Card("jcb", "0505"),
    "pm_card_unionpay": Card("unionpay", "0005"),
    "pm_card_bypassPending": Card(last4="0077", available_at_once=True),
    "pm_card_chargeCustomerFail": _declined("card_declined", "generic_decline", "0341"),
    "pm_card_radarBlock": _declined("card_declined", "fraudulent", "0019", blocked=True),
    "pm_card_authenticationRequired": Card(last4="3184", authenticate="always"),
    "pm_card_authenticationRequiredOnSetup": Card(last4="3155", authenticate="on_session_only"),
    "pm_card_authenticationRequiredSetupForOffSession": Card(last4="3155", authenticate="on_session_only"),
    "pm_card_threeDSecureRequired": Card(last4="3220", authenticate="always"),
    "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds": Card(
        last4="8260", code="card_declined", decline_code="insufficient_funds", authenticate="always"
    ),
    "pm_sandbox_processing": Card(ends="on_request"),
    "pm_sandbox_slow": Card(ends="later"),
    **{f"pm_card_{name}": card for name, card in _DECLINES.items()},
    **{f"pm_card_visa_{name}": card for name, card in _DECLINES.items()},
}
