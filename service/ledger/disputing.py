"""What a dispute books: the money that is taken, what comes back of it, and what is lost for good. Pure.

Its balance transactions say what was taken and given back; that it is lost is told by no movement, only by its state.
What was taken is receivable until the dispute is decided. It is parked and released at the rate of the charge, so that
the same integer goes both ways; what today's rate makes of it is `income:fx`.

A withdrawal has one of two shapes. Mostly one balance transaction carries the disputed amount and the fee inside it;
some carry no fee, and the fee is a balance transaction of its own. The two cannot be told apart by size (the fee of a
small dispute is larger than what is disputed), so one without a fee inside is the disputed amount only where it is that
very amount. In another currency, where the rate has moved, it is so where it is neither below half of it nor above
twice of it. A wrong guess is a wrong split between fees and chargebacks and nothing worse: a decided dispute leaves
nothing receivable, because closing it books what is left.
"""

from datetime import datetime
from typing import Unpack

from service.ledger.entry import CHARGEBACKS_LOST, DISPUTE_FEES, DISPUTES_RECEIVABLE, FX, JournalEntry, Money
from service.ledger.journal import DISPUTE, DISPUTE_CLOSED, DISPUTE_REINSTATED, DISPUTE_WITHDRAWN, move
from service.ledger.movements import Owner, entry_of
from service.stripe_gateway.objects import BalanceTransaction


def dispute_reference(dispute_id: str, what: str = "") -> str:
    """The natural key of an entry of a dispute; without `what`, what all of them begin with."""
    return f"{DISPUTE}:{dispute_id}:{what}"


def dispute_entry(
    *,
    dispute_id: str,
    principal_minor: int,
    transaction: BalanceTransaction,
    customer: Money | None = None,
    **owner: Unpack[Owner],
) -> JournalEntry | None:
    """The bank took money because of the dispute, or gave it back: one of the dispute's balance transactions.

    `principal_minor`: the disputed amount, in the currency of the balance transaction, at the rate of the charge.
    `customer`: the disputed amount as the customer paid it, where that is another currency. An appeal takes the money
    again, by a balance transaction of its own.
    """
    took = transaction.amount < 0
    kind, word = (DISPUTE_WITHDRAWN, "withdrawn") if took else (DISPUTE_REINSTATED, "reinstated")
    moved = abs(transaction.amount)
    parked = _parked(transaction, principal_minor, is_exchanged=customer is not None)
    sign = 1 if took else -1
    against = {
        DISPUTES_RECEIVABLE: sign * parked,
        FX: sign * (moved - parked) if parked else 0,
        DISPUTE_FEES: transaction.fee + (0 if parked else sign * moved),
    }
    reference = dispute_reference(dispute_id, f"{word}:{transaction.id}")
    return entry_of(kind, reference, transaction, against, customer=customer, **owner)


def _parked(transaction: BalanceTransaction, principal_minor: int, *, is_exchanged: bool) -> int:
    """What of the movement is receivable, or is no more: minor units; 0 where the movement is a fee."""
    moved = abs(transaction.amount)
    if is_exchanged:
        is_principal = transaction.fee != 0 or principal_minor <= 2 * moved <= 4 * principal_minor
        return principal_minor if is_principal and moved else 0
    return moved if transaction.fee != 0 or moved == principal_minor else 0


def dispute_closed_entry(
    *, dispute_id: str, status: str, nth: int, left: Money, occurred_at: datetime, **owner: Unpack[Owner]
) -> JournalEntry:
    """The dispute is decided, and what is still receivable is lost; a negative rest had been given up, and came back.

    `status`: Stripe's word for the decision; `nth`: 1 for the first time that this dispute is closed. No balance
    transaction says it.
    """
    again = "" if nth == 1 else f":{nth}"
    return JournalEntry(
        reference=dispute_reference(dispute_id, f"{status}{again}"),
        kind=DISPUTE_CLOSED,
        occurred_at=occurred_at,
        postings=move(left.minor, left.currency, debit=CHARGEBACKS_LOST, credit=DISPUTES_RECEIVABLE),
        **owner,
    )
