"""What happens when a card is asked for money: it pays, it declines, its bank wants the customer, or it takes a while.

Each outcome writes the PaymentIntent, its charge if there is one, the events, and what the witness must know.
"""

import msgspec

from sandbox import account, balance, card_details, declines, events, schedule, witness
from sandbox.cards import CARDS, Card
from sandbox.declines import Decline
from sandbox.errors import ApiError, invalid, no_such
from sandbox.ids import new_id
from sandbox.objects import Charge, PaymentIntent, decode_charge, decode_intent, encode
from sandbox.state import Origin, Sandbox

# How long `pm_sandbox_slow` stays in `processing`.
SLOW_S = 1.0
# When a test card's dispute or warning comes. Measured by others in Stripe's test mode: 0.4 to 0.6 s.
FOLLOWS_AFTER_S = 0.5
# How long a card holds money for a later capture. Source: Stripe's page on authorization and capture.
HELD_S = 7 * 86_400


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
        raise decline(sandbox, intent, origin, at, declines.AUTHENTICATION_REQUIRED)
    if asks and refuse_action:
        raise decline(sandbox, intent, origin, at, declines.AUTHENTICATION_NOT_HANDLED, charged=False)
    if asks:
        _ask_customer(sandbox, intent, origin, at, return_url)
    elif card.ends != "now":
        _take_a_while(sandbox, intent, origin, at, card)
    else:
        finish(sandbox, intent, card, origin, at)


def finish(
    sandbox: Sandbox,
    intent: PaymentIntent,
    card: Card,
    origin: Origin,
    at: int,
    *,
    authenticated: bool = False,
) -> None:
    """Write the card network's answer: a success, or the card's decline, whose 402 is raised."""
    if card.decline is not None:
        raise decline(sandbox, intent, origin, at, card.decline, authenticated=authenticated)
    _succeed(sandbox, intent, card, origin, at, authenticated=authenticated)


def decline(
    sandbox: Sandbox,
    intent: PaymentIntent,
    origin: Origin,
    at: int,
    why: Decline,
    *,
    charged: bool = True,
    authenticated: bool = False,
) -> ApiError:
    """Write a decline and return its 402. `charged`: the network was asked, so there is a failed charge."""
    card, charge = card_of(sandbox, intent), None
    if charged:
        charge = _charge(intent, card, at, why=why, authenticated=authenticated)
        _write_charge(sandbox, charge, "charge.failed", origin)
        intent.latest_charge = charge.id
    method = card_details.of_method(card, intent.payment_method, at)
    error = why.error(charge.id if charge else None, method)
    intent.status, intent.last_payment_error = "requires_payment_method", error
    intent.payment_method = intent.next_action = intent.processing = None
    body = save(sandbox, intent, "payment_intent.payment_failed", origin, at)
    extra = error | {"payment_intent": msgspec.Raw(body)}
    return ApiError(402, why.kind, why.message, code=why.code, extra=extra, should_retry=False)


def save(sandbox: Sandbox, intent: PaymentIntent, event: str, origin: Origin, at: int) -> bytes:
    """Write the intent as it is now and the event that says so. Returns its JSON."""
    body = _write_intent(sandbox, intent)
    events.record(sandbox.store, event, body, origin, at)
    return body


def load_charge(sandbox: Sandbox, charge_id: str) -> Charge:
    """The charge as it is now, or Stripe's 404."""
    row = sandbox.store.row("SELECT body FROM charges WHERE id = ?", (charge_id,))
    if row is None:
        raise no_such("charge", charge_id, "id")
    return decode_charge(row[0])


def mark_disputed(sandbox: Sandbox, charge_id: str) -> Charge:
    """The charge, marked for ever as one that was disputed; the events of the dispute tell it."""
    charge = load_charge(sandbox, charge_id)
    if not charge.captured:
        raise invalid(f"Charge {charge_id} was not captured, so it cannot be disputed.")
    charge.disputed = True
    sandbox.store.write("UPDATE charges SET body = ? WHERE id = ?", (encode(charge), charge_id))
    return charge


def let_follow(sandbox: Sandbox, card: Card, charge_id: str) -> None:
    """Plan what follows on money taken from some test cards: a dispute, or a warning of fraud."""
    if card.then:
        schedule.later(sandbox, sandbox.clock.exact() + FOLLOWS_AFTER_S, "follow", charge_id, card.then.encode())


def change_charge(sandbox: Sandbox, charge: Charge, event: str, origin: Origin, at: int) -> None:
    """Write the charge as it is now and the event that says so; an update also tells what was there before."""
    (before,) = sandbox.store.row("SELECT body FROM charges WHERE id = ?", (charge.id,))
    body = encode(charge)
    sandbox.store.write("UPDATE charges SET body = ? WHERE id = ?", (body, charge.id))
    previous = events.changed(before, body) if event.endswith(".updated") else None
    events.record(sandbox.store, event, body, origin, at, previous)


def must_confirm_again(sandbox: Sandbox, intent: PaymentIntent) -> bool:
    """Whether 3-D Secure leads to `requires_confirmation` and not to the charge itself."""
    manual = "manual_confirmation" in sandbox.strict and intent.confirmation_method == "manual"
    return manual and intent.status == "requires_action"


def authenticate(sandbox: Sandbox, intent: PaymentIntent) -> None:
    """Note that the card's owner has passed 3-D Secure; the next confirm of the server charges without it."""
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


def _succeed(
    sandbox: Sandbox, intent: PaymentIntent, card: Card, origin: Origin, at: int, *, authenticated: bool
) -> None:
    charge = _charge(intent, card, at, why=None, authenticated=authenticated)
    intent.latest_charge = charge.id
    intent.next_action = intent.processing = intent.last_payment_error = None
    if intent.capture_method == "manual":
        _hold(sandbox, intent, charge, origin)
        return
    if intent.capture_method == "automatic":
        charge.balance_transaction = balance.book(sandbox.store, charge, at)
    else:
        schedule.later(sandbox, sandbox.clock.exact() + sandbox.fee_delay_s, "fee", charge.id)
    _write_charge(sandbox, charge, "charge.succeeded", origin)
    witness.took(sandbox.store, charge)
    let_follow(sandbox, card, charge.id)
    intent.status, intent.amount_received = "succeeded", intent.amount
    save(sandbox, intent, "payment_intent.succeeded", origin, at)


def _hold(sandbox: Sandbox, intent: PaymentIntent, charge: Charge, origin: Origin) -> None:
    """The card is asked to hold the money; it is taken by a capture, or let go after seven days."""
    at = charge.created
    _write_charge(sandbox, charge, "charge.succeeded", origin)
    witness.noted(sandbox.store, "authorized", charge.id, charge.amount, charge.currency, charge.metadata)
    schedule.later(sandbox, at + HELD_S, "expire", intent.id)
    intent.status, intent.amount_capturable = "requires_capture", intent.amount
    save(sandbox, intent, "payment_intent.amount_capturable_updated", origin, at)


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


def _charge(intent: PaymentIntent, card: Card, at: int, *, why: Decline | None, authenticated: bool) -> Charge:
    """The charge of one attempt: declined when there is a `why`, paid without."""
    paid = why is None
    captured = paid and intent.capture_method != "manual"
    sent = why is None or not why.blocked
    details = card_details.of_charge(card, intent.amount, paid=paid, authenticated=authenticated, sent=sent)
    if paid and not captured:
        details["card"]["capture_before"] = at + HELD_S
    charge_id = new_id("ch_")
    return Charge(
        id=charge_id,
        amount=intent.amount,
        amount_captured=intent.amount if captured else 0,
        application_fee_amount=intent.application_fee_amount,
        calculated_statement_descriptor=account.on_the_statement(intent.statement_descriptor_suffix),
        captured=captured,
        created=at,
        currency=intent.currency,
        customer=intent.customer,
        description=intent.description,
        failure_code=why.code if why else None,
        failure_message=why.message if why else None,
        fraud_details={} if sent else {"stripe_report": "fraudulent"},
        metadata=intent.metadata,
        on_behalf_of=intent.on_behalf_of,
        outcome=msgspec.Raw(encode(card_details.outcome(card, why))),
        paid=paid,
        payment_intent=intent.id,
        payment_method=intent.payment_method or "",
        payment_method_details=msgspec.Raw(encode(details)),
        receipt_email=intent.receipt_email,
        receipt_url=f"https://pay.stripe.com/receipts/payment/{charge_id}" if paid else None,
        shipping=intent.shipping,
        status="succeeded" if paid else "failed",
        statement_descriptor=intent.statement_descriptor,
        statement_descriptor_suffix=intent.statement_descriptor_suffix,
        transfer_data=intent.transfer_data,
        transfer_group=intent.transfer_group,
    )


def _write_charge(sandbox: Sandbox, charge: Charge, event: str, origin: Origin) -> None:
    body = encode(charge)
    sandbox.store.write(
        "INSERT INTO charges (id, created, customer, payment_intent, body) VALUES (?, ?, ?, ?, ?)",
        (charge.id, charge.created, charge.customer, charge.payment_intent, body),
    )
    events.record(sandbox.store, event, body, origin, charge.created)
