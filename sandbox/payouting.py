"""What becomes of a payout: money on its way from the balance to the bank, and back where it does not get there.

    pending ─▶ in_transit ─▶ paid ─▶ failed     the balance pays when the payout is made; a paid one may fail days later
       └────────────┴──▶ failed · canceled      the balance has the money again

An automatic payout takes all that is available in a currency, and its own balance transaction is listed with what it
took, so that they add up to zero; where the balance is negative, the payout is, and takes money from the bank. What
comes back is in a later payout. Sources: the SDK's types for the states, recorded lists for the balance transactions.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from sandbox import balance, events, schedule
from sandbox.balance import Movement
from sandbox.errors import invalid, no_such
from sandbox.ids import digits, new_id
from sandbox.objects import Payout, decode_payout, encode
from sandbox.settlement import Settled
from sandbox.state import BY_ITSELF, Origin, Sandbox
from sandbox.words import words

DAY_S = 86_400
ARRIVES_AFTER_S = 2 * DAY_S
# When it leaves for the bank, and when what an automatic one took can be listed.
SENT_AFTER_S = RECONCILED_AFTER_S = 3600
DESCRIPTION = "STRIPE PAYOUT"
Status = Literal["in_transit", "paid", "failed", "canceled"]
TraceStatus = Literal["pending", "supported", "unsupported"]
MAY_BECOME: Mapping[str, frozenset[str]] = {
    "pending": words("in_transit paid failed canceled"),
    "in_transit": words("paid failed canceled"),
    "paid": words("failed"),
    "failed": frozenset(),
    "canceled": frozenset(),
}
# The type of the balance transaction that brings the money back.
BACK = {"failed": "payout_failure", "canceled": "payout_cancel"}
TOLD = words("paid failed canceled")
FailureCode = Literal[
    "account_closed",
    "account_frozen",
    "could_not_process",
    "declined",
    "insufficient_funds",
    "invalid_account_number",
    "no_account",
]
FAILURES: Mapping[str, str] = {
    "account_closed": "The bank account has been closed.",
    "account_frozen": "The bank account has been frozen.",
    "could_not_process": "The bank could not process this transfer.",
    "declined": "The bank has declined this transfer. Please contact the bank before retrying.",
    "insufficient_funds": "Your Stripe account has insufficient funds to cover the payout.",
    "invalid_account_number": "The routing number seems correct, but the account number is invalid.",
    "no_account": (
        "The bank account details on file are probably incorrect. No bank account could be located with those details."
    ),
}


class Wanted(NamedTuple):
    """What is paid out. One that nobody asked for is automatic."""

    amount: int
    currency: str
    automatic: bool = True
    description: str | None = DESCRIPTION
    metadata: Mapping[str, str] = {}
    statement_descriptor: str | None = None


class Step(NamedTuple):
    """Where a payout goes; the code only where it fails, `trace` only where it is paid."""

    status: Status
    failure_code: FailureCode = "could_not_process"
    trace: TraceStatus = "supported"


def load(sandbox: Sandbox, payout_id: str) -> Payout:
    """The payout, or Stripe's 404."""
    return _found(sandbox, payout_id, 404)


def bank_account(sandbox: Sandbox) -> str:
    """Where all payouts go: the id of the account's one bank account."""
    return sandbox.account_id.replace("acct_", "ba_", 1)


def pay_out(sandbox: Sandbox, at: int) -> list[Payout]:
    """Make the day's payouts: one of each currency of which something is available, or owed."""
    rows = sandbox.store.rows("SELECT DISTINCT currency FROM balance_transactions ORDER BY 1")
    sums = {currency: balance.available(sandbox, currency) for (currency,) in rows}
    return [begin(sandbox, Wanted(net, currency), BY_ITSELF, at) for currency, net in sums.items() if net]


def begin(sandbox: Sandbox, wanted: Wanted, origin: Origin, at: int) -> Payout:
    """Make a payout; the caller has seen that the balance reaches. An automatic one takes all that is available."""
    payout = _new(sandbox, wanted, at)
    if wanted.automatic:
        balance.take(sandbox, payout.currency, payout.id)
    taken_by = payout.id if wanted.automatic else None
    payout.balance_transaction = balance.move(sandbox.store, _movement(payout, "payout"), at, payout=taken_by).id
    body = encode(payout)
    row = (payout.id, at, payout.arrival_date, payout.status, payout.destination, payout.currency, payout.amount, body)
    sandbox.store.write(
        "INSERT INTO payouts (id, created, arrival_date, status, destination, currency, amount, body)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        row,
    )
    events.record(sandbox.store, "payout.created", body, origin, at)
    _plan(sandbox, payout, at)
    return payout


def become(sandbox: Sandbox, payout: Payout, step: Step, origin: Origin, at: int) -> Payout:
    """Take the payout there, if it may go there, and the money back where it did not arrive."""
    if step.status not in MAY_BECOME[payout.status]:
        raise invalid(f"A payout with a status of {payout.status} cannot become {step.status}.")
    payout.status = step.status
    if step.status in BACK:
        back = balance.move(sandbox.store, _movement(payout, BACK[step.status], sign=1), at)
        payout.failure_balance_transaction = back.id
    if step.status == "failed":
        payout.failure_code, payout.failure_message = step.failure_code, FAILURES[step.failure_code]
    if step.status in TOLD and payout.trace_id["status"] == "pending":
        payout.trace_id = _trace(step.trace if step.status == "paid" else "unsupported")
    body = save(sandbox, payout, origin, at)
    if step.status in TOLD:
        events.record(sandbox.store, f"payout.{step.status}", body, origin, at)
    return payout


def reconcile(sandbox: Sandbox, payout: Payout, at: int) -> Payout:
    """From now on the balance transactions of an automatic payout can be listed."""
    if payout.reconciliation_status != "in_progress":
        raise invalid(f"This payout's reconciliation is {payout.reconciliation_status}, so it cannot be completed.")
    payout.reconciliation_status = "completed"
    body = _write(sandbox, payout)
    events.record(sandbox.store, "payout.reconciliation_completed", body, BY_ITSELF, at)
    return payout


def trace(sandbox: Sandbox, payout: Payout, status: TraceStatus, at: int) -> Payout:
    """The bank says, or cannot say, under which number it has the payout."""
    payout.trace_id = _trace(status)
    save(sandbox, payout, BY_ITSELF, at)
    return payout


def go_on(sandbox: Sandbox, payout_id: str, payload: bytes, at: int) -> None:
    """Scheduled: what becomes of a payout by itself, unless the control API was faster."""
    payout = load(sandbox, payout_id)
    if payload == b"reconcile" and payout.reconciliation_status == "in_progress":
        reconcile(sandbox, payout, at)
    elif payload == b"send" and payout.status == "pending":
        become(sandbox, payout, Step("in_transit"), BY_ITSELF, at)
    elif payload == b"arrive" and "paid" in MAY_BECOME[payout.status]:
        become(sandbox, payout, Step("paid"), BY_ITSELF, at)


def is_itemized(sandbox: Sandbox, payout_id: str) -> bool:
    """Whether it can be listed yet what the payout took. Raises for one that was asked for by hand, as Stripe does."""
    payout = _found(sandbox, payout_id, 400)
    if not payout.automatic:
        # Quoted in many public repositories; Stripe still says "transfers" there.
        raise invalid("Balance transaction history can only be filtered on automatic transfers, not manual.")
    return payout.reconciliation_status == "completed"


def save(sandbox: Sandbox, payout: Payout, origin: Origin, at: int) -> bytes:
    """Write the payout as it is now, and the event that says so with what was there before."""
    (before,) = sandbox.store.row("SELECT body FROM payouts WHERE id = ?", (payout.id,))
    body = _write(sandbox, payout)
    events.record(sandbox.store, "payout.updated", body, origin, at, events.changed(before, body))
    return body


def _found(sandbox: Sandbox, payout_id: str, status: int) -> Payout:
    row = sandbox.store.row("SELECT body FROM payouts WHERE id = ?", (payout_id,))
    if row is None:
        raise no_such("payout", payout_id, "payout", status)
    return decode_payout(row[0])


def _write(sandbox: Sandbox, payout: Payout) -> bytes:
    body = encode(payout)
    sandbox.store.write("UPDATE payouts SET status = ?, body = ? WHERE id = ?", (payout.status, body, payout.id))
    return body


def _plan(sandbox: Sandbox, payout: Payout, at: int) -> None:
    """What will happen by itself."""
    schedule.later(sandbox, at + SENT_AFTER_S, "payout", payout.id, b"send")
    schedule.later(sandbox, payout.arrival_date, "payout", payout.id, b"arrive")
    if payout.automatic:
        schedule.later(sandbox, at + RECONCILED_AFTER_S, "payout", payout.id, b"reconcile")


def _movement(payout: Payout, kind: str, *, sign: int = -1) -> Movement:
    said = payout.description or DESCRIPTION
    category, said = ("payout", said) if kind == "payout" else ("payout_reversal", f"REFUND FOR PAYOUT ({said})")
    return Movement(kind, category, sign * payout.amount, Settled(payout.currency), payout.id, said)


def _trace(status: TraceStatus) -> dict[str, str | None]:
    return {"status": status, "value": digits(15) if status == "supported" else None}


def _new(sandbox: Sandbox, wanted: Wanted, at: int) -> Payout:
    return Payout(
        id=new_id("po_1", 23),
        amount=wanted.amount,
        # A day begins at midnight UTC.
        arrival_date=(at + ARRIVES_AFTER_S) // DAY_S * DAY_S,
        automatic=wanted.automatic,
        created=at,
        currency=wanted.currency,
        description=wanted.description,
        destination=bank_account(sandbox),
        metadata=dict(wanted.metadata),
        reconciliation_status="in_progress" if wanted.automatic else "not_applicable",
        statement_descriptor=wanted.statement_descriptor,
        status="pending",
        trace_id=_trace("pending"),
    )
