"""What refunds have on the books, also of a charge that Stripe settles in another currency.

Such a refund waits until its charge is booked, by its own balance transaction: the rate of the charge says what it is
worth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from service import ledger, orders
from service.charges import elsewhere, given_back
from service.foundation.postgres.sql import Batch, Connection, Record, Statement
from service.ledger import JournalEntry
from service.stripe_gateway.objects import BalanceTransaction, Refund

# Of the charge `p` of a refund: see `Booking`.
BOOKING = f"""p.id AS charge_id, p.status = 'duplicate' AS of_duplicate, p.settled_minor IS NOT NULL AS is_exchanged,
         p.balance_transaction_id IS NULL AS is_early, {elsewhere.waits("p")} AS waits"""


class Bookable(Protocol):
    """A row of a refund with the columns of `BOOKING`, from which its bookings are made."""

    id: UUID
    account_id: UUID
    order_id: UUID
    charge_id: UUID
    drawn_minor: int
    of_duplicate: bool
    is_exchanged: bool
    is_early: bool
    waits: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """A refund that Stripe has made, and what decides how it is booked.

    is_exchanged: its charge is booked in another currency than its own. is_early: what took its charge's money is not
    known yet. waits: nor is the charge booked before it is.
    """

    id: UUID
    account_id: UUID
    order_id: UUID
    charge_id: UUID
    shown: Refund
    drawn_minor: int
    of_duplicate: bool
    is_exchanged: bool
    is_early: bool
    waits: bool

    @classmethod
    def of(cls, row: Bookable, shown: Refund) -> "Booking":
        """The refund of this row, as Stripe shows it."""
        return cls(
            id=row.id,
            account_id=row.account_id,
            order_id=row.order_id,
            charge_id=row.charge_id,
            shown=shown,
            drawn_minor=row.drawn_minor,
            of_duplicate=row.of_duplicate,
            is_exchanged=row.is_exchanged,
            is_early=row.is_early,
            waits=row.waits,
        )

    @property
    def moved_elsewhere(self) -> list[BalanceTransaction]:
        """What it has moved of Stripe's balance in another currency than the customer's."""
        both = (self.shown.balance_transaction, self.shown.failure_balance_transaction)
        return [bt for bt in both if isinstance(bt, BalanceTransaction) and bt.currency != self.shown.currency]

    @property
    def must_wait(self) -> bool:
        """Whether nothing of it can be booked before its charge is."""
        return self.waits or (self.is_early and bool(self.moved_elsewhere))


async def entries(tx: Connection, bookings: Sequence[Booking]) -> dict[UUID, list[JournalEntry]]:
    """What is to be on the books of these refunds, by their ids; those that wait are left out. Their orders are locked.

    Raises ValueError for what cannot be one of its charge's.
    """
    if early := [(one.shown.currency, bt) for one in bookings if one.must_wait for bt in one.moved_elsewhere]:
        await elsewhere.note(tx, early)
    ready = [one for one in bookings if not one.must_wait]
    worth = await given_back.worth(tx, {one.charge_id for one in ready if one.is_exchanged})
    found = {one.id: _entries(one, worth) for one in ready}
    return {one.id: await ledger.anew(tx, found[one.id]) if one.is_exchanged else found[one.id] for one in ready}


def _entries(booking: Booking, worth: Mapping[UUID, ledger.Worth]) -> list[JournalEntry]:
    made = ledger.refund_entries(
        account_id=booking.account_id,
        order_id=booking.order_id,
        refund=booking.shown,
        drawn_minor=booking.drawn_minor,
        of_duplicate=booking.of_duplicate,
        worth=worth.get(booking.id),
    )
    return list(made)


class _Moved(Batch, frozen=True):
    """Refunds by Stripe's ids, and the currency of a balance transaction of each."""

    alias = "m"
    refund: Sequence[str]
    currency: Sequence[str]


class _Held(Record):
    """A refund of a charge that may be settled in another currency."""

    id: UUID
    account_id: UUID
    order_id: UUID
    charge_id: UUID
    payment_intent_id: str | None
    stripe_refund_id: str
    stripe_created: datetime
    amount_minor: int
    currency: str
    drawn_minor: int
    balance_transaction_id: str | None
    failure_transaction_id: str | None
    of_duplicate: bool
    is_exchanged: bool
    is_early: bool
    waits: bool

    def booking(self, bt: BalanceTransaction) -> Booking:
        """By what it moved."""
        came_back = bt.id == self.failure_transaction_id
        shown = Refund(
            id=self.stripe_refund_id,
            created=int(self.stripe_created.timestamp()),
            amount=self.amount_minor,
            currency=self.currency,
            payment_intent=self.payment_intent_id,
            balance_transaction=None if came_back else bt,
            failure_balance_transaction=bt if came_back else None,
        )
        return Booking.of(self, shown)


# Any other refund is booked as it is settled.
_OF_TWO_CURRENCIES = Statement(f"""
SELECT r.id, r.account_id, r.order_id, p.payment_intent_id, r.stripe_refund_id, r.stripe_created, r.amount_minor,
       r.currency, r.drawn_minor, r.balance_transaction_id, r.failure_transaction_id, {BOOKING}
  FROM {_Moved.unnest()}
 CROSS JOIN accounts a JOIN refunds r ON r.account_id = a.id AND r.stripe_refund_id = m.refund
  JOIN charges p ON p.id = r.charge_id
 WHERE r.stripe_created IS NOT NULL
   AND (r.currency <> m.currency OR r.currency IN (SELECT currency FROM settlement_currencies))
""").returning(_Held)


async def book_moved(tx: Connection, moved: Sequence[tuple[str, BalanceTransaction]]) -> set[str]:
    """Book these refunds, by Stripe's ids, by what they moved of its balance, where another currency is in it.

    Of any other refund nothing is done, by one statement for all of them. Safe to repeat. Returns the ids of those
    that are not booked, because their charge is not, or because the books say otherwise.
    """
    batch = _Moved(refund=[refund for refund, _ in moved], currency=[bt.currency for _, bt in moved]).bound()
    found = await tx.rows(_OF_TWO_CURRENCIES, batch)
    if not found:
        return set()
    await orders.lock(tx, [row.order_id for row in found])
    held = {row.stripe_refund_id: row for row in await tx.rows(_OF_TWO_CURRENCIES, batch)}
    left: set[str] = set()
    for refund, bt in moved:
        if (row := held.get(refund)) is None:
            continue
        is_its_own = bt.id in (row.balance_transaction_id, row.failure_transaction_id)
        if not is_its_own or not await _book(tx, row.booking(bt)):
            left.add(refund)
    return left


async def _book(tx: Connection, booking: Booking) -> bool:
    try:
        of_refund = (await entries(tx, [booking])).get(booking.id)
    except ValueError:  # its balance transaction is in a third currency
        return False
    return of_refund is not None and not (await ledger.post(tx, of_refund)).conflicting
