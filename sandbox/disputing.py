"""What becomes of a dispute: the bank takes the payment back, and gives it back to whoever wins.

    warning_needs_response ─▶ warning_under_review ─▶ warning_closed     an inquiry: no money moves; it may become
              └───────────────────────┴─────────────────────┴──▶ needs_response
    needs_response ⇄ under_review ─▶ won · lost           the balance pays at the first, and gets it back when it is won
    won · lost ─▶ appeal_needs_response ─▶ appeal_under_review ─▶ won · lost
    prevented                                             it ended before it took any money

Source of the states: the SDK's types; of what moves money and of the order of the events: what others recorded in
Stripe's test mode in 2026. No source says what an appeal moves; here the balance pays whenever the bank holds the
payment, and has it whenever it does not.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from sandbox import balance, disputed_card, events, fraud_warnings, payments, refunding, settlement, witness
from sandbox.balance import Movement
from sandbox.errors import invalid, no_such
from sandbox.ids import new_id
from sandbox.objects import Charge, Dispute, decode_dispute, encode
from sandbox.state import BY_ITSELF, Origin, Sandbox
from sandbox.words import words

Status = Literal[
    "warning_needs_response",
    "warning_under_review",
    "warning_closed",
    "needs_response",
    "under_review",
    "won",
    "lost",
    "prevented",
    "appeal_needs_response",
    "appeal_under_review",
]
# How a dispute may begin, and the reasons that Stripe's types name.
Opened = Literal["needs_response", "warning_needs_response", "prevented"]
Reason = Literal[
    "bank_cannot_process",
    "check_returned",
    "credit_not_processed",
    "customer_initiated",
    "debit_not_authorized",
    "duplicate",
    "fraudulent",
    "general",
    "incorrect_account_details",
    "insufficient_funds",
    "noncompliant",
    "product_not_received",
    "product_unacceptable",
    "subscription_canceled",
    "unrecognized",
]
MAY_BECOME: Mapping[str, frozenset[str]] = {
    "warning_needs_response": words("warning_under_review warning_closed needs_response prevented"),
    "warning_under_review": words("warning_closed needs_response prevented"),
    "warning_closed": words("needs_response"),
    "needs_response": words("under_review won lost"),
    "under_review": words("needs_response won lost"),
    "won": words("lost appeal_needs_response"),
    "lost": words("won appeal_needs_response"),
    "appeal_needs_response": words("appeal_under_review won lost"),
    "appeal_under_review": words("appeal_needs_response won lost"),
    "prevented": frozenset(),
}
# The bank holds the payment, or has taken it for good: it is out of the balance.
HOLDS_MONEY = words("needs_response under_review appeal_needs_response appeal_under_review lost")
CLOSED = words("won lost warning_closed prevented")
# "charge.dispute.closed: … changes to lost, warning_closed, or won", Stripe's page on types of events says.
TOLD_AS_CLOSED = words("won lost warning_closed")
# What one dispute costs, in minor units of whatever currency the balance has: recorded as 15.00 USD.
FEE = 1500


class Opening(NamedTuple):
    """How a dispute begins. Without an amount it is about the whole charge; `apart`: the fee moves by itself."""

    status: Opened = "needs_response"
    reason: str = "fraudulent"
    amount: int | None = None
    fee: int = FEE
    apart: bool = False


def load(sandbox: Sandbox, dispute_id: str) -> Dispute:
    """The dispute, or Stripe's 404."""
    row = sandbox.store.row("SELECT body FROM disputes WHERE id = ?", (dispute_id,))
    if row is None:
        raise no_such("dispute", dispute_id, "dispute")
    return decode_dispute(row[0])


def begin(sandbox: Sandbox, charge_id: str, opening: Opening, origin: Origin, at: int) -> Dispute:
    """Open a dispute of a captured charge. An inquiry, and what was prevented, leave it refundable."""
    charge = payments.mark_disputed(sandbox, charge_id)
    dispute = _new(sandbox, charge, opening, at)
    _write(sandbox, dispute)
    witness.noted(sandbox.store, "opened", dispute.id, dispute.amount, dispute.currency, charge.metadata)
    fraud_warnings.nothing_left_to_do(sandbox, charge_id, origin, at)
    withdrawn = dispute.status in HOLDS_MONEY
    if withdrawn:
        _withdraw(sandbox, dispute, charge, opening, at)
    body = _save(sandbox, dispute)
    events.record(sandbox.store, "charge.dispute.created", body, origin, at)
    if withdrawn:
        events.record(sandbox.store, "charge.dispute.funds_withdrawn", body, origin, at)
        refunding.fail_pending(sandbox, charge_id, at)
    return dispute


def become(
    sandbox: Sandbox,
    dispute: Dispute,
    status: str,
    origin: Origin,
    at: int,
    *,
    opening: Opening | None = None,
    fee_returned: int = 0,
) -> Dispute:
    """Take the dispute to `status`, if it may go there, and the money with it. `opening` says how it is withdrawn."""
    if status not in MAY_BECOME[dispute.status]:
        raise invalid(f"A dispute with a status of {dispute.status} cannot become {status}.")
    charge, held = payments.load_charge(sandbox, dispute.charge), is_held(sandbox, dispute)
    dispute.status, dispute.is_charge_refundable = status, status not in HOLDS_MONEY
    moved = None
    if not held and status in HOLDS_MONEY:
        _withdraw(sandbox, dispute, charge, opening or Opening(), at)
        moved = "charge.dispute.funds_withdrawn"
    elif held and status not in HOLDS_MONEY:
        _reinstate(sandbox, dispute, charge, fee_returned, at)
        moved = "charge.dispute.funds_reinstated"
    closed = status in TOLD_AS_CLOSED
    body = _save(sandbox, dispute) if closed else save(sandbox, dispute, origin, at)
    if moved is not None:
        events.record(sandbox.store, moved, body, origin, at)
    if closed:
        events.record(sandbox.store, "charge.dispute.closed", body, origin, at)
    if moved == "charge.dispute.funds_withdrawn":
        refunding.fail_pending(sandbox, charge.id, at)
    return dispute


def save(sandbox: Sandbox, dispute: Dispute, origin: Origin, at: int) -> bytes:
    """Write the dispute as it is now, and `charge.dispute.updated` if that changes anything. Returns its JSON."""
    (before,) = sandbox.store.row("SELECT body FROM disputes WHERE id = ?", (dispute.id,))
    body = _save(sandbox, dispute)
    if body != before:
        previous = events.changed(before, body)
        events.record(sandbox.store, "charge.dispute.updated", body, origin, at, previous)
    return body


def is_held(sandbox: Sandbox, dispute: Dispute) -> bool:
    """Whether its amount is out of the balance."""
    return bool(sandbox.store.row("SELECT held FROM disputes WHERE id = ?", (dispute.id,))[0])


def forbids_refunds(sandbox: Sandbox, charge: Charge) -> bool:
    """Whether a dispute holds the charge, so that a refund of it would pay twice."""
    sql = "SELECT 1 FROM disputes WHERE charge = ? AND NOT refundable"
    return charge.disputed and sandbox.store.row(sql, (charge.id,)) is not None


def follow(sandbox: Sandbox, charge_id: str, payload: bytes, at: int) -> None:
    """Scheduled: what a test card lets follow on a payment."""
    then = payload.decode()
    if then == "warning":
        fraud_warnings.warn(sandbox, charge_id, "made_with_stolen_card", BY_ITSELF, at)
    elif then == "inquiry":
        begin(sandbox, charge_id, Opening("warning_needs_response"), BY_ITSELF, at)
    else:
        begin(sandbox, charge_id, Opening(reason=then), BY_ITSELF, at)


def decide(sandbox: Sandbox, dispute_id: str, payload: bytes, at: int) -> None:
    """Scheduled: what the evidence asked for, unless the control API was faster."""
    dispute, status = load(sandbox, dispute_id), payload.decode()
    if status in MAY_BECOME[dispute.status]:
        become(sandbox, dispute, status, BY_ITSELF, at)


def _withdraw(sandbox: Sandbox, dispute: Dispute, charge: Charge, opening: Opening, at: int) -> None:
    settled, store = settlement.of_charge(sandbox.store, charge), sandbox.store
    amount, inside = settled.convert(dispute.amount), 0 if opening.apart else opening.fee
    said = f"Chargeback withdrawal for {charge.id}"
    moves = [Movement("adjustment", "dispute", -amount, settled, dispute.id, said, inside, "Dispute fee")]
    if opening.apart:
        fee_alone = settled._replace(rate=None)
        moves.append(Movement("adjustment", "dispute", -opening.fee, fee_alone, dispute.id, "Dispute fee"))
    dispute.balance_transactions = dispute.balance_transactions + [balance.move(store, one, at) for one in moves]
    store.write("UPDATE disputes SET held = 1 WHERE id = ?", (dispute.id,))
    witness.noted(store, "disputed", dispute.id, dispute.amount, dispute.currency, charge.metadata)
    witness.noted(store, "withdrawn", dispute.id, amount, settled.currency, charge.metadata)
    witness.noted(store, "disputing", dispute.id, opening.fee, settled.currency, charge.metadata)


def _reinstate(sandbox: Sandbox, dispute: Dispute, charge: Charge, fee_returned: int, at: int) -> None:
    settled, store = settlement.of_charge(sandbox.store, charge), sandbox.store
    amount, said = settled.convert(dispute.amount), f"Chargeback reversal for {charge.id}"
    back = Movement("adjustment", "dispute_reversal", amount, settled, dispute.id, said, -fee_returned, "Dispute fee")
    dispute.balance_transactions = [*dispute.balance_transactions, balance.move(store, back, at)]
    store.write("UPDATE disputes SET held = 0 WHERE id = ?", (dispute.id,))
    witness.noted(store, "undisputed", dispute.id, dispute.amount, dispute.currency, charge.metadata)
    witness.noted(store, "reinstated", dispute.id, amount, settled.currency, charge.metadata)
    if fee_returned:
        witness.noted(store, "disputing", dispute.id, -fee_returned, settled.currency, charge.metadata)


def _new(sandbox: Sandbox, charge: Charge, opening: Opening, at: int) -> Dispute:
    details = disputed_card.of(sandbox, charge, opening.status, opening.reason)
    return Dispute(
        id=new_id("du_"),
        amount=charge.amount_captured if opening.amount is None else opening.amount,
        charge=charge.id,
        created=at,
        currency=charge.currency,
        evidence=disputed_card.NO_EVIDENCE,
        evidence_details=disputed_card.nothing_sent(at),
        is_charge_refundable=opening.status not in HOLDS_MONEY,
        network_reason_code=details["card"]["network_reason_code"],
        payment_intent=charge.payment_intent,
        payment_method_details=details,
        reason=opening.reason,
        status=opening.status,
    )


def _write(sandbox: Sandbox, dispute: Dispute) -> None:
    values = (dispute.id, dispute.created, dispute.charge, dispute.payment_intent, encode(dispute))
    sandbox.store.write(
        "INSERT INTO disputes (id, created, charge, payment_intent, refundable, held, body)"
        " VALUES (?, ?, ?, ?, 1, 0, ?)",
        values,
    )


def _save(sandbox: Sandbox, dispute: Dispute) -> bytes:
    body = encode(dispute)
    values = (dispute.is_charge_refundable, body, dispute.id)
    sandbox.store.write("UPDATE disputes SET refundable = ?, body = ? WHERE id = ?", values)
    return body
