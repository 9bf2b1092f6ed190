"""What a payout books: money on its way to the bank, its arrival, and what comes back. Pure.

Its balance transactions say what left Stripe's balance and what came back to it; its state says what the bank has. So
each is booked by what tells it, and in whatever order the two are seen, the same is on the books at the end.
"""

from datetime import datetime
from uuid import UUID

from service.ledger.entry import BANK, OTHER_FEES, PAYOUTS_IN_TRANSIT, JournalEntry, Money
from service.ledger.journal import PAYOUT, PAYOUT_ARRIVED, PAYOUT_FAILED, PAYOUT_RETURNED, move
from service.ledger.movements import entry_of
from service.stripe_gateway.objects import BalanceTransaction


def payout_reference(payout_id: str) -> str:
    """The natural key of the entry of a payout that left Stripe's balance."""
    return f"{PAYOUT}:{payout_id}"


def payout_arrived_reference(payout_id: str) -> str:
    """The natural key of the entry of a payout that is at the bank."""
    return f"{PAYOUT_ARRIVED}:{payout_id}"


def payout_failed_reference(payout_id: str) -> str:
    """The natural key of the entry of a payout that came back to Stripe's balance."""
    return f"{PAYOUT_FAILED}:{payout_id}"


def payout_returned_reference(payout_id: str) -> str:
    """The natural key of the entry of a payout that left the bank again."""
    return f"{PAYOUT_RETURNED}:{payout_id}"


def payout_entry(
    *, account_id: UUID, payout_id: str, paid: Money, transaction: BalanceTransaction
) -> JournalEntry | None:
    """The money left Stripe's balance for the bank, or came from there where the payout is negative.

    `paid`: the payout's amount; `transaction`: its own. A fee of it, as of an instant payout, is no part of what
    arrives. Raises ValueError where the two are not of one amount and currency: no such payout has been seen yet.
    """
    return _moved(PAYOUT, payout_reference(payout_id), account_id, Money(-paid.minor, paid.currency), transaction)


def payout_failed_entry(
    *, account_id: UUID, payout_id: str, paid: Money, transaction: BalanceTransaction
) -> JournalEntry | None:
    """The payout failed or was canceled, and its money is in Stripe's balance again.

    `transaction`: its failure's. Where it had been at the bank already, `payout_returned_entry` is booked as well.
    Raises ValueError as `payout_entry` does.
    """
    return _moved(PAYOUT_FAILED, payout_failed_reference(payout_id), account_id, paid, transaction)


def payout_arrived_entry(*, account_id: UUID, payout_id: str, paid: Money, occurred_at: datetime) -> JournalEntry:
    """Stripe says that the payout is `paid`. `paid`: its amount, negative where it took money from the bank."""
    reference = payout_arrived_reference(payout_id)
    return _at_the_bank(PAYOUT_ARRIVED, reference, account_id, paid, occurred_at, debit=BANK, credit=PAYOUTS_IN_TRANSIT)


def payout_returned_entry(*, account_id: UUID, payout_id: str, paid: Money, occurred_at: datetime) -> JournalEntry:
    """A payout that had been booked as arrived failed after all. `paid`: its amount."""
    reference = payout_returned_reference(payout_id)
    return _at_the_bank(
        PAYOUT_RETURNED, reference, account_id, paid, occurred_at, debit=PAYOUTS_IN_TRANSIT, credit=BANK
    )


def _moved(
    kind: str, reference: str, account_id: UUID, expected: Money, transaction: BalanceTransaction
) -> JournalEntry | None:
    if expected != Money(transaction.amount, transaction.currency):
        raise ValueError(
            f"{reference} of {expected.minor} {expected.currency}: {transaction.id} moved"
            f" {transaction.amount} {transaction.currency}"
        )
    against = {PAYOUTS_IN_TRANSIT: -transaction.amount, OTHER_FEES: transaction.fee}
    return entry_of(kind, reference, transaction, against, account_id=account_id, order_id=None, payment_intent_id=None)


def _at_the_bank(
    kind: str, reference: str, account_id: UUID, paid: Money, occurred_at: datetime, *, debit: str, credit: str
) -> JournalEntry:
    return JournalEntry(
        account_id=account_id,
        reference=reference,
        kind=kind,
        order_id=None,
        payment_intent_id=None,
        occurred_at=occurred_at,
        postings=move(paid.minor, paid.currency, debit=debit, credit=credit),
    )
