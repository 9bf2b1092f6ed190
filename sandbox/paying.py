"""What a create or a confirm says: the parameters of both, their rules, and what they make of a PaymentIntent."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from sandbox import expand
from sandbox.cards import CARDS
from sandbox.errors import ApiError, invalid, no_such, not_done, only_one_of
from sandbox.objects import Json, PaymentIntent, decode_intent
from sandbox.params import Form, Params
from sandbox.state import Sandbox

# The SDK's docs say of each: "can only be used with `confirm=true`".
WITH_CONFIRM_ONLY = ("off_session", "return_url", "error_on_requires_action")
# "You may only specify one of these parameters" (quoted in public code); of the first also Stripe's changelog.
EXCLUSIVE = (
    ("allowed_payment_method_types", "automatic_payment_methods"),
    ("allowed_payment_method_types", "excluded_payment_method_types"),
    ("automatic_payment_methods", "confirmation_method"),
)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_URL = re.compile(r"[a-z][a-z0-9+.-]*:\S+", re.IGNORECASE)  # an app's own scheme too
# What the shipping of `amount_details` always shows, null or not.
_SHIPPED: Json = {"amount": None, "from_postal_code": None, "to_postal_code": None}
_ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")
_NUMBERS = ("amount", "discount_amount", "total_tax_amount")
_FRESH = PaymentIntent(
    id="", amount=0, client_secret="", created=0, currency="", metadata={}, payment_method_types=[], status=""
)


class Method(NamedTuple):
    """A payment method: the card behind it, and its id unless it is a token, each use of which makes a new one."""

    card: str
    id: str | None


class Confirmation(NamedTuple):
    """What a confirm (alone or inside a create) says about the card and the customer's presence."""

    method: Method | None
    off_session: bool
    refuse_action: bool
    return_url: str | None
    use_stripe_sdk: bool
    expand: list[str]


def confirmation(sandbox: Sandbox, form: Form) -> Confirmation:
    """The parameters that create and confirm share; raises for what is wrong with one of them."""
    method, url = form.text("payment_method"), form.text("return_url")
    if url is not None and not _URL.fullmatch(url):
        raise invalid("Not a valid URL", code="url_invalid", param="return_url")
    email = form.text("receipt_email")
    if email and not _EMAIL.fullmatch(email):
        raise invalid(f"Invalid email address: {email}", code="email_invalid", param="receipt_email")
    if "allowed_payment_method_types" in form or "excluded_payment_method_types" in form:
        _check_types(form)
    return Confirmation(
        method=None if method is None else _method(sandbox, method, form.text("customer")),
        off_session=form.flag("off_session"),
        refuse_action=form.flag("error_on_requires_action"),
        return_url=url,
        use_stripe_sdk=form.flag("use_stripe_sdk"),
        expand=expand.wanted(form, "payment_intent"),
    )


def check_create(params: Params, *, confirm: bool) -> None:
    """Rules of a create that join several parameters, or a parameter and the card that will be charged."""
    for names in EXCLUSIVE:
        if names[0] in params and names[1] in params:
            raise only_one_of(*names)
    if not confirm:
        for name in WITH_CONFIRM_ONLY:
            if name in params:
                raise invalid(f"`{name}` may only be used with `confirm=true`.", param=name)
    if "statement_descriptor" in params:
        raise invalid(_STATEMENT, param="statement_descriptor")
    customer = params.get("customer")
    if customer is not None and not customer.startswith("cus_"):
        raise no_such("customer", customer, "customer", status=400)


def check_capture(params: Params) -> None:
    """Rules of a capture: a card's statement takes a suffix only."""
    if "statement_descriptor" in params:
        raise invalid(_STATEMENT, param="statement_descriptor")


def check_return_url(sandbox: Sandbox, intent: PaymentIntent, given: Confirmation) -> None:
    """Payment methods that may redirect need somewhere to come back to, at whatever step the intent is confirmed."""
    if given.return_url is not None:
        return
    automatic = intent.automatic_payment_methods or {}
    redirects = bool(automatic.get("enabled")) and automatic["allow_redirects"] == "always"
    if "allowed_types_need_return_url" in sandbox.strict:
        redirects |= intent.allowed_payment_method_types is not None
    if redirects:
        raise invalid(_RETURN_URL, code="parameter_missing", param="return_url")


def apply(intent: PaymentIntent, params: Params) -> None:
    """Set what the parameters say of the intent itself. What a confirm sets stays set, as at Stripe."""
    for name in params.keys() & _SETTERS.keys():
        _SETTERS[name](intent, params[name])


def _check_types(form: Form) -> None:
    """Only cards can pay here; a list that leaves them out is right at Stripe."""
    allowed, excluded = form.texts("allowed_payment_method_types"), form.texts("excluded_payment_method_types")
    if (allowed and "card" not in allowed) or "card" in excluded:
        raise not_done("payment methods other than cards")


def _method(sandbox: Sandbox, method: str, customer: str | None) -> Method:
    if method in CARDS:
        return Method(method, None)
    row = sandbox.store.row("SELECT card, intent FROM payment_methods WHERE id = ?", (method,))
    if row is None:
        raise no_such("PaymentMethod", method, "payment_method", status=400)
    if "payment_method_reuse" in sandbox.strict and not _is_reusable(sandbox, row[1], customer):
        raise invalid(_USED, param="payment_method")
    return Method(row[0], method)


def _is_reusable(sandbox: Sandbox, intent_id: str, customer: str | None) -> bool:
    """Never used to pay, or saved for this customer by the payment that used it first."""
    row = sandbox.store.row("SELECT body FROM payment_intents WHERE id = ?", (intent_id,))
    if row is None:
        return True
    first = decode_intent(row[0])
    used = first.status not in ("requires_confirmation", "canceled")
    saved = first.status == "succeeded" and first.setup_future_usage is not None and first.customer is not None
    return not used or (saved and first.customer == customer)


def _shipping(intent: PaymentIntent, given: Any) -> None:
    if not given:
        intent.shipping = None
        return
    address = {name: given["address"].get(name) for name in _ADDRESS}
    names = ("carrier", "name", "phone", "tracking_number")
    intent.shipping = {"address": address} | {name: given.get(name) for name in names}


def _options(intent: PaymentIntent, given: Any) -> None:
    """Of the options only those of cards are done; an empty value brings back what a new intent has."""
    fresh, given_card = _FRESH.payment_method_options.get("card", {}), given.get("card", {})
    if not given_card:
        intent.payment_method_options = {**intent.payment_method_options, "card": fresh}
        return
    card = {**intent.payment_method_options.get("card", {})}
    for name, value in given_card.items():
        if value:
            card[name] = _typed(name, value)
        elif name in fresh:
            card[name] = fresh[name]
        else:
            card.pop(name, None)
    intent.payment_method_options = {**intent.payment_method_options, "card": card}


def _amount_details(intent: PaymentIntent, given: Any) -> None:
    if not given:
        intent.amount_details = _FRESH.amount_details
        return
    details: Json = dict(intent.amount_details)
    for name, value in given.items():
        inner = {key: _typed(key, one) for key, one in value.items()} if isinstance(value, dict) else None
        inner = _SHIPPED | inner if inner is not None and name == "shipping" else inner
        details[name] = _typed(name, value) if inner is None else inner
    intent.amount_details = details


def _payment_details(intent: PaymentIntent, given: Any) -> None:
    if not given:
        intent.payment_details = msgspec.UNSET
        return
    before = intent.payment_details
    known = before if isinstance(before, dict) else {"customer_reference": None, "order_reference": None}
    intent.payment_details = known | {name: value or None for name, value in given.items()}


def _typed(name: str, value: str) -> Any:
    """Text as the object shows it: amounts as numbers, flags as booleans, nothing as null."""
    if name in _NUMBERS and value:
        return int(value)
    return value == "true" if name == "require_cvc_recollection" else value or None


def _plain(name: str) -> Callable[[PaymentIntent, Any], None]:
    return lambda intent, value: setattr(intent, name, value or None)


_SETTERS: dict[str, Callable[[PaymentIntent, Any], None]] = {
    **{
        name: _plain(name)
        for name in (
            "allowed_payment_method_types",
            "capture_method",
            "excluded_payment_method_types",
            "receipt_email",
            "setup_future_usage",
        )
    },
    "amount_details": _amount_details,
    "payment_details": _payment_details,
    "payment_method_options": _options,
    "shipping": _shipping,
}
_RETURN_URL = (
    "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because some of "
    "these payment methods might redirect your customer off of your page, you must provide a `return_url`."
)
# Stripe's own sentence, as a bug report of a form builder shows it (fluentform, issue 384).
_STATEMENT = (
    "The statement_descriptor parameter is not supported for the payment_method_type `card`. To continue supporting "
    "payment_method_type `card`, please pass in `statement_descriptor_suffix` or remove the `statement_descriptor` "
    "parameter altogether. Please see https://support.stripe.com/questions/"
    "use-of-the-statement-descriptor-parameter-on-paymentintents-for-card-charges for additional details."
)
_USED = (
    "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, shared with a "
    "connected account without Customer attachment, or was detached from a Customer. It may not be used again. To use "
    "a PaymentMethod multiple times, you must attach it to a Customer first."
)


def no_payment_method() -> ApiError:
    """400: nothing to charge."""
    message = (
        "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the "
        "PaymentIntent with a payment method and then confirm it again, or confirm it again directly with one."
    )
    return invalid(message, code="payment_intent_unexpected_state")
