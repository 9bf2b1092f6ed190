"""What moved Stripe's balance, by Stripe's word for it, and what a movement that is of no order books. Pure.

Each movement is a balance transaction, and is booked so that the account which mirrors its balance moves by its `net`.
A word that is not known here is booked to suspense: no movement is left out, and none is explained by a guess.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, TypedDict, Unpack
from uuid import UUID

from service.ledger.entry import (
    FX,
    OTHER_FEES,
    PROCESSING_FEES,
    REVENUE,
    STRIPE_BALANCE,
    STRIPE_ELSEWHERE,
    STRIPE_RESERVE,
    STRIPE_TAX,
    SUSPENSE,
    JournalEntry,
    Money,
    Posting,
)
from service.ledger.journal import CHARGE_FAILURE, PARTIAL_CAPTURE, RESERVE, STRIPE_FEE, SUSPENDED
from service.stripe_gateway.objects import BalanceTransaction

MovementOf = Literal[
    "charge",
    "charge_failure",
    "refund",
    "refund_failure",
    "partial_capture_reversal",
    "dispute",
    "dispute_reversal",
    "payout",
    "payout_reversal",
    "stripe_fee",
    "reserve",
]

# Stripe's reporting categories that are booked by a rule of their own.
BY_CATEGORY: Mapping[str, MovementOf] = {
    "charge": "charge",
    "charge_failure": "charge_failure",
    "refund": "refund",
    "refund_failure": "refund_failure",
    "partial_capture_reversal": "partial_capture_reversal",
    "dispute": "dispute",
    "dispute_reversal": "dispute_reversal",
    "payout": "payout",
    "payout_reversal": "payout_reversal",
    "fee": "stripe_fee",
    "network_cost": "stripe_fee",
    "tax": "stripe_fee",
    "risk_reserved_funds": "reserve",
}

# Stripe's types, for what bears no category. An `adjustment` may be anything, so it is not among them.
BY_TYPE: Mapping[str, MovementOf] = {
    "charge": "charge",
    "payment": "charge",
    "payment_failure_refund": "charge_failure",
    "refund": "refund",
    "payment_refund": "refund",
    "refund_failure": "refund_failure",
    "payout": "payout",
    "payout_cancel": "payout_reversal",
    "payout_failure": "payout_reversal",
    "stripe_fee": "stripe_fee",
    "stripe_fx_fee": "stripe_fee",
    "tax_fee": "stripe_fee",
    "reserve_hold": "reserve",
    "reserve_release": "reserve",
    "reserve_transaction": "reserve",
    "reserved_funds": "reserve",
}

# The account that mirrors each of Stripe's balances; any other one is STRIPE_ELSEWHERE.
_MIRRORS: Mapping[str, str] = {"payments": STRIPE_BALANCE, "risk_reserved": STRIPE_RESERVE}

_FEE_ACCOUNTS: Mapping[str, str] = {
    "network_cost": PROCESSING_FEES,
    "tax": STRIPE_TAX,
    "tax_fee": STRIPE_TAX,
}


class Owner(TypedDict):
    """Whose movement it is; without an order, where it is no payment's."""

    account_id: UUID
    order_id: UUID | None
    payment_intent_id: str | None


def movement_of(transaction: BalanceTransaction) -> MovementOf | None:
    """What the movement is of; None where nobody here knows, which is suspense."""
    if transaction.reporting_category:
        return BY_CATEGORY.get(transaction.reporting_category)
    return BY_TYPE.get(transaction.type)


def mirror_of(transaction: BalanceTransaction) -> str:
    """The account that mirrors the balance which this movement is of."""
    return _MIRRORS.get(transaction.balance_type, STRIPE_ELSEWHERE)


def stripe_fee_reference(balance_transaction_id: str) -> str:
    """The natural key of the entry of a fee that is no single payment's."""
    return f"{STRIPE_FEE}:{balance_transaction_id}"


def stripe_fee_entry(*, transaction: BalanceTransaction, **owner: Unpack[Owner]) -> JournalEntry | None:
    """Stripe took, or gave back, a fee of its products, the costs of a card network, or tax on its fees."""
    said = transaction.reporting_category or transaction.type
    paid = transaction.fee - transaction.amount
    account = _FEE_ACCOUNTS.get(said, OTHER_FEES)
    return entry_of(STRIPE_FEE, stripe_fee_reference(transaction.id), transaction, {account: paid}, **owner)


def reserve_reference(balance_transaction_id: str) -> str:
    """The natural key of the entry of what Stripe holds back or lets go."""
    return f"{RESERVE}:{balance_transaction_id}"


def reserve_entry(*, transaction: BalanceTransaction, **owner: Unpack[Owner]) -> JournalEntry | None:
    """Stripe holds money back from the balance, or lets it go.

    None for the same money's other movement, which Stripe shows on the balance of the reserve: one entry has both.
    """
    if mirror_of(transaction) == STRIPE_RESERVE:
        return None
    against = {STRIPE_RESERVE: -transaction.amount, OTHER_FEES: transaction.fee}
    return entry_of(RESERVE, reserve_reference(transaction.id), transaction, against, **owner)


def charge_failure_reference(balance_transaction_id: str) -> str:
    """The natural key of the entry of a payment that failed after its success."""
    return f"{CHARGE_FAILURE}:{balance_transaction_id}"


def charge_failure_entry(
    *,
    transaction: BalanceTransaction,
    of_duplicate: bool = False,
    booked_minor: int | None = None,
    customer: Money | None = None,
    **owner: Unpack[Owner],
) -> JournalEntry | None:
    """A bank took a payment back that it had confirmed: it was never earned, and no refund was made.

    `booked_minor`: what was booked as taken, where Stripe settled it in another currency; a difference is the rate's.
    """
    gone = -transaction.amount if booked_minor is None else booked_minor
    against = {
        SUSPENSE if of_duplicate else REVENUE: gone,
        FX: -transaction.amount - gone,
        PROCESSING_FEES: transaction.fee,
    }
    reference = charge_failure_reference(transaction.id)
    return entry_of(CHARGE_FAILURE, reference, transaction, against, customer=customer, **owner)


def partial_capture_reference(balance_transaction_id: str) -> str:
    """The natural key of the entry of the part of a hold that was not captured."""
    return f"{PARTIAL_CAPTURE}:{balance_transaction_id}"


def partial_capture_reversal_entry(*, transaction: BalanceTransaction, **owner: Unpack[Owner]) -> JournalEntry | None:
    """The part of a hold that was not captured leaves the balance again.

    Stripe showed the whole hold as taken. Only what was captured is booked as revenue, and the rest is in suspense
    (`suspense_entry`), so the rest leaves suspense.
    """
    against = {SUSPENSE: -transaction.amount, PROCESSING_FEES: transaction.fee}
    return entry_of(PARTIAL_CAPTURE, partial_capture_reference(transaction.id), transaction, against, **owner)


def suspense_reference(balance_transaction_id: str) -> str:
    """The natural key of the entry of a movement that nobody explains."""
    return f"{SUSPENDED}:{balance_transaction_id}"


def suspense_entry(
    *, transaction: BalanceTransaction, booked_minor: int = 0, **owner: Unpack[Owner]
) -> JournalEntry | None:
    """Stripe moved money that nobody explains. Its reversal clears it, once somebody does (`correcting.reverse`).

    `booked_minor`: what of its net other entries have on the books; None where that is all of it.
    """
    left = transaction.net - booked_minor
    return _entry(SUSPENDED, suspense_reference(transaction.id), transaction, left, {SUSPENSE: -left}, None, **owner)


def entry_of(
    kind: str,
    reference: str,
    transaction: BalanceTransaction,
    against: Mapping[str, int],
    *,
    customer: Money | None = None,
    **owner: Unpack[Owner],
) -> JournalEntry | None:
    """An entry that moves the mirror of Stripe's balance by the movement's net; None for a movement of nothing.

    `against`: what other accounts are debited (> 0) or credited, in minor units. Raises ValueError where the two do not
    balance, which is a movement whose net is not its amount less its fee.
    """
    return _entry(kind, reference, transaction, transaction.net, against, customer, **owner)


def _entry(
    kind: str,
    reference: str,
    transaction: BalanceTransaction,
    moved: int,
    against: Mapping[str, int],
    customer: Money | None,
    **owner: Unpack[Owner],
) -> JournalEntry | None:
    legs = [(mirror_of(transaction), moved), *against.items()]
    postings = [Posting(code, transaction.currency, minor) for code, minor in legs if minor]
    if not postings:
        return None
    return JournalEntry(
        reference=reference,
        kind=kind,
        occurred_at=datetime.fromtimestamp(transaction.created, UTC),
        postings=tuple(sorted(postings, key=lambda posting: posting.amount_minor < 0)),
        customer=customer,
        **owner,
    )
