"""What Stripe's word about a payout means: what its row says next, and what is on the books of it. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from uuid import UUID

from service.ledger import JournalEntry, Money, payout_arrived_entry, payout_returned_entry
from service.payouts.model import PayoutFailure
from service.states import PAYOUT_CAME_BACK, PAYOUT_TRANSITIONS
from service.stripe_gateway.objects import BalanceTransaction
from service.stripe_gateway.payouts import Payout


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What changes of a payout while it is on its way."""

    status: str
    arrival_date: date
    trace_id: str | None
    reconciliation_status: str | None
    failure: PayoutFailure | None
    balance_transaction_id: str | None
    failure_transaction_id: str | None


def said_by(shown: Payout) -> Said:
    """What Stripe says of it."""
    failed = shown.failure_code is not None or shown.failure_message is not None
    return Said(
        status=shown.status,
        arrival_date=datetime.fromtimestamp(shown.arrival_date, UTC).date(),
        trace_id=shown.trace,
        reconciliation_status=shown.reconciliation_status,
        failure=PayoutFailure(shown.failure_code, _storable(shown.failure_message)) if failed else None,
        balance_transaction_id=_id(shown.balance_transaction),
        failure_transaction_id=_id(shown.failure_balance_transaction),
    )


def follow(known: Said, shown: Payout) -> Said:
    """What is known afterwards. What was read late, and says less, changes nothing.

    What Stripe tells later than the state is kept once it was told, and so is the day of an arrival: it is booked.
    """
    said = said_by(shown)
    if said.status != known.status and said.status not in PAYOUT_TRANSITIONS[known.status]:
        return known
    is_listed = known.reconciliation_status == "completed"
    return replace(
        said,
        arrival_date=known.arrival_date if known.status == "paid" else said.arrival_date,
        trace_id=said.trace_id or known.trace_id,
        reconciliation_status=(None if is_listed else said.reconciliation_status) or known.reconciliation_status,
        failure=said.failure or known.failure,
        balance_transaction_id=said.balance_transaction_id or known.balance_transaction_id,
        failure_transaction_id=said.failure_transaction_id or known.failure_transaction_id,
    )


def bookings(account_id: UUID, said: Said, shown: Payout, *, arrived: bool) -> Iterator[JournalEntry]:
    """What is to be booked beside the movements of Stripe's balance. `arrived`: the arrival is on the books.

    An arrival is dated by its day, and taken back at the moment at which the money came back into Stripe's balance.
    """
    back, paid = shown.failure_balance_transaction, Money(shown.amount, shown.currency)
    if said.status == "paid" and not arrived and _moved_its_amount(shown):
        day = datetime.combine(said.arrival_date, time(), UTC)
        yield payout_arrived_entry(account_id=account_id, payout_id=shown.id, paid=paid, occurred_at=day)
    if said.status in PAYOUT_CAME_BACK and arrived and isinstance(back, BalanceTransaction):
        moment = datetime.fromtimestamp(back.created, UTC)
        yield payout_returned_entry(account_id=account_id, payout_id=shown.id, paid=paid, occurred_at=moment)


def _moved_its_amount(shown: Payout) -> bool:
    """Whether what left Stripe's balance is what shall arrive. Nobody has seen a payout in another currency."""
    left = shown.balance_transaction
    is_same = isinstance(left, BalanceTransaction) and (left.currency, left.amount) == (shown.currency, -shown.amount)
    return is_same and shown.amount != 0


def _id(movement: BalanceTransaction | str | None) -> str | None:
    return movement.id if isinstance(movement, BalanceTransaction) else movement


def _storable(message: str | None) -> str | None:
    """PostgreSQL stores no NUL."""
    return None if message is None else message.replace("\0", "")
