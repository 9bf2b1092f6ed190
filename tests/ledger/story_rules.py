"""What is to be on the books of each step of a story: Stripe's objects of the step, given to the rules."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from service import ledger
from service.ledger import JournalEntry, Money
from service.ledger.journal import DISPUTE_CLOSED
from service.stripe_gateway.objects import BalanceTransaction, Intent, Refund

Json = dict[str, Any]
Books = Mapping[str, JournalEntry]


def booked(step: Json, account_id: UUID, before: Books) -> list[JournalEntry]:
    """All entries that are to be on the books of what Stripe shows in this step; `before`: what is on them already."""
    for name, rule in _RULES.items():
        if name in step:
            return [*_cleared(step, before), *(entry for entry in rule(step, account_id, before) if entry is not None)]
    raise LookupError(f"a step without an object of Stripe's: {step['what']}")


def refund_of(said: Json, **changes: Any) -> Refund:
    return msgspec.convert({**said, **changes}, Refund)


def movement(said: Json) -> BalanceTransaction:
    return msgspec.convert(said, BalanceTransaction)


def moment(at: int) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _cleared(step: Json, before: Books) -> list[JournalEntry]:
    if "clears" not in step:
        return []
    return [ledger.reversal_entry(before[ledger.suspense_reference(step["clears"])])]


def _refund(step: Json, account_id: UUID, _: Books) -> Iterator[JournalEntry | None]:
    yield from ledger.refund_entries(
        account_id=account_id,
        order_id=account_id,
        refund=refund_of(step["refund"]),
        drawn_minor=step["drawn_minor"],
        of_duplicate=step.get("of_duplicate", False),
        worth=ledger.Worth(**step["worth"]) if "worth" in step else None,
    )


def _payment(step: Json, account_id: UUID, _: Books) -> Iterator[JournalEntry | None]:
    intent = msgspec.convert(step["payment_intent"], Intent)
    if not intent.amount_received or step.get("settles_elsewhere"):
        return
    assert intent.charge_id is not None
    assert intent.charged_at is not None
    make = ledger.duplicate_entry if step.get("of_duplicate") else ledger.charge_entry
    yield make(
        account_id=account_id,
        order_id=account_id,
        payment_intent_id=intent.id,
        stripe_charge_id=intent.charge_id,
        amount_minor=intent.amount_received,
        currency=intent.currency,
        occurred_at=moment(intent.charged_at),
    )


def _movement(step: Json, account_id: UUID, before: Books) -> Iterator[JournalEntry | None]:
    moved = movement(step["balance_transaction"])
    of = None if step.get("suspended") else ledger.movement_of(moved)
    nobodys = ledger.Owner(account_id=account_id, order_id=None, payment_intent_id=None)
    payments = ledger.Owner(account_id=account_id, order_id=account_id, payment_intent_id="pi_1")
    if of == "charge" and "booked_minor" in step:
        yield ledger.suspense_entry(transaction=moved, booked_minor=step["booked_minor"] - moved.fee, **payments)
    if of == "charge" and "customer" in step:
        yield from _exchanged(step, moved, payments, before)
    if of == "charge":
        yield ledger.fee_entry(
            **payments,
            balance_transaction_id=moved.id,
            fee_minor=moved.fee,
            currency=moved.currency,
            occurred_at=moment(moved.created),
        )
    elif of == "charge_failure":
        yield ledger.charge_failure_entry(transaction=moved, **payments)
    elif of == "partial_capture_reversal":
        yield ledger.partial_capture_reversal_entry(transaction=moved, **payments)
    elif of == "stripe_fee":
        yield ledger.stripe_fee_entry(transaction=moved, **nobodys)
    elif of == "reserve":
        yield ledger.reserve_entry(transaction=moved, **nobodys)
    else:
        yield ledger.suspense_entry(transaction=moved, **nobodys)


def _exchanged(step: Json, moved: BalanceTransaction, owner: ledger.Owner, before: Books) -> Iterator[JournalEntry]:
    """What has a charge on the books in the currency that Stripe's balance got."""
    entry = ledger.charge_entry(
        **owner,
        stripe_charge_id=moved.source or "",
        amount_minor=moved.amount,
        currency=moved.currency,
        occurred_at=moment(step["charged_at"]),
        customer=Money(**step["customer"]),
    )
    stands = before.get(ledger.settled_entry(entry).reference, before.get(entry.reference))
    yield from ledger.booked_anew(entry, stands)


def _dispute(step: Json, account_id: UUID, before: Books) -> Iterator[JournalEntry | None]:
    said = step["dispute"]
    owner = ledger.Owner(account_id=account_id, order_id=account_id, payment_intent_id=said["payment_intent"])
    rate, customer = None, Money(said["amount"], said["currency"])
    if "charge" in step:
        rate = ledger.Rate(step["charge"]["taken_minor"], Money(**step["charge"]["settled"]))
    moves = [
        ledger.dispute_entry(
            dispute_id=said["id"],
            principal_minor=rate.of(said["amount"]) if rate else said["amount"],
            transaction=movement(told),
            customer=customer if rate else None,
            **owner,
        )
        for told in said["balance_transactions"]
    ]
    yield from moves
    known = {**before, **{entry.reference: entry for entry in moves if entry is not None}}
    left = _receivable(said["id"], known)
    closed = sum(e.kind == DISPUTE_CLOSED for e in known.values())
    if said["status"] in ("won", "lost") and left:
        yield ledger.dispute_closed_entry(
            dispute_id=said["id"],
            status=said["status"],
            nth=closed + 1,
            left=Money(left, said["currency"]),
            occurred_at=moment(step["at"]),
            **owner,
        )


def _receivable(dispute_id: str, books: Books) -> int:
    prefix = ledger.dispute_reference(dispute_id)
    held = Counter[str]()
    for entry in books.values():
        if entry.reference.startswith(prefix):
            for posting in entry.postings:
                held[posting.code] += posting.amount_minor
    return held["assets:disputes_receivable"]


def _payout(step: Json, account_id: UUID, before: Books) -> Iterator[JournalEntry | None]:
    said = step["payout"]
    paid = Money(said["amount"], said["currency"])
    yield ledger.payout_entry(
        account_id=account_id, payout_id=said["id"], paid=paid, transaction=movement(said["balance_transaction"])
    )
    arrived = ledger.payout_arrived_reference(said["id"])
    if said["status"] == "paid":
        yield ledger.payout_arrived_entry(
            account_id=account_id, payout_id=said["id"], paid=paid, occurred_at=moment(said["arrival_date"])
        )
    if said["failure_balance_transaction"]:
        back = movement(said["failure_balance_transaction"])
        yield ledger.payout_failed_entry(account_id=account_id, payout_id=said["id"], paid=paid, transaction=back)
    if said["status"] == "failed" and arrived in before:
        yield ledger.payout_returned_entry(
            account_id=account_id, payout_id=said["id"], paid=paid, occurred_at=moment(step["at"])
        )


_RULES = {
    "refund": _refund,
    "payment_intent": _payment,
    "balance_transaction": _movement,
    "dispute": _dispute,
    "payout": _payout,
}
