"""PaymentIntents: create, confirm, cancel, and the ends that come from outside (3-D Secure, slow networks).

    requires_payment_method ──▶ requires_confirmation ──▶ requires_action ──▶ processing ──▶ succeeded
            ▲  ▲────────────── decline ──────────┴──────────────┴───────────────┘
            └─ a new payment method may be confirmed; `canceled` is reached from the first three

Source: Stripe's page on the PaymentIntent lifecycle.
"""

from typing import NamedTuple

import msgspec

from sandbox import events, expand, payments
from sandbox.cards import CARDS
from sandbox.currencies import check_amount
from sandbox.errors import ApiError, invalid, missing_param, no_such
from sandbox.ids import new_id, noise
from sandbox.objects import Json, PaymentIntent, decode_intent, encode
from sandbox.params import Form
from sandbox.state import BY_ITSELF, Call, Execution, Sandbox
from sandbox.words import words

CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
CANCELABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
CANCEL_REASONS = ("duplicate", "fraudulent", "requested_by_customer", "abandoned")
USAGES = ("off_session", "on_session")
# `manual` is a door left shut: nothing here captures later.
CAPTURE_METHODS = ("automatic_async", "automatic")

CONFIRM_PARAMS = words(
    """capture_method error_on_requires_action expand off_session payment_method payment_method_types receipt_email
    return_url setup_future_usage use_stripe_sdk"""
)
CREATE_PARAMS = CONFIRM_PARAMS | words(
    """amount automatic_payment_methods confirm confirmation_method currency customer description metadata
    statement_descriptor statement_descriptor_suffix"""
)
CANCEL_PARAMS = words("cancellation_reason expand")


class Confirmation(NamedTuple):
    """What a confirm (alone or inside a create) says about the card and the customer's presence."""

    card: str | None
    off_session: bool
    refuse_action: bool
    return_url: str | None
    expand: list[str]


def create(sandbox: Sandbox, call: Call) -> Execution:
    """`POST /v1/payment_intents`."""
    form = Form(call.params, CREATE_PARAMS)
    amount = form.integer("amount", smallest=1)
    if amount is None:
        raise missing_param("amount")
    currency = form.currency()
    check_amount(amount, currency)
    confirmation = _confirmation(sandbox, form)
    confirm = form.flag("confirm")
    intent = _new_intent(form, amount, currency)
    _check_create(form, intent, confirmation, confirm=confirm)
    return lambda: _create(sandbox, call, intent, confirmation, confirm=confirm)


def confirm(sandbox: Sandbox, call: Call) -> Execution:
    """`POST /v1/payment_intents/:id/confirm`."""
    confirmation = _confirmation(sandbox, Form(call.params, CONFIRM_PARAMS))
    load(sandbox, call.object_id)
    return lambda: _confirm(sandbox, call, confirmation)


def cancel(sandbox: Sandbox, call: Call) -> Execution:
    """`POST /v1/payment_intents/:id/cancel`."""
    form = Form(call.params, CANCEL_PARAMS)
    reason = form.choice("cancellation_reason", CANCEL_REASONS)
    paths = expand.wanted(form, "payment_intent")
    load(sandbox, call.object_id)
    return lambda: _cancel(sandbox, call, reason, paths)


def complete(sandbox: Sandbox, intent_id: str, *, succeed: bool) -> PaymentIntent:
    """The customer or the network ends a pending payment (control API). Returns the intent afterwards."""
    intent, at = load(sandbox, intent_id), sandbox.clock.now()
    if intent.status not in ("requires_action", "processing"):
        raise _unexpected_state(intent, "complete", ("requires_action", "processing"))
    try:
        if succeed:
            payments.finish(sandbox, intent, payments.card_of(sandbox, intent), BY_ITSELF, at)
        elif intent.status == "processing":
            payments.decline(sandbox, intent, BY_ITSELF, at, "card_declined", decline_code="generic_decline")
        else:
            code = "payment_intent_authentication_failure"
            payments.decline(sandbox, intent, BY_ITSELF, at, code, charged=False)
    except ApiError:
        pass  # the card declined after all: that is written down, and nobody waits for a 402
    return intent


def finish_slow(sandbox: Sandbox, intent_id: str, _payload: bytes, _at: int) -> None:
    """Scheduled: a slow payment ends by itself, unless the control API was faster."""
    if load(sandbox, intent_id).status == "processing":
        complete(sandbox, intent_id, succeed=True)


def load(sandbox: Sandbox, intent_id: str) -> PaymentIntent:
    """The intent, or Stripe's 404."""
    row = sandbox.store.row("SELECT body FROM payment_intents WHERE id = ?", (intent_id,))
    if row is None:
        raise no_such("payment_intent", intent_id, "intent")
    return decode_intent(row[0])


def _create(sandbox: Sandbox, call: Call, intent: PaymentIntent, confirmation: Confirmation, *, confirm: bool) -> bytes:
    intent.created = sandbox.clock.now()
    if confirmation.card is not None:
        _attach(sandbox, intent, confirmation.card)
        intent.status = "requires_confirmation"
    if not confirm:
        body = payments.save(sandbox, intent, "payment_intent.created", call.origin, intent.created)
    else:
        events.record(sandbox.store, "payment_intent.created", encode(intent), call.origin, intent.created)
        body = _attempt(sandbox, call, intent, confirmation)
    return expand.apply(sandbox, body, confirmation.expand)


def _confirm(sandbox: Sandbox, call: Call, confirmation: Confirmation) -> bytes:
    intent = load(sandbox, call.object_id)
    if intent.status not in CONFIRMABLE:
        raise _unexpected_state(intent, "confirm", CONFIRMABLE)
    if confirmation.card is not None:
        _attach(sandbox, intent, confirmation.card)
    if intent.payment_method is None:
        raise _no_payment_method()
    body = _attempt(sandbox, call, intent, confirmation)
    return expand.apply(sandbox, body, confirmation.expand)


def _cancel(sandbox: Sandbox, call: Call, reason: str | None, paths: list[str]) -> bytes:
    intent = load(sandbox, call.object_id)
    if intent.status not in CANCELABLE:
        raise _unexpected_state(intent, "cancel", CANCELABLE)
    intent.status, intent.cancellation_reason = "canceled", reason
    intent.canceled_at = sandbox.clock.now()
    intent.next_action = None
    body = payments.save(sandbox, intent, "payment_intent.canceled", call.origin, intent.canceled_at)
    return expand.apply(sandbox, body, paths)


def _attempt(sandbox: Sandbox, call: Call, intent: PaymentIntent, confirmation: Confirmation) -> bytes:
    payments.attempt(
        sandbox,
        intent,
        call.origin,
        off_session=confirmation.off_session,
        refuse_action=confirmation.refuse_action,
        return_url=confirmation.return_url,
    )
    return encode(intent)


def _attach(sandbox: Sandbox, intent: PaymentIntent, card: str) -> None:
    """Each use of a token makes a payment method of its own, as at Stripe."""
    intent.payment_method = new_id("pm_1", 23)
    sandbox.store.write("INSERT INTO payment_methods VALUES (?, ?)", (intent.payment_method, card))


def _confirmation(sandbox: Sandbox, form: Form) -> Confirmation:
    method = form.text("payment_method")
    return Confirmation(
        card=None if method is None else _card(sandbox, method),
        off_session=form.flag("off_session"),
        refuse_action=form.flag("error_on_requires_action"),
        return_url=form.text("return_url"),
        expand=expand.wanted(form, "payment_intent"),
    )


def _card(sandbox: Sandbox, method: str) -> str:
    if method in CARDS:
        return method
    row = sandbox.store.row("SELECT card FROM payment_methods WHERE id = ?", (method,))
    if row is None:
        raise no_such("PaymentMethod", method, "payment_method", status=400)
    return str(row[0])


def _new_intent(form: Form, amount: int, currency: str) -> PaymentIntent:
    intent_id = new_id("pi_3", 23)
    types = form.texts("payment_method_types")
    return PaymentIntent(
        id=intent_id,
        amount=amount,
        automatic_payment_methods=_automatic(form, types),
        capture_method=form.choice("capture_method", CAPTURE_METHODS) or "automatic_async",
        client_secret=f"{intent_id}_secret_{noise(25)}",
        confirmation_method=form.choice("confirmation_method", ("automatic", "manual")) or "automatic",
        created=0,
        currency=currency,
        customer=form.text("customer"),
        description=form.text("description", longest=1000),
        metadata=form.metadata(),
        payment_method_types=types or ["card"],
        receipt_email=form.text("receipt_email"),
        setup_future_usage=form.choice("setup_future_usage", USAGES),
        statement_descriptor=form.text("statement_descriptor", longest=22),
        statement_descriptor_suffix=form.text("statement_descriptor_suffix", longest=22),
        status="requires_payment_method",
    )


def _automatic(form: Form, types: list[str]) -> Json | None:
    """Without `payment_method_types` Stripe turns automatic payment methods on, redirects included."""
    given = form.hash("automatic_payment_methods")
    if given is None:
        return None if types else {"allow_redirects": "always", "enabled": True}
    inner = Form(given, frozenset(("enabled", "allow_redirects")))
    allowed = inner.choice("allow_redirects", ("always", "never")) or "always"
    return {"allow_redirects": allowed, "enabled": inner.flag("enabled")}


def _check_create(form: Form, intent: PaymentIntent, confirmation: Confirmation, *, confirm: bool) -> None:
    """Rules that join several parameters. Form has the raw ones, `intent` what they became."""
    if intent.payment_method_types != ["card"]:
        message = f"The payment method type provided: {intent.payment_method_types[0][:20]} is invalid."
        raise invalid(message, code="payment_intent_invalid_parameter", param="payment_method_types")
    if form.flag("off_session") and not confirm:
        raise invalid("`off_session` may only be used with `confirm=true`.", param="off_session")
    if not confirm:
        return
    if confirmation.card is None:
        raise _no_payment_method()
    automatic = intent.automatic_payment_methods or {}
    if automatic.get("enabled") and automatic["allow_redirects"] == "always" and confirmation.return_url is None:
        message = (
            "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because some of "
            "these payment methods might redirect your customer off of your page, you must provide a `return_url`."
        )
        raise invalid(message, code="parameter_missing", param="return_url")


def _no_payment_method() -> ApiError:
    message = (
        "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the "
        "PaymentIntent with a payment method and then confirm it again, or confirm it again directly with one."
    )
    return invalid(message, code="payment_intent_unexpected_state")


def _unexpected_state(intent: PaymentIntent, verb: str, allowed: tuple[str, ...]) -> ApiError:
    message = (
        f"You cannot {verb} this PaymentIntent because it has a status of {intent.status}. "
        f"Only a PaymentIntent with one of the following statuses may be {verb}ed: {', '.join(allowed)}."
    )
    extra = {"payment_intent": msgspec.Raw(encode(intent))}
    return ApiError(400, "invalid_request_error", message, code="payment_intent_unexpected_state", extra=extra)
