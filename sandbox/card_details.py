"""A card as objects show it: a charge's details and outcome, and a payment method of its own.

Source of the fields: the object types of Stripe's SDKs, which say what is always sent; recorded charges and payment
methods of test mode for what is optional there and comes all the same (`network_token`, `overcapture`, …).
"""

from functools import cache
from hashlib import sha256
from uuid import UUID

from sandbox.cards import Card
from sandbox.declines import Decline
from sandbox.ids import digits, noise
from sandbox.objects import NOBODY, Json

RISK_SCORES = {"normal": 20, "elevated": 70, "highest": 92}
# What the cardholder's bank calls an authenticated payment; Mastercard counts differently.
_INDICATORS = {"mastercard": "02"}
_DISPLAYED = {"amex": "american_express", "diners": "diners_club", "unionpay": "union_pay"}


def of_charge(card: Card, amount: int, *, paid: bool, authenticated: bool, sent: bool) -> Json:
    """The charge's `payment_method_details`. `sent`: the network was asked, so it left its references."""
    shown = {
        "amount_authorized": amount if paid else None,
        "authorization_code": digits(6) if sent else None,
        "brand": card.brand,
        "checks": _checks(card),
        "country": card.country,
        "electronic_commerce_indicator": None,
        "exp_month": 12,
        "exp_year": 2034,
        "extended_authorization": {"status": "disabled"},
        "fingerprint": _fingerprint(card.brand, card.last4, card.country),
        "funding": card.funding,
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "last4": card.last4,
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": card.brand,
        "network_token": {"used": False},
        "network_transaction_id": digits(15) if sent else None,
        "overcapture": {"maximum_amount_capturable": amount, "status": "unavailable"},
        "regulated_status": "unregulated",
        "three_d_secure": _authenticated(card) if authenticated else None,
        "transaction_link_id": None,
        "wallet": None,
    }
    return {"card": shown, "type": "card"}


def of_method(card: Card, method_id: str | None, created: int) -> Json:
    """The payment method itself, as errors carry it."""
    shown = {
        "brand": card.brand,
        "checks": _checks(card),
        "country": card.country,
        "display_brand": _DISPLAYED.get(card.brand, card.brand),
        "exp_month": 12,
        "exp_year": 2034,
        "fingerprint": _fingerprint(card.brand, card.last4, card.country),
        "funding": card.funding,
        "generated_from": None,
        "last4": card.last4,
        "networks": {"available": [card.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": card.knows_3ds},
        "wallet": None,
    }
    return {
        "id": method_id,
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": NOBODY,
        "card": shown,
        "created": created,
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "radar_options": {},
        "type": "card",
    }


def outcome(card: Card, decline: Decline | None) -> Json:
    """The charge's `outcome`."""
    if decline is None:
        return _outcome(card, "authorized", "approved_by_network", "Payment complete.")
    if decline.blocked:
        blocked = _outcome(card, "blocked", "not_sent_to_network", "Stripe blocked this payment as too risky.")
        return blocked | {"reason": "highest_risk_level", "rule": "block_if_high_risk"}
    declined = _outcome(card, "issuer_declined", "declined_by_network", _for_the_merchant(decline))
    return declined | {
        "advice_code": decline.advice,
        "network_decline_code": decline.network_code,
        "reason": decline.reason,
    }


def _outcome(card: Card, kind: str, network: str, message: str) -> Json:
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": network,
        "reason": None,
        "risk_level": card.risk,
        "risk_score": RISK_SCORES[card.risk],
        "seller_message": message,
        "type": kind,
    }


def _for_the_merchant(decline: Decline) -> str:
    if decline.reason == "generic_decline":
        return "The bank did not return any further details with this decline."
    return f"The bank returned the decline code `{decline.reason}`."


def _checks(card: Card) -> Json:
    return {
        "address_line1_check": card.line1,
        "address_postal_code_check": card.zip_code,
        "cvc_check": card.cvc,
    }


def _authenticated(card: Card) -> Json:
    """The `three_d_secure` of a charge whose customer passed a 3-D Secure challenge."""
    return {
        "authentication_flow": "challenge",
        "electronic_commerce_indicator": _INDICATORS.get(card.brand, "05"),
        "exemption_indicator": None,
        "result": "authenticated",
        "result_reason": None,
        "transaction_id": str(UUID(hex=noise(32))),
        "version": "2.2.0",
    }


@cache
def _fingerprint(*number: str) -> str:
    """The card's fingerprint, which is the same for every use of one card number, as at Stripe."""
    return sha256(" ".join(number).encode()).hexdigest()[:16]
