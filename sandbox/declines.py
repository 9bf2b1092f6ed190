"""Declines: what the card network says, and what the customer and the merchant are told of it.

Sources: Stripe's pages on declines and on error codes. Recorded answers of Stripe's test mode show advice and network
code of a generic decline, both sentences for the merchant, and the error of a failed 3-D Secure. The other network
codes are those of ISO 8583.
"""

from typing import NamedTuple

from sandbox.errors import DOC_URL
from sandbox.objects import Json

DECLINED = "Your card was declined."


class Decline(NamedTuple):
    """One way to fail: the error's `code` and `message`, and what the network adds."""

    code: str
    message: str
    decline_code: str | None = None
    advice: str | None = None
    network_code: str | None = None
    kind: str = "card_error"
    blocked: bool = False

    @property
    def reason(self) -> str:
        """What the charge's outcome names: the more precise of both codes."""
        return self.decline_code or self.code

    def error(self, charge: str | None, payment_method: Json) -> Json:
        """The intent's `last_payment_error`; what is not known is left out, as Stripe does."""
        fields = {
            "advice_code": self.advice,
            "charge": charge,
            "code": self.code,
            "decline_code": self.decline_code,
            "doc_url": DOC_URL + self.code.replace("_", "-"),
            "message": self.message,
            "network_decline_code": self.network_code,
            "payment_method": payment_method,
            "type": self.kind,
        }
        return {name: value for name, value in fields.items() if value is not None}


def _declined(decline_code: str, network_code: str, advice: str, message: str = DECLINED) -> Decline:
    return Decline("card_declined", message, decline_code, advice, network_code)


GENERIC = _declined("generic_decline", "01", "try_again_later")
INSUFFICIENT_FUNDS = _declined("insufficient_funds", "51", "try_again_later", "Your card has insufficient funds.")
LOST_CARD = _declined("lost_card", "41", "do_not_try_again")
STOLEN_CARD = _declined("stolen_card", "43", "do_not_try_again")
VELOCITY_EXCEEDED = _declined(
    "card_velocity_exceeded",
    "61",
    "try_again_later",
    "Your card was declined for making repeated attempts too frequently or exceeding its amount limit.",
)
EXPIRED_CARD = Decline("expired_card", "Your card has expired.", None, "confirm_card_data", "54")
INCORRECT_CVC = Decline("incorrect_cvc", "Your card's security code is incorrect.", None, "confirm_card_data", "N7")
PROCESSING_ERROR = Decline(
    "processing_error",
    "An error occurred while processing your card. Try again in a little bit.",
    advice="try_again_later",
)
# Radar never sent it to the network, so the network says nothing.
BLOCKED = Decline("card_declined", DECLINED, "fraudulent", blocked=True)
AUTHENTICATION_REQUIRED = Decline(
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
    "authentication_required",
)
AUTHENTICATION_NOT_HANDLED = Decline(
    "authentication_required",
    "This payment required an authentication action to complete, but `error_on_requires_action` was set. When you're "
    "ready, you can upgrade your integration to handle actions at "
    "https://stripe.com/docs/payments/payment-intents/upgrade-to-handle-actions.",
    "authentication_not_handled",
)
AUTHENTICATION_FAILED = Decline(
    "payment_intent_authentication_failure",
    "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new PaymentMethod "
    "to attempt to fulfill this PaymentIntent again.",
    kind="invalid_request_error",
)
