"""What each event of a charge books; that of a refund is in `refunding`. Pure: no I/O, no clock.

Money is gross at success; the fee is an entry of its own, because Stripe tells it later.
"""

from datetime import datetime
from uuid import UUID

from service.ledger.entry import (
    PROCESSING_FEES,
    REVENUE,
    STRIPE_BALANCE,
    SUSPENSE,
    JournalEntry,
    Money,
    Posting,
)

# The kinds of entries. An entry's reference is its kind, and the id of what it books.
CHARGE, DUPLICATE, FEE = "charge", "duplicate", "fee"
REFUND_PENDING, REFUND, REFUND_FAILED = "refund_pending", "refund", "refund_failed"
REFUND_DUPLICATE, REFUND_DUPLICATE_FAILED = "refund_duplicate", "refund_duplicate_failed"
REVERSAL, REDATED, SETTLED = "reversal", "redated", "settled"
DISPUTE = "dispute"
DISPUTE_WITHDRAWN, DISPUTE_REINSTATED, DISPUTE_CLOSED = "dispute_withdrawn", "dispute_reinstated", "dispute_closed"
PAYOUT, PAYOUT_ARRIVED = "payout", "payout_arrived"
PAYOUT_FAILED, PAYOUT_RETURNED = "payout_failed", "payout_returned"
STRIPE_FEE, RESERVE, CHARGE_FAILURE = "stripe_fee", "reserve", "charge_failure"
PARTIAL_CAPTURE, SUSPENDED = "pcr", "suspense"


def charge_reference(stripe_charge_id: str) -> str:
    """The natural key of a charge's entry."""
    return f"{CHARGE}:{stripe_charge_id}"


def duplicate_reference(stripe_charge_id: str) -> str:
    """The natural key of the entry of an order's second success."""
    return f"{DUPLICATE}:{stripe_charge_id}"


def fee_reference(balance_transaction_id: str) -> str:
    """The natural key of a fee's entry."""
    return f"{FEE}:{balance_transaction_id}"


def charge_entry(
    *,
    account_id: UUID,
    order_id: UUID | None,
    payment_intent_id: str | None,
    stripe_charge_id: str,
    amount_minor: int,
    currency: str,
    occurred_at: datetime,
    customer: Money | None = None,
) -> JournalEntry:
    """A charge succeeded: Stripe holds the gross amount, and it is revenue. `occurred_at`: charge.created.

    Of a payment that was authorized first, `amount_minor` is what was captured, and `occurred_at` is the moment of the
    capture, balance_transaction.created: what was held and is released was never anybody's money.

    Where Stripe's balance gets another currency than the customer paid in, `amount_minor` and `currency` are those of
    the balance transaction, and `customer` is what was paid.
    """
    return JournalEntry(
        account_id=account_id,
        reference=charge_reference(stripe_charge_id),
        kind=CHARGE,
        order_id=order_id,
        payment_intent_id=payment_intent_id,
        occurred_at=occurred_at,
        postings=move(amount_minor, currency, debit=STRIPE_BALANCE, credit=REVENUE),
        customer=customer,
    )


def duplicate_entry(
    *,
    account_id: UUID,
    order_id: UUID | None,
    payment_intent_id: str | None,
    stripe_charge_id: str,
    amount_minor: int,
    currency: str,
    occurred_at: datetime,
    customer: Money | None = None,
) -> JournalEntry:
    """An order's second success: Stripe holds the money, and nobody earned it (R23)."""
    return JournalEntry(
        account_id=account_id,
        reference=duplicate_reference(stripe_charge_id),
        kind=DUPLICATE,
        order_id=order_id,
        payment_intent_id=payment_intent_id,
        occurred_at=occurred_at,
        postings=move(amount_minor, currency, debit=STRIPE_BALANCE, credit=SUSPENSE),
        customer=customer,
    )


def fee_entry(
    *,
    account_id: UUID,
    order_id: UUID | None,
    payment_intent_id: str | None,
    balance_transaction_id: str,
    fee_minor: int,
    currency: str,
    occurred_at: datetime,
) -> JournalEntry | None:
    """Stripe's fee of a charge or a refund, or None where it took none. `occurred_at`: balance_transaction.created."""
    if fee_minor == 0:
        return None
    return JournalEntry(
        account_id=account_id,
        reference=fee_reference(balance_transaction_id),
        kind=FEE,
        order_id=order_id,
        payment_intent_id=payment_intent_id,
        occurred_at=occurred_at,
        postings=move(fee_minor, currency, debit=PROCESSING_FEES, credit=STRIPE_BALANCE),
    )


def move(amount_minor: int, currency: str, *, debit: str, credit: str) -> tuple[Posting, ...]:
    """The two postings of an amount that goes from the credited account to the debited one."""
    return Posting(debit, currency, amount_minor), Posting(credit, currency, -amount_minor)
