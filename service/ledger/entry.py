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
REVENUE = "revenue:orders"
CONTRA_REFUNDS = "contra:refunds"
REFUNDS_PAYABLE = "liabilities:refunds_payable"
PROCESSING_FEES = "expenses:stripe:processing"
SUSPENSE = "suspense:stripe"

CHART: dict[str, str] = {
    STRIPE_BALANCE: "asset",  # mirrors Stripe's balance, pending and available, at every cut-off
    REVENUE: "income",  # gross; what reduces it has accounts of its own
    CONTRA_REFUNDS: "contra_income",  # what was given back, or promised; gross revenue minus it is net revenue
    REFUNDS_PAYABLE: "liability",  # refunds on their way, and what customers are owed because one failed
    PROCESSING_FEES: "expense",  # Stripe's fee of each charge, and of a refund where there is one
    SUSPENSE: "suspense",  # money Stripe moved that no order explains; a human brings it back to zero
}

DEBIT_NORMAL = frozenset({"asset", "expense", "contra_income"})

DIGEST_VERSION = 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NONE, _SOME = b"\x00", b"\x01"


@dataclass(frozen=True, slots=True)
class Posting:
    """One leg: `amount_minor` of `currency` (lower case) onto chart account `code`; debit > 0, credit < 0."""

    code: str
    currency: str
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One balanced booking. `occurred_at` is Stripe's time of the event, never ours.

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

    def __post_init__(self) -> None:
        """Refuse an entry that no database of ours would take."""
        fault = _fault(self)
        if fault:
            raise ValueError(f"entry {self.reference}: {fault}")

    @property
    def digest(self) -> bytes:
        """Version byte + SHA-256 of everything above; equal digests are the same booking.

        Each part is length-prefixed, so no two contents share their bytes. Order of postings does not count.
        """
        content = b"".join(len(part).to_bytes(4, "big") + part for part in _canonical(self))
        return bytes([DIGEST_VERSION]) + hashlib.sha256(content).digest()


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
    """The content in bytes that never change meaning: a new form needs a new DIGEST_VERSION."""
    yield b"effectively-once/journal-entry/1"
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
