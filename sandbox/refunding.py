"""What becomes of a refund: it takes money from the balance, succeeds, and may fail long after that.

    pending ─────────┬──▶ succeeded ──▶ failed         pending: `processing`, or the balance is too short for it
    requires_action ─┴──▶ failed · canceled

A failed or canceled refund leaves its charge refundable again. Source of the states: the SDK's types and Stripe's page
on refunds. No source says what happens to `amount_refunded` of the charge then; here it goes back.
"""

from typing import Literal, NamedTuple

import msgspec

from sandbox import balance, events, fraud_warnings, payments, schedule, settlement, witness
from sandbox.cards import CARDS, Card
from sandbox.errors import invalid, no_such
from sandbox.ids import new_id
from sandbox.objects import Charge, Json, Refund, decode_refund, encode
from sandbox.settlement import Settled
from sandbox.state import BY_ITSELF, Origin, Sandbox

# How long after its creation a refund of a card that `fails`, or that pays back `later`, comes to its end.
ENDS_AFTER_S = 60
# What the customer is given to act.
ACTION_S = 30 * 86_400
OPEN = ("pending", "requires_action")
Status = Literal["succeeded", "failed", "canceled"]
FailureReason = Literal[
    "charge_for_pending_refund_disputed",
    "declined",
    "expired_or_canceled_card",
    "insufficient_funds",
    "lost_or_stolen_card",
    "merchant_request",
    "unknown",
]


class Ending(NamedTuple):
    """How a refund ends; a reason only where it failed or was canceled."""

    status: Status
    reason: FailureReason | None = None


# What the cards of Stripe's testing page do by themselves.
_BY_CARD = {"later": Ending("succeeded"), "fails": Ending("failed", "expired_or_canceled_card")}


def load(sandbox: Sandbox, refund_id: str) -> Refund:
    """The refund, or Stripe's 404."""
    row = sandbox.store.row("SELECT body FROM refunds WHERE id = ?", (refund_id,))
    if row is None:
        raise no_such("refund", refund_id, "id")
    return decode_refund(row[0])


def begin(
    sandbox: Sandbox,
    charge: Charge,
    amount: int,
    reason: str | None,
    metadata: dict[str, str],
    origin: Origin,
) -> Refund:
    """Make a refund of what is left on the charge; the caller has seen that it is enough."""
    at, card = sandbox.clock.now(), _card(sandbox, charge)
    refund, settled = _new(charge, amount, reason, metadata, at), settlement.of_charge(sandbox.store, charge)
    if card.refund == "asks":
        refund.status, refund.next_action = "requires_action", _ask(charge, at)
    elif _is_funded(sandbox, refund, settled):
        _proceed(sandbox, refund, charge, settled, at)
    else:
        refund.pending_reason = "insufficient_funds"
    _insert(sandbox, refund)
    events.record(sandbox.store, "refund.created", encode(refund), origin, at)
    _add_refunded(charge, amount)
    payments.change_charge(sandbox, charge, "charge.refunded", origin, at)
    if charge.refunded:
        fraud_warnings.nothing_left_to_do(sandbox, charge.id, origin, at)
    return refund


def end(sandbox: Sandbox, refund: Refund, ending: Ending, origin: Origin, at: int) -> Refund:
    """End the refund so, if it can end so."""
    may_end = refund.status in OPEN or (refund.status, ending.status) == ("succeeded", "failed")
    if not may_end:
        raise invalid(f"A refund with a status of {refund.status} cannot become {ending.status}.")
    charge = payments.load_charge(sandbox, refund.charge)
    given = refund.status == "succeeded"
    refund.status, refund.next_action, refund.pending_reason = ending.status, msgspec.UNSET, msgspec.UNSET
    if ending.status == "succeeded":
        if refund.balance_transaction is None:
            settled = settlement.of_charge(sandbox.store, charge)
            refund.balance_transaction = balance.book_refund(sandbox.store, refund, settled, charge.description, at)
            _spend(sandbox, settled, refund.amount)
        _note(sandbox, "refunded", refund, charge)
    else:
        _take_back(sandbox, refund, charge, ending, given=given, at=at)
    save(sandbox, refund, "refund.updated", origin, at)
    if ending.status == "failed":
        events.record(sandbox.store, "refund.failed", encode(refund), origin, at)
    if ending.status != "succeeded":
        _add_refunded(charge, -refund.amount)
        payments.change_charge(sandbox, charge, "charge.updated", origin, at)
    return refund


def end_by_itself(sandbox: Sandbox, refund_id: str, _payload: bytes, at: int) -> None:
    """Scheduled: the refund ends as its card says, unless the control API was faster."""
    refund = load(sandbox, refund_id)
    ending = _BY_CARD[_card(sandbox, payments.load_charge(sandbox, refund.charge)).refund]
    if refund.status == ("pending" if ending.status == "succeeded" else "succeeded"):
        end(sandbox, refund, ending, BY_ITSELF, at)


def fund(sandbox: Sandbox, currency: str, available: int | None) -> int:
    """Set what is left for refunds (None: always enough) and pay what waited for it. Returns how many were paid."""
    sandbox.store.write("DELETE FROM funds WHERE currency = ?", (currency,))
    if available is not None:
        sandbox.store.write("INSERT INTO funds VALUES (?, ?)", (currency, available))
    waiting = sandbox.store.rows("SELECT body FROM refunds WHERE waiting = ? ORDER BY seq", (currency,))
    at = sandbox.clock.now()
    for number, (body,) in enumerate(waiting):
        refund = decode_refund(body)
        charge = payments.load_charge(sandbox, refund.charge)
        settled = settlement.of_charge(sandbox.store, charge)
        if not _is_funded(sandbox, refund, settled):
            return number
        refund.pending_reason = msgspec.UNSET
        _proceed(sandbox, refund, charge, settled, at)
        save(sandbox, refund, "refund.updated", BY_ITSELF, at)
    return len(waiting)


def save(sandbox: Sandbox, refund: Refund, event: str, origin: Origin, at: int) -> None:
    """Write the refund as it is now, and the event that says so with what was there before."""
    (before,) = sandbox.store.row("SELECT body FROM refunds WHERE id = ?", (refund.id,))
    body = encode(refund)
    values = (body, _waits_for(sandbox, refund), refund.id)
    sandbox.store.write("UPDATE refunds SET body = ?, waiting = ? WHERE id = ?", values)
    events.record(sandbox.store, event, body, origin, at, events.changed(before, body))


def fail_pending(sandbox: Sandbox, charge_id: str, at: int) -> None:
    """What is still pending when the bank takes the money back fails: nobody is paid twice."""
    for (body,) in sandbox.store.rows("SELECT body FROM refunds WHERE charge = ?", (charge_id,)):
        refund = decode_refund(body)
        if refund.status in OPEN:
            end(sandbox, refund, Ending("failed", "charge_for_pending_refund_disputed"), BY_ITSELF, at)


def _proceed(sandbox: Sandbox, refund: Refund, charge: Charge, settled: Settled, at: int) -> None:
    """The balance pays: the refund succeeds at once, or is on its way."""
    card = _card(sandbox, charge)
    refund.balance_transaction = balance.book_refund(sandbox.store, refund, settled, charge.description, at)
    if card.refund == "later":
        refund.status, refund.pending_reason = "pending", "processing"
    else:
        refund.status = "succeeded"
        _note(sandbox, "refunded", refund, charge)
    if card.refund in _BY_CARD:
        schedule.later(sandbox, sandbox.clock.exact() + ENDS_AFTER_S, "refund", refund.id)


def _take_back(sandbox: Sandbox, refund: Refund, charge: Charge, ending: Ending, *, given: bool, at: int) -> None:
    refund.failure_reason = ending.reason or ("merchant_request" if ending.status == "canceled" else "unknown")
    if refund.balance_transaction is not None:
        settled = settlement.of_charge(sandbox.store, charge)
        back = balance.book_failure(sandbox.store, refund, settled, charge.description, at)
        refund.failure_balance_transaction = back
        _spend(sandbox, settled, -refund.amount)
    if given:
        _note(sandbox, "returned", refund, charge)


def _is_funded(sandbox: Sandbox, refund: Refund, settled: Settled) -> bool:
    """Take the amount from what is left for refunds; False where it does not reach."""
    row = sandbox.store.row("SELECT available FROM funds WHERE currency = ?", (settled.currency,))
    if row is not None and row[0] < settled.convert(refund.amount):
        return False
    _spend(sandbox, settled, refund.amount)
    return True


def _spend(sandbox: Sandbox, settled: Settled, amount: int) -> None:
    values = (settled.convert(amount), settled.currency)
    sandbox.store.write("UPDATE funds SET available = available - ? WHERE currency = ?", values)


def _add_refunded(charge: Charge, amount: int) -> None:
    charge.amount_refunded += amount
    charge.refunded = charge.amount_refunded == charge.amount_captured


def _note(sandbox: Sandbox, kind: Literal["refunded", "returned"], refund: Refund, charge: Charge) -> None:
    witness.noted(sandbox.store, kind, refund.id, refund.amount, refund.currency, charge.metadata)


def _waits_for(sandbox: Sandbox, refund: Refund) -> str | None:
    """The currency of settlement of which there is too little for this refund."""
    if refund.pending_reason != "insufficient_funds":
        return None
    return settlement.of_charge(sandbox.store, payments.load_charge(sandbox, refund.charge)).currency


def _card(sandbox: Sandbox, charge: Charge) -> Card:
    (card,) = sandbox.store.row("SELECT card FROM payment_methods WHERE id = ?", (charge.payment_method,))
    return CARDS[card]


def _new(charge: Charge, amount: int, reason: str | None, metadata: dict[str, str], at: int) -> Refund:
    card = {"reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund"}
    return Refund(
        id=new_id("re_3", 23),
        amount=amount,
        charge=charge.id,
        created=at,
        currency=charge.currency,
        customer=charge.customer,
        destination_details={"card": card, "type": "card"},
        metadata=metadata,
        payment_intent=charge.payment_intent,
        payment_method=charge.payment_method,
        reason=reason,
        status="pending",
    )


def _ask(charge: Charge, at: int) -> Json:
    """What the customer is asked to do: to follow an e-mail."""
    sent = {"email_sent_at": at, "email_sent_to": charge.receipt_email or "customer@example.com"}
    return {"display_details": {"email_sent": sent, "expires_at": at + ACTION_S}, "type": "display_details"}


def _insert(sandbox: Sandbox, refund: Refund) -> None:
    sandbox.store.write(
        "INSERT INTO refunds (id, created, charge, payment_intent, waiting, body) VALUES (?, ?, ?, ?, ?, ?)",
        (
            refund.id,
            refund.created,
            refund.charge,
            refund.payment_intent,
            _waits_for(sandbox, refund),
            encode(refund),
        ),
    )
