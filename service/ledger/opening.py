"""What was in Stripe's balance before this installation: its books begin from that, once per currency. Pure."""

from datetime import datetime
from uuid import UUID

from service.ledger.entry import OPENING_EQUITY, STRIPE_BALANCE, JournalEntry, Money
from service.ledger.journal import move

OPENING = "opening"


def opening_reference(currency: str) -> str:
    """The natural key of the entry from which the books of a currency begin."""
    return f"{OPENING}:{currency}"


def opening_entry(*, account_id: UUID, had: Money, occurred_at: datetime) -> JournalEntry | None:
    """`had`: what Stripe's balance was at `occurred_at`, and no movement of ours explains; None where that is nothing.

    It is negative where Stripe was owed money.
    """
    if not had.minor:
        return None
    return JournalEntry(
        account_id=account_id,
        reference=opening_reference(had.currency),
        kind=OPENING,
        order_id=None,
        payment_intent_id=None,
        occurred_at=occurred_at,
        postings=move(had.minor, had.currency, debit=STRIPE_BALANCE, credit=OPENING_EQUITY),
    )
