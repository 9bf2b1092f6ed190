"""What a refund books: the promise, the money that leaves Stripe's balance, and the money that comes back. Pure.

Every refund books both the promise and its end, whether or not Stripe was pending in between: what is booked does not
depend on how often Stripe was asked. A refund that failed leaves the promise standing, because the customer is owed the
money; the next one of the order keeps it, and promises only what is more.

Where Stripe settled the charge in another currency, what is owed is booked in that one, at the rate of the charge, and
so is what clears it: the same integer goes both ways. What Stripe's balance moved is booked as Stripe says, and what a
change of the rate makes of it is `income:fx`.

The refund of a duplicate gives back what nobody earned: it books suspense against Stripe's balance, and no promise. One
that failed is in suspense again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypedDict, Unpack
from uuid import UUID

from service.ledger.entry import (
    CONTRA_REFUNDS,
    FX,
    REFUNDS_PAYABLE,
    STRIPE_BALANCE,
    SUSPENSE,
    JournalEntry,
    Money,
    Posting,
)
from service.ledger.exchanging import Worth
from service.ledger.journal import (
    REFUND,
    REFUND_DUPLICATE,
    REFUND_DUPLICATE_FAILED,
    REFUND_FAILED,
    REFUND_PENDING,
    fee_entry,
    move,
)
from service.stripe_gateway.objects import BalanceTransaction, Refund


class Refunded(TypedDict):
    """A refund, and the moment of what is booked of it, by Stripe's clock."""

    account_id: UUID
    order_id: UUID | None
    payment_intent_id: str | None
    stripe_refund_id: str
    amount_minor: int
    currency: str
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Exchange:
    """A refund of a charge in another currency: its worth at the charge's rate, and how much Stripe's balance moved."""

    worth: Worth
    moved_minor: int


def refund_pending_reference(stripe_refund_id: str) -> str:
    """The natural key of the entry of a refund's promise."""
    return f"{REFUND_PENDING}:{stripe_refund_id}"


def refund_reference(stripe_refund_id: str) -> str:
    """The natural key of the entry of a refund that left Stripe's balance."""
    return f"{REFUND}:{stripe_refund_id}"


def refund_failed_reference(stripe_refund_id: str) -> str:
    """The natural key of the entry of a refund that came back."""
    return f"{REFUND_FAILED}:{stripe_refund_id}"


def refund_duplicate_reference(stripe_refund_id: str) -> str:
    """The natural key of the entry of a duplicate's refund that left Stripe's balance."""
    return f"{REFUND_DUPLICATE}:{stripe_refund_id}"


def refund_duplicate_failed_reference(stripe_refund_id: str) -> str:
    """The natural key of the entry of a duplicate's refund that came back."""
    return f"{REFUND_DUPLICATE_FAILED}:{stripe_refund_id}"


def refund_pending_entry(
    *, drawn_minor: int, worth: Worth | None = None, **refund: Unpack[Refunded]
) -> JournalEntry | None:
    """Stripe was told to give the money back, so the customer is owed it; None where all of it was owed before.

    `drawn_minor`: of the amount, what a refund that failed left owed. `worth`: where the charge is settled in another
    currency. `occurred_at`: refund.created. Raises ValueError for more of it than there is.
    """
    if not 0 <= drawn_minor <= refund["amount_minor"]:
        raise ValueError(f"refund {refund['stripe_refund_id']} of {refund['amount_minor']} draws {drawn_minor}")
    more = Money(refund["amount_minor"] - drawn_minor, refund["currency"])
    booked = more if worth is None else Money(worth.promised_minor, worth.currency)
    if booked.minor == 0:
        return None
    postings = move(booked.minor, booked.currency, debit=CONTRA_REFUNDS, credit=REFUNDS_PAYABLE)
    reference = refund_pending_reference(refund["stripe_refund_id"])
    return _entry(REFUND_PENDING, reference, refund, postings, None if worth is None else more)


def refund_entry(*, exchange: Exchange | None = None, **refund: Unpack[Refunded]) -> JournalEntry | None:
    """The money left Stripe's balance for the customer. `occurred_at`: balance_transaction.created."""
    return _moved_entry(REFUND, refund_reference, refund, exchange, from_balance=True, against=REFUNDS_PAYABLE)


def refund_failed_entry(*, exchange: Exchange | None = None, **refund: Unpack[Refunded]) -> JournalEntry | None:
    """The money came back, and the customer is still owed it. `occurred_at`: failure_balance_transaction.created."""
    return _moved_entry(
        REFUND_FAILED, refund_failed_reference, refund, exchange, from_balance=False, against=REFUNDS_PAYABLE
    )


def refund_duplicate_entry(*, exchange: Exchange | None = None, **refund: Unpack[Refunded]) -> JournalEntry | None:
    """A duplicate's money left Stripe's balance for the customer. `occurred_at`: balance_transaction.created."""
    return _moved_entry(
        REFUND_DUPLICATE, refund_duplicate_reference, refund, exchange, from_balance=True, against=SUSPENSE
    )


def refund_duplicate_failed_entry(
    *, exchange: Exchange | None = None, **refund: Unpack[Refunded]
) -> JournalEntry | None:
    """It came back, and is nobody's as before. `occurred_at`: failure_balance_transaction.created."""
    return _moved_entry(
        REFUND_DUPLICATE_FAILED,
        refund_duplicate_failed_reference,
        refund,
        exchange,
        from_balance=False,
        against=SUSPENSE,
    )


def refund_entries(
    *,
    account_id: UUID,
    order_id: UUID | None,
    refund: Refund,
    drawn_minor: int,
    of_duplicate: bool,
    worth: Worth | None = None,
) -> tuple[JournalEntry, ...]:
    """All that is to be on the books of `refund` as Stripe shows it, its balance transactions expanded.

    What was booked when it was seen before is among it, and a repeat for the books. `of_duplicate`: its payment is a
    second success of its order. `worth`: where its charge is settled in another currency. Raises ValueError for a
    balance transaction that is not expanded, that is in another currency than its charge is settled in, or that did not
    move the refund's amount, and for more drawn than there is.
    """
    gone, back = (refund_entry, refund_failed_entry)
    found: list[JournalEntry | None] = []
    if of_duplicate:
        gone, back = (refund_duplicate_entry, refund_duplicate_failed_entry)
    else:
        made = _of(account_id, order_id, refund, refund.created)
        found.append(refund_pending_entry(drawn_minor=drawn_minor, worth=worth, **made))
    for movement, make, sign in (
        (refund.balance_transaction, gone, -1),
        (refund.failure_balance_transaction, back, +1),
    ):
        if movement is None:
            continue
        moved = _moved(refund, movement, sign, worth)
        exchange = None if worth is None else Exchange(worth, sign * moved.amount)
        found.append(make(exchange=exchange, **_of(account_id, order_id, refund, moved.created)))
        found.append(_fee(account_id, order_id, refund, moved))
    return tuple(entry for entry in found if entry is not None)


def _of(account_id: UUID, order_id: UUID | None, refund: Refund, moment: int) -> Refunded:
    return Refunded(
        account_id=account_id,
        order_id=order_id,
        payment_intent_id=refund.payment_intent,
        stripe_refund_id=refund.id,
        amount_minor=refund.amount,
        currency=refund.currency,
        occurred_at=datetime.fromtimestamp(moment, UTC),
    )


def _moved(refund: Refund, movement: BalanceTransaction | str, sign: int, worth: Worth | None) -> BalanceTransaction:
    """The movement, if it is one of this refund's amount; in another currency Stripe's rate decides what it is."""
    if not isinstance(movement, BalanceTransaction):
        raise ValueError(f"refund {refund.id}: {movement} is not expanded")  # noqa: TRY004  a wrong call, not a wrong type
    settled_in = refund.currency if worth is None else worth.currency
    if movement.currency != settled_in:
        raise ValueError(f"refund {refund.id}: {movement.id} is in {movement.currency}, its charge in {settled_in}")
    if worth is None and movement.amount != sign * refund.amount:
        raise ValueError(f"refund {refund.id} of {refund.amount}: {movement.id} moved {movement.amount}")
    return movement


def _fee(account_id: UUID, order_id: UUID | None, refund: Refund, movement: BalanceTransaction) -> JournalEntry | None:
    """What Stripe took for it."""
    return fee_entry(
        account_id=account_id,
        order_id=order_id,
        payment_intent_id=refund.payment_intent,
        balance_transaction_id=movement.id,
        fee_minor=movement.fee,
        currency=movement.currency,
        occurred_at=datetime.fromtimestamp(movement.created, UTC),
    )


def _moved_entry(
    kind: str,
    reference_of: Callable[[str], str],
    refund: Refunded,
    exchange: Exchange | None,
    *,
    from_balance: bool,
    against: str,
) -> JournalEntry | None:
    """Stripe's balance moved by what it says, what is owed by the rate of the charge; a difference is the rate's."""
    gone = 1 if from_balance else -1
    reference = reference_of(refund["stripe_refund_id"])
    if exchange is None:
        owed = (Posting(against, refund["currency"], gone * refund["amount_minor"]),)
        balance = (Posting(STRIPE_BALANCE, refund["currency"], -gone * refund["amount_minor"]),)
        return _entry(kind, reference, refund, owed + balance if from_balance else balance + owed)
    worth, currency = exchange.worth.minor, exchange.worth.currency
    legs = ((against, worth), (STRIPE_BALANCE, -exchange.moved_minor), (FX, exchange.moved_minor - worth))
    postings = [Posting(code, currency, gone * minor) for code, minor in legs if minor]
    if not postings:
        return None
    customer = Money(refund["amount_minor"], refund["currency"])
    return _entry(kind, reference, refund, tuple(sorted(postings, key=lambda p: p.amount_minor < 0)), customer)


def _entry(
    kind: str, reference: str, refund: Refunded, postings: tuple[Posting, ...], customer: Money | None = None
) -> JournalEntry:
    return JournalEntry(
        account_id=refund["account_id"],
        reference=reference,
        kind=kind,
        order_id=refund["order_id"],
        payment_intent_id=refund["payment_intent_id"],
        occurred_at=refund["occurred_at"],
        postings=postings,
        customer=customer,
    )
