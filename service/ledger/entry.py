"""The chart of accounts, and the shape of a journal entry. Pure.

Signs: a debit is positive, a credit negative; the postings of an entry sum to zero per currency.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

STRIPE_BALANCE = "assets:stripe:balance"
STRIPE_RESERVE = "assets:stripe:reserve"
STRIPE_ELSEWHERE = "assets:stripe:elsewhere"
PAYOUTS_IN_TRANSIT = "assets:payouts_in_transit"
BANK = "assets:bank"
DISPUTES_RECEIVABLE = "assets:disputes_receivable"
REVENUE = "revenue:orders"
CONTRA_REFUNDS = "contra:refunds"
REFUNDS_PAYABLE = "liabilities:refunds_payable"
PROCESSING_FEES = "expenses:stripe:processing"
DISPUTE_FEES = "expenses:stripe:dispute_fees"
OTHER_FEES = "expenses:stripe:other"
STRIPE_TAX = "expenses:stripe:tax"
CHARGEBACKS_LOST = "expenses:chargebacks_lost"
FX = "income:fx"
OPENING_EQUITY = "equity:opening"
SUSPENSE = "suspense:stripe"

CHART: dict[str, str] = {
    STRIPE_BALANCE: "asset",  # mirrors Stripe's balance, pending and available, at every cut-off
    STRIPE_RESERVE: "asset",  # what Stripe holds back as a reserve; it is ours, and no part of the balance
    STRIPE_ELSEWHERE: "asset",  # Stripe's other balances, of card issuing and prefunding, which this service never uses
    PAYOUTS_IN_TRANSIT: "asset",  # left Stripe and not yet at the bank; each payout brings it back to zero
    BANK: "asset",  # what payouts have brought to the bank, by Stripe's word; a bank statement is the stronger one
    DISPUTES_RECEIVABLE: "asset",  # taken while a dispute is open; zero for each one that is decided
    REVENUE: "income",  # gross; what reduces it has accounts of its own
    CONTRA_REFUNDS: "contra_income",  # what was given back, or promised; gross revenue minus it is net revenue
    REFUNDS_PAYABLE: "liability",  # refunds on their way, and what customers are owed because one failed
    PROCESSING_FEES: "expense",  # Stripe's fee of each charge, and of a refund where there is one
    DISPUTE_FEES: "expense",  # Stripe's fees of disputes, less what it gave back of them
    OTHER_FEES: "expense",  # Stripe's fees that are no single payment's: of products, of payouts
    STRIPE_TAX: "expense",  # tax on Stripe's fees; what can be reclaimed of it is an accountant's to say
    CHARGEBACKS_LOST: "expense",  # what disputes took for good
    OPENING_EQUITY: "equity",  # what was in Stripe's balance before this installation: booked once, not by movements
    FX: "income",  # what a change of rate brought, between a charge and its refund or dispute; a loss is negative
    SUSPENSE: "suspense",  # money Stripe moved that no order explains; a human brings it back to zero
}

DEBIT_NORMAL = frozenset({"asset", "expense", "contra_income"})

PLAIN, EXCHANGED = 1, 2  # versions of the digest: an entry names what its customer paid only where that is needed
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NONE, _SOME = b"\x00", b"\x01"


@dataclass(frozen=True, slots=True)
class Posting:
    """One leg: `amount_minor` of `currency` (lower case) onto chart account `code`; debit > 0, credit < 0."""

    code: str
    currency: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in the minor unit of its currency (lower case)."""

    minor: int
    currency: str


def money_or_none(minor: int | None, currency: str | None) -> Money | None:
    """Two columns of the database that are both null, or are an amount."""
    return None if minor is None or currency is None else Money(minor, currency)


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One balanced booking. `occurred_at` is Stripe's time of the event, never ours.

    `customer`: what its customer paid or got, where Stripe settled it in another currency than the customer's.

    Raises ValueError for what could never be booked: not balanced per currency, fewer than two postings,
    a zero amount, a code outside the chart, a time without zone. The database refuses the first three itself.
    """

    account_id: UUID
    reference: str
    kind: str
    order_id: UUID | None
    payment_intent_id: str | None
    occurred_at: datetime
    postings: tuple[Posting, ...]
    customer: Money | None = None

    def __post_init__(self) -> None:
        """Refuse an entry that no database of ours would take."""
        fault = _fault(self)
        if fault:
            raise ValueError(f"entry {self.reference}: {fault}")

    @property
    def name(self) -> tuple[UUID, str]:
        """What is unique of it: its owner and its reference."""
        return self.account_id, self.reference

    @property
    def digest(self) -> bytes:
        """Version byte + SHA-256 of everything above; equal digests are the same booking.

        Each part is length-prefixed, so no two contents share their bytes. Order of postings does not count.
        """
        content = b"".join(len(part).to_bytes(4, "big") + part for part in _canonical(self))
        return bytes([_version(self)]) + hashlib.sha256(content).digest()


def _version(entry: JournalEntry) -> int:
    return PLAIN if entry.customer is None else EXCHANGED


def _fault(entry: JournalEntry) -> str | None:
    """Why this entry can never be booked, or None."""
    if entry.occurred_at.tzinfo is None:
        return "occurred_at has no time zone"
    if len(entry.postings) < 2:
        return "fewer than two postings"
    left_over: Counter[str] = Counter()
    for posting in entry.postings:
        if posting.code not in CHART:
            return f"{posting.code} is not in the chart"
        if posting.amount_minor == 0:
            return "a posting of zero"
        left_over[posting.currency] += posting.amount_minor
    if any(left_over.values()):
        return "the postings do not balance"
    return None


def _canonical(entry: JournalEntry) -> Iterator[bytes]:
    """The content in bytes that never change meaning: a new form needs a new version of the digest."""
    yield f"effectively-once/journal-entry/{_version(entry)}".encode()
    yield entry.account_id.bytes
    yield entry.reference.encode()
    yield entry.kind.encode()
    yield _NONE if entry.order_id is None else _SOME + entry.order_id.bytes
    yield _NONE if entry.payment_intent_id is None else _SOME + entry.payment_intent_id.encode()
    yield str((entry.occurred_at - _EPOCH) // timedelta(microseconds=1)).encode()
    yield str(len(entry.postings)).encode()
    for posting in sorted(entry.postings, key=lambda p: (p.code, p.currency, p.amount_minor)):
        yield posting.code.encode()
        yield posting.currency.encode()
        yield str(posting.amount_minor).encode()
    if entry.customer is not None:
        yield str(entry.customer.minor).encode()
        yield entry.customer.currency.encode()
