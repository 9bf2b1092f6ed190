"""What happens when a card is asked for money: it pays, it declines, its bank wants the customer, or it takes a while.

Each outcome writes the PaymentIntent, its charge if there is one, and the events; a success is the only place that
writes to the witness table `movements`.
"""

import msgspec

from sandbox import balance, events, schedule
from sandbox.cards import CARDS, MESSAGES, Card
from sandbox.errors import DOC_URL, ApiError
from sandbox.ids import new_id
from sandbox.objects import Charge, Json, PaymentIntent, decode_intent, encode, nobody
from sandbox.state import Origin, Sandbox

# How long `pm_sandbox_slow` stays in `processing`.
SLOW_S = 1.0


def attempt(
    sandbox: Sandbox,
    intent: PaymentIntent,
    origin: Origin,
    *,
    off_session: bool = False,
    refuse_action: bool = False,
    return_url: str | None = None,
) -> None:
    """Charge the intent's payment method. Raises the 402 of a decline, after writing it down."""
    card, at = card_of(sandbox, intent), sandbox.clock.now()
    asks = card.asks(off_session=off_session)
    if sandbox.strict:
        asks = _asks_strictly(sandbox, intent, off_session=off_session, otherwise=asks)
    if asks and off_session:
        raise decline(sandbox, intent, origin, at, "authentication_required", decline_code="authentication_required")
    if asks and refuse_action:
        # Source: the 402 on docs.stripe.com/payments/without-card-authentication.
        not_handled = "authentication_not_handled"
        raise decline(sandbox, intent, origin, at, "authentication_required", decline_code=not_handled, charged=False)
    if asks:
        _ask_customer(sandbox, intent, origin, at, return_url)
    elif card.ends != "now":
        _take_a_while(sandbox, intent, origin, at, card)
    else:
        finish(sandbox, intent, card, origin, at)


def finish(sandbox: Sandbox, intent: PaymentIntent, card: Card, origin: Origin, at: int) -> None:
    """The card network's answer: money, or the 402 of the card's own decline."""
    if card.code is not None:
        raise decline(sandbox, intent, origin, at, card.code, decline_code=card.decline_code)
    _succeed(sandbox, intent, card, origin, at)


def decline(
    sandbox: Sandbox,
    intent: PaymentIntent,
    origin: Origin,
    at: int,
    code: str,
    *,
    decline_code: str | None = None,
    charged: bool = True,
) -> ApiError:
    """Write a decline down and return its 402. `charged`: the network was asked, so a failed charge exists."""
    card = card_of(sandbox, intent)
    message = MESSAGES.get(decline_code or code, MESSAGES["authentication_required"])
    error: Json = {"code": code, "doc_url": DOC_URL + code.replace("_", "-"), "message": message,
                   "payment_method": _method_object(intent, card, at), "type": "card_error"}  # fmt: skip
    if decline_code is not None:
        error["decline_code"] = decline_code
    if charged:
        charge = _charge(intent, card, at, status="failed", failure=(code, message))
        _write_charge(sandbox, charge, "charge.failed", origin)
        intent.latest_charge = error["charge"] = charge.id
    intent.status, intent.last_payment_error = "requires_payment_method", error
    intent.payment_method = intent.next_action = intent.processing = None
    body = save(sandbox, intent, "payment_intent.payment_failed", origin, at)
    shown = {name: error[name] for name in ("decline_code", "charge", "payment_method") if name in error}
    extra = shown | {"payment_intent": msgspec.Raw(body)}
    return ApiError(402, "card_error", message, code=code, extra=extra, should_retry=False)


def save(sandbox: Sandbox, intent: PaymentIntent, event: str, origin: Origin, at: int) -> bytes:
    """Write the intent as it is now and the event that says so. Returns its JSON."""
    body = _write_intent(sandbox, intent)
    events.record(sandbox.store, event, body, origin, at)
    return body


def must_confirm_again(sandbox: Sandbox, intent: PaymentIntent) -> bool:
    """Whether 3-D Secure leads to `requires_confirmation` and not to the charge itself."""
    manual = "manual_confirmation" in sandbox.strict and intent.confirmation_method == "manual"
    return manual and intent.status == "requires_action"


def authenticate(sandbox: Sandbox, intent: PaymentIntent) -> None:
    """The owner has proved to be there; the next confirm of the server charges without asking."""
    intent.status, intent.next_action = "requires_confirmation", None
    sandbox.store.write("UPDATE payment_methods SET authenticated = 1 WHERE id = ?", (intent.payment_method,))
    _write_intent(sandbox, intent)


def card_of(sandbox: Sandbox, intent: PaymentIntent) -> Card:
    """The card behind the intent's payment method."""
    row = sandbox.store.row("SELECT card FROM payment_methods WHERE id = ?", (intent.payment_method,))
    return CARDS[row[0]]


def _asks_strictly(sandbox: Sandbox, intent: PaymentIntent, *, off_session: bool, otherwise: bool) -> bool:
    """The two rules about authentication that are off unless asked for (see `strict.py`)."""
    card, first, authenticated = sandbox.store.row(
        "SELECT card, intent, authenticated FROM payment_methods WHERE id = ?", (intent.payment_method,)
    )
    if "manual_confirmation" in sandbox.strict and authenticated:
        return False
    if "off_session_needs_setup" in sandbox.strict and off_session and card == "pm_card_authenticationRequiredOnSetup":
        return first == intent.id or not _was_set_up(sandbox, first)
    return otherwise


def _was_set_up(sandbox: Sandbox, intent_id: str) -> bool:
    (body,) = sandbox.store.row("SELECT body FROM payment_intents WHERE id = ?", (intent_id,))
    first = decode_intent(body)
    return first.status == "succeeded" and first.setup_future_usage == "off_session"


def _write_intent(sandbox: Sandbox, intent: PaymentIntent) -> bytes:
    body = encode(intent)
    sandbox.store.write(
        "INSERT INTO payment_intents (id, created, customer, body) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET body = excluded.body",
        (intent.id, intent.created, intent.customer, body),
    )
    return body


def _succeed(sandbox: Sandbox, intent: PaymentIntent, card: Card, origin: Origin, at: int) -> None:
    charge = _charge(intent, card, at, status="succeeded", failure=None)
    if intent.capture_method == "automatic":
        charge.balance_transaction = balance.book(sandbox.store, charge, at)
    else:
        schedule.later(sandbox, sandbox.clock.exact() + sandbox.fee_delay_s, "fee", charge.id)
    _write_charge(sandbox, charge, "charge.succeeded", origin)
    _witness(sandbox, charge)
    intent.status, intent.amount_received, intent.latest_charge = "succeeded", intent.amount, charge.id
    intent.next_action = intent.processing = intent.last_payment_error = None
    save(sandbox, intent, "payment_intent.succeeded", origin, at)


def _witness(sandbox: Sandbox, charge: Charge) -> None:
    given = charge.metadata.get
    sandbox.store.write(
        "INSERT INTO movements (charge, payment_intent, amount, currency, eo_account, eo_order, eo_attempt)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (charge.id, charge.payment_intent, charge.amount, charge.currency,
         given("eo_account"), given("eo_order"), given("eo_attempt")),
    )  # fmt: skip


def _ask_customer(sandbox: Sandbox, intent: PaymentIntent, origin: Origin, at: int, return_url: str | None) -> None:
    url = f"https://hooks.stripe.com/3d_secure_2/hosted?payment_intent={intent.id}"
    if return_url is None:
        sdk = {"type": "three_d_secure_redirect", "stripe_js": url, "source": new_id("src_")}
        intent.next_action = {"type": "use_stripe_sdk", "use_stripe_sdk": sdk}
    else:
        redirect = {"return_url": return_url, "url": url}
        intent.next_action = {"redirect_to_url": redirect, "type": "redirect_to_url"}
    intent.status = "requires_action"
    save(sandbox, intent, "payment_intent.requires_action", origin, at)


def _take_a_while(sandbox: Sandbox, intent: PaymentIntent, origin: Origin, at: int, card: Card) -> None:
    intent.status, intent.processing = "processing", {"type": "card", "card": {}}
    if card.ends == "later":
        schedule.later(sandbox, sandbox.clock.exact() + SLOW_S, "finish", intent.id)
    save(sandbox, intent, "payment_intent.processing", origin, at)


def _charge(intent: PaymentIntent, card: Card, at: int, *, status: str, failure: tuple[str, str] | None) -> Charge:
    paid = status == "succeeded"
    outcome = card.outcome()
    if failure and card.code is None:  # a good card that needed its owner
        outcome |= {"type": "issuer_declined", "reason": failure[0], "network_status": "declined_by_network"}
    return Charge(
        id=new_id("ch_"),
        amount=intent.amount,
        amount_captured=intent.amount if paid else 0,
        captured=paid,
        created=at,
        currency=intent.currency,
        customer=intent.customer,
        description=intent.description,
        failure_code=failure[0] if failure else None,
        failure_message=failure[1] if failure else None,
        metadata=intent.metadata,
        outcome=outcome,
        paid=paid,
        payment_intent=intent.id,
        payment_method=intent.payment_method or "",
        payment_method_details=card.details(),
        receipt_email=intent.receipt_email,
        shipping=intent.shipping,
        status=status,
        statement_descriptor=intent.statement_descriptor,
        statement_descriptor_suffix=intent.statement_descriptor_suffix,
    )


def _write_charge(sandbox: Sandbox, charge: Charge, event: str, origin: Origin) -> None:
    body = encode(charge)
    sandbox.store.write(
        "INSERT INTO charges (id, created, customer, payment_intent, body) VALUES (?, ?, ?, ?, ?)",
        (charge.id, charge.created, charge.customer, charge.payment_intent, body),
    )
    events.record(sandbox.store, event, body, origin, charge.created)


def _method_object(intent: PaymentIntent, card: Card, at: int) -> Json:
    details = card.details()
    return {
        "id": intent.payment_method,
        "object": "payment_method",
        "billing_details": nobody(),
        "card": details["card"],
        "created": at,
        "customer": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
    }
