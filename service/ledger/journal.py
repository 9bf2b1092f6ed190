"""The chart of accounts, the journal entry, and what each Stripe event books. Pure: no I/O, no clock.

Signs: a debit is positive, a credit negative; the postings of an entry sum to zero per currency.
Money is gross at success; the fee is an entry of its own, because Stripe tells it later.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

STRIPE_BALANCE = "assets:stripe:balance"
REVENUE = "revenue:orders"
PROCESSING_FEES = "expenses:stripe:processing"
SUSPENSE = "suspense:stripe"

CHART: dict[str, str] = {
    STRIPE_BALANCE: "asset",  # mirrors Stripe's balance, pending and available, at every cut-off
    REVENUE: "income",  # gross; what reduces it has accounts of its own
    PROCESSING_FEES: "expense",  # Stripe's fee of each charge
    SUSPENSE: "suspense",  # money Stripe moved that no order explains; a human brings it back to zero
}

DEBIT_NORMAL = frozenset({"asset", "expense"})

# The kinds of entries. An entry's reference is its kind, and the id of what it books.
CHARGE, DUPLICATE, FEE = "charge", "duplicate", "fee"
REVERSAL, REDATED = "reversal", "redated"

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
) -> JournalEntry:
    """A charge succeeded: Stripe holds the gross amount, and it is revenue. `occurred_at`: charge.created."""
    return JournalEntry(
        account_id=account_id,
        reference=charge_reference(stripe_charge_id),
        kind=CHARGE,
        order_id=order_id,
        payment_intent_id=payment_intent_id,
        occurred_at=occurred_at,
        postings=_move(amount_minor, currency, debit=STRIPE_BALANCE, credit=REVENUE),
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
) -> JournalEntry:
    """An order's second success: Stripe holds the money, and nobody earned it (R23)."""
    return JournalEntry(
        account_id=account_id,
        reference=duplicate_reference(stripe_charge_id),
        kind=DUPLICATE,
        order_id=order_id,
        payment_intent_id=payment_intent_id,
        occurred_at=occurred_at,
        postings=_move(amount_minor, currency, debit=STRIPE_BALANCE, credit=SUSPENSE),
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
    """Stripe's fee of a charge, or None where it took none. `occurred_at`: balance_transaction.created."""
    if fee_minor == 0:
        return None
    return JournalEntry(
        account_id=account_id,
        reference=fee_reference(balance_transaction_id),
        kind=FEE,
        order_id=order_id,
        payment_intent_id=payment_intent_id,
        occurred_at=occurred_at,
        postings=_move(fee_minor, currency, debit=PROCESSING_FEES, credit=STRIPE_BALANCE),
    )


def reversal_entry(entry: JournalEntry) -> JournalEntry:
    """What takes `entry` back, at its own moment: at no instant do the two leave anything."""
    return replace(
        entry,
        reference=f"{REVERSAL}:{entry.reference}",
        kind=REVERSAL,
        postings=tuple(Posting(p.code, p.currency, -p.amount_minor) for p in entry.postings),
    )


def redated_entry(entry: JournalEntry, occurred_at: datetime) -> JournalEntry:
    """`entry` again, under the moment at which it really happened."""
    return replace(entry, reference=f"{REDATED}:{entry.reference}", kind=REDATED, occurred_at=occurred_at)


def _move(amount_minor: int, currency: str, *, debit: str, credit: str) -> tuple[Posting, ...]:
    return Posting(debit, currency, amount_minor), Posting(credit, currency, -amount_minor)


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
