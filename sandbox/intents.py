"""PaymentIntents: create, confirm, cancel, and the ends that come from outside (3-D Secure, slow networks).

    requires_payment_method ──▶ requires_confirmation ──▶ requires_action ──▶ processing ──▶ succeeded
            ▲  ▲────────────── decline ──────────┴──────────────┴───────────────┘
            └─ a new payment method may be confirmed; `canceled` is reached from the first three, and from
               requires_capture, which stands before succeeded where the capture is manual (`captures.py`)

Source: Stripe's page on the PaymentIntent lifecycle.
"""

import msgspec

from sandbox import account, declines, events, expand, lists, paying, payments, witness
from sandbox.currencies import check_amount
from sandbox.errors import ApiError, missing_param, no_such, not_done, unauthenticated
from sandbox.ids import new_id, noise
from sandbox.objects import Json, PaymentIntent, decode_intent, encode
from sandbox.params import Form
from sandbox.paying import Confirmation, Method
from sandbox.state import BY_ITSELF, Call, Execution, Origin, Sandbox

CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
CANCELABLE = ("requires_payment_method", "requires_capture", "requires_confirmation", "requires_action")
# What a publishable key may do, once it names the intent's secret.
BY_CLIENTS = ("GET payment_intents/:id", "POST payment_intents/:id/confirm")


def create(sandbox: Sandbox, call: Call) -> Execution:
    """`POST /v1/payment_intents`."""
    form = Form(call.params)
    amount = form.integer("amount", smallest=1)
    if amount is None:
        raise missing_param("amount")
    currency = form.currency()
    check_amount(amount, currency, converted="converted_minimum" in sandbox.strict)
    confirm = form.flag("confirm")
    paying.check_create(call.params, confirm=confirm)
    confirmation = paying.confirmation(sandbox, form)
    intent = _new_intent(form, amount, currency)
    paying.apply(intent, call.params)
    if confirm:
        if confirmation.method is None:
            raise paying.no_payment_method()
        paying.check_return_url(sandbox, intent, confirmation)
    return lambda: _create(sandbox, call, intent, confirmation, confirm=confirm)


def retrieve(sandbox: Sandbox, call: Call) -> Execution:
    """`GET /v1/payment_intents/:id`. A `client_secret`, if there is one, must be the intent's."""
    secret = call.params.get("client_secret")
    if secret is not None and load(sandbox, call.object_id).client_secret != secret:
        raise no_such("payment_intent", call.object_id, "intent")
    return lists.INTENTS.retrieve(sandbox, call)


def confirm(sandbox: Sandbox, call: Call) -> Execution:
    """`POST /v1/payment_intents/:id/confirm`."""
    intent = load(sandbox, call.object_id)
    # A confirm has no parameter `customer`; the intent's own is used.
    confirmation = paying.confirmation(sandbox, Form(call.params | {"customer": intent.customer}))
    if int(call.params.get("amount_to_confirm", intent.amount)) != intent.amount:
        raise not_done("`amount_to_confirm` other than `amount`", "amount_to_confirm")
    if intent.status in CONFIRMABLE:
        paying.check_return_url(sandbox, intent, confirmation)
    return lambda: _confirm(sandbox, call, confirmation)


def with_its_secret(sandbox: Sandbox, call: Call) -> Call:
    """The call of a publishable key, if it may do that: only with the intent's `client_secret`."""
    secret = call.params.get("client_secret")
    if call.endpoint not in BY_CLIENTS or secret != load(sandbox, call.object_id).client_secret:
        raise unauthenticated("This API call cannot be made with a publishable API key. Please use a secret API key.")
    return call._replace(params={name: value for name, value in call.params.items() if name != "client_secret"})


def cancel(sandbox: Sandbox, call: Call) -> Execution:
    """`POST /v1/payment_intents/:id/cancel`."""
    form = Form(call.params)
    reason = form.text("cancellation_reason")
    paths = expand.wanted(form, "payment_intent")
    load(sandbox, call.object_id)
    return lambda: _cancel(sandbox, call, reason, paths)


def complete(sandbox: Sandbox, intent_id: str, *, succeed: bool) -> PaymentIntent:
    """The customer or the network ends a pending payment (control API). Returns the intent afterwards."""
    intent, at = load(sandbox, intent_id), sandbox.clock.now()
    if intent.status not in ("requires_action", "processing"):
        raise _unexpected_state(intent, "complete", ("requires_action", "processing"))
    try:
        if succeed and payments.must_confirm_again(sandbox, intent):
            payments.authenticate(sandbox, intent)
        elif succeed:
            asked = intent.status == "requires_action"
            card = payments.card_of(sandbox, intent)
            payments.finish(sandbox, intent, card, BY_ITSELF, at, authenticated=asked)
        elif intent.status == "processing":
            payments.decline(sandbox, intent, BY_ITSELF, at, declines.GENERIC)
        else:
            payments.decline(sandbox, intent, BY_ITSELF, at, declines.AUTHENTICATION_FAILED, charged=False)
    except ApiError:
        pass  # the decline is stored; this call has no client that waits for its 402
    return intent


def finish_slow(sandbox: Sandbox, intent_id: str, _payload: bytes, _at: int) -> None:
    """Scheduled: a slow payment ends by itself, unless the control API was faster."""
    if load(sandbox, intent_id).status == "processing":
        complete(sandbox, intent_id, succeed=True)


def order_of(sandbox: Sandbox, object_id: str) -> str | None:
    """The order whose payment this object is, or belongs to: an intent, a charge or a refund."""
    table = {"ch": "charges", "re": "refunds"}.get(object_id.partition("_")[0])
    if table is not None:
        row = sandbox.store.row(f"SELECT payment_intent FROM {table} WHERE id = ?", (object_id,))
        object_id = row[0] if row else ""
    row = sandbox.store.row("SELECT body FROM payment_intents WHERE id = ?", (object_id,))
    return decode_intent(row[0]).metadata.get("eo_order") if row else None


def state_error(intent: PaymentIntent, message: str, code: str = "payment_intent_unexpected_state") -> ApiError:
    """400 that shows the intent, because of whose state it is."""
    extra = {"payment_intent": msgspec.Raw(encode(intent))}
    return ApiError(400, "invalid_request_error", message, code=code, extra=extra)


def end(sandbox: Sandbox, intent: PaymentIntent, reason: str | None, origin: Origin, at: int) -> bytes:
    """Cancel the intent, whoever wants it; a card that holds money for it is let go."""
    held, intent.amount_capturable = intent.amount_capturable, 0
    intent.status, intent.cancellation_reason, intent.canceled_at = "canceled", reason, at
    intent.next_action = None
    if held:
        charge = intent.latest_charge or ""
        witness.noted(sandbox.store, "released", charge, held, intent.currency, intent.metadata)
    witness.noted(sandbox.store, "canceled", intent.id, intent.amount, intent.currency, intent.metadata)
    return payments.save(sandbox, intent, "payment_intent.canceled", origin, at)


def load(sandbox: Sandbox, intent_id: str) -> PaymentIntent:
    """The intent, or Stripe's 404."""
    row = sandbox.store.row("SELECT body FROM payment_intents WHERE id = ?", (intent_id,))
    if row is None:
        raise no_such("payment_intent", intent_id, "intent")
    return decode_intent(row[0])


def _create(sandbox: Sandbox, call: Call, intent: PaymentIntent, confirmation: Confirmation, *, confirm: bool) -> bytes:
    intent.created = sandbox.clock.now()
    if (intent.automatic_payment_methods or {}).get("enabled"):
        intent.payment_method_configuration_details = account.method_configuration(sandbox)
    as_created = encode(intent)
    if confirmation.method is not None:
        _attach(sandbox, intent, confirmation.method)
        intent.status = "requires_confirmation"
    if not confirm:
        body = payments.save(sandbox, intent, "payment_intent.created", call.origin, intent.created)
    else:
        events.record(sandbox.store, "payment_intent.created", as_created, call.origin, intent.created)
        body = _attempt(sandbox, call, intent, confirmation)
    return expand.apply(sandbox, body, confirmation.expand)


def _confirm(sandbox: Sandbox, call: Call, confirmation: Confirmation) -> bytes:
    intent = load(sandbox, call.object_id)
    if intent.status == "succeeded":
        raise _paid_before(intent)
    if intent.status not in CONFIRMABLE:
        raise _unexpected_state(intent, "confirm", CONFIRMABLE)
    if confirmation.method is not None:
        _attach(sandbox, intent, confirmation.method)
    if intent.payment_method is None:
        raise paying.no_payment_method()
    paying.apply(intent, call.params)
    body = _attempt(sandbox, call, intent, confirmation)
    return expand.apply(sandbox, body, confirmation.expand)


def _cancel(sandbox: Sandbox, call: Call, reason: str | None, paths: list[str]) -> bytes:
    intent = load(sandbox, call.object_id)
    if intent.status not in CANCELABLE:
        raise _unexpected_state(intent, "cancel", CANCELABLE)
    body = end(sandbox, intent, reason, call.origin, sandbox.clock.now())
    return expand.apply(sandbox, body, paths)


def _attempt(sandbox: Sandbox, call: Call, intent: PaymentIntent, confirmation: Confirmation) -> bytes:
    payments.attempt(
        sandbox,
        intent,
        call.origin,
        off_session=confirmation.off_session,
        refuse_action=confirmation.refuse_action,
        return_url=None if confirmation.use_stripe_sdk else confirmation.return_url,
    )
    return encode(intent)


def _attach(sandbox: Sandbox, intent: PaymentIntent, method: Method) -> None:
    """Each use of a token makes a payment method of its own, as at Stripe."""
    intent.payment_method = method.id
    if method.id is None:
        intent.payment_method = new_id("pm_1", 23)
        sandbox.store.write(
            "INSERT INTO payment_methods (id, card, intent) VALUES (?, ?, ?)",
            (intent.payment_method, method.card, intent.id),
        )


def _new_intent(form: Form, amount: int, currency: str) -> PaymentIntent:
    intent_id = new_id("pi_3", 23)
    return PaymentIntent(
        id=intent_id,
        amount=amount,
        automatic_payment_methods=_automatic(form),
        client_secret=f"{intent_id}_secret_{noise(25)}",
        confirmation_method=form.text("confirmation_method") or "automatic",
        created=0,
        currency=currency,
        customer=form.text("customer"),
        description=form.text("description", longest=1000),
        metadata=form.metadata(),
        payment_method_types=["card"],
        statement_descriptor_suffix=form.text("statement_descriptor_suffix", longest=22),
        status="requires_payment_method",
    )


def _automatic(form: Form) -> Json | None:
    """Unless a list of types is given Stripe turns automatic payment methods on, redirects included."""
    given = form.hash("automatic_payment_methods")
    if given is None:
        on: Json = {"allow_redirects": "always", "enabled": True}
        return None if "allowed_payment_method_types" in form else on
    return {"allow_redirects": given.get("allow_redirects", "always"), "enabled": given["enabled"] == "true"}


def _unexpected_state(intent: PaymentIntent, verb: str, allowed: tuple[str, ...]) -> ApiError:
    message = (
        f"You cannot {verb} this PaymentIntent because it has a status of {intent.status}. "
        f"Only a PaymentIntent with one of the following statuses may be {verb}ed: {', '.join(allowed)}."
    )
    return state_error(intent, message)


def _paid_before(intent: PaymentIntent) -> ApiError:
    message = "You cannot confirm this PaymentIntent because it has already succeeded after being previously confirmed."
    return state_error(intent, message)
