"""Movements of a charge: the money was taken, less Stripe's fee, which is known by this alone (R24)."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

from service.balance.explaining import Explained, Explainer, Explanation, Unexplained
from service.charges import book_moved
from service.foundation.postgres.sql import Batch, Connection, Record, Statement
from service.ledger import (
    JournalEntry,
    Money,
    Owner,
    Rate,
    charge_failure_entry,
    charge_reference,
    duplicate_reference,
    fee_entry,
    movement_of,
    partial_capture_reversal_entry,
)
from service.states import CHARGE_MONEY_MOVED, in_sql
from service.stripe_gateway.objects import BalanceTransaction


class Charge(Record):
    """A charge whose money Stripe took. `captured_minor`: what was taken, where that is less than the amount."""

    id: UUID
    account_id: UUID
    order_id: UUID
    payment_intent_id: str | None
    stripe_charge_id: str
    amount_minor: int
    captured_minor: int | None
    currency: str
    balance_transaction_id: str | None
    settlement_currency: str | None
    settled_minor: int | None
    status: str

    @property
    def taken_minor(self) -> int:
        """What is booked as taken, in minor units of the customer's currency."""
        return self.amount_minor if self.captured_minor is None else self.captured_minor

    @property
    def rate(self) -> Rate | None:
        """What Stripe's balance got for what the customer paid, where that is another currency."""
        if self.settlement_currency is None or self.settled_minor is None:
            return None
        return Rate(self.taken_minor, Money(self.settled_minor, self.settlement_currency))

    @property
    def owner(self) -> Owner:
        """Whose entries of it are."""
        return Owner(account_id=self.account_id, order_id=self.order_id, payment_intent_id=self.payment_intent_id)


_COLUMNS = ", ".join(f"c.{name}" for name in Charge.columns().split(", "))

# By the small index of charges whose movement was not seen yet. Locked in the order of their ids (R5).
_DUE = Statement(f"""
SELECT {_COLUMNS} FROM charges c
 WHERE c.status IN {in_sql(CHARGE_MONEY_MOVED)} AND c.balance_transaction_id IS NULL
   AND c.stripe_charge_id = ANY (CAST(:sources AS text[]))
 ORDER BY c.id
   FOR NO KEY UPDATE
""").returning(Charge)

# Of any other charge the books have an entry, by its natural key, which names its payment.
_BOOKED = Statement(f"""
SELECT {_COLUMNS}
  FROM unnest(CAST(:sources AS text[])) AS s (source)
 CROSS JOIN accounts a
  JOIN journal_entries e ON e.account_id = a.id
   AND e.reference IN ('{charge_reference("")}' || s.source, '{duplicate_reference("")}' || s.source)
  JOIN charges c ON c.account_id = e.account_id AND c.payment_intent_id = e.payment_intent_id
   AND c.stripe_charge_id = s.source
""").returning(Charge)


async def charges_of(tx: Connection, sources: Sequence[str]) -> dict[str, Charge]:
    """The charges whose money was taken, by Stripe's id of the charge."""
    if not sources:
        return {}
    found = {row.stripe_charge_id: row for row in await tx.rows(_DUE, {"sources": sources})}
    rest = [source for source in sources if source not in found]
    if rest:
        found |= {row.stripe_charge_id: row for row in await tx.rows(_BOOKED, {"sources": rest})}
    return found


class _Marks(Batch, frozen=True):
    """Charges and the balance transaction of each; its currency where it is another than the charge's."""

    alias = "marks"
    stripe_charge_id: Sequence[str]
    order_id: Sequence[UUID]
    balance_transaction_id: Sequence[str]
    currency: Sequence[str]


_MARK = Statement(f"""
UPDATE charges c SET balance_transaction_id = marks.balance_transaction_id,
    settlement_currency = nullif(marks.currency, c.currency), updated_at = now()
  FROM {_Marks.unnest()}
 WHERE c.order_id = marks.order_id AND c.stripe_charge_id = marks.stripe_charge_id
   AND c.balance_transaction_id IS NULL
""")


class OfCharges(Explainer):
    """Movements that take a customer's money."""

    async def explain(
        self,
        tx: Connection,
        movements: Sequence[BalanceTransaction],
        default_account: UUID,  # noqa: ARG002  a charge is of an account of its own
    ) -> Mapping[str, Explanation]:
        """By the charge that is their source. One in another currency is booked by this, because it tells the sum."""
        charges = await charges_of(tx, [bt.source for bt in movements if bt.source])
        found = {bt.id: _explanation(bt, charges.get(bt.source or "")) for bt in movements}
        taken = [bt for bt in movements if isinstance(found[bt.id], Explained)]
        refused = await book_moved(tx, [(charges[bt.source or ""].id, bt) for bt in taken])
        for bt in taken:
            charge = charges[bt.source or ""]
            if charge.id in refused:
                found[bt.id] = _contradiction(charge, "the books have other content of its charge", 0)
        return found

    async def booked(self, tx: Connection, movements: Sequence[tuple[BalanceTransaction, Explained]]) -> None:
        """Their charges are due no more."""
        marks = [(bt, e.order_id) for bt, e in movements]
        await tx.run(
            _MARK,
            _Marks(
                stripe_charge_id=[bt.source for bt, _ in marks if bt.source],
                order_id=[order_id for _, order_id in marks if order_id],
                balance_transaction_id=[bt.id for bt, _ in marks],
                currency=[bt.currency for bt, _ in marks],
            ).bound(),
        )


def _explanation(bt: BalanceTransaction, charge: Charge | None) -> Explanation:
    if charge is None:
        return Unexplained(why="its charge is unknown here")
    if charge.balance_transaction_id not in (None, bt.id):
        return _contradiction(charge, f"its charge has another balance transaction, {charge.balance_transaction_id}", 0)
    if charge.currency == bt.currency and charge.taken_minor != bt.amount:
        why = f"Stripe took {bt.amount}, and {charge.taken_minor} {charge.currency} is booked"
        return _contradiction(charge, why, charge.taken_minor)
    fee = fee_entry(
        **charge.owner,
        balance_transaction_id=bt.id,
        fee_minor=bt.fee,
        currency=bt.currency,
        occurred_at=datetime.fromtimestamp(bt.created, UTC),
    )
    return _explained(charge, fee)


class OfChargesTakenBack(Explainer):
    """A bank took back what it had confirmed, or the part of a hold that was not captured was let go."""

    async def explain(
        self,
        tx: Connection,
        movements: Sequence[BalanceTransaction],
        default_account: UUID,  # noqa: ARG002  a charge is of an account of its own
    ) -> Mapping[str, Explanation]:
        """By the charge that is their source."""
        charges = await charges_of(tx, [bt.source for bt in movements if bt.source])
        return {bt.id: _taken_back(bt, charges.get(bt.source or "")) for bt in movements}


def _taken_back(bt: BalanceTransaction, charge: Charge | None) -> Explanation:
    if charge is None:
        return Unexplained(why="its charge is unknown here")
    if movement_of(bt) == "partial_capture_reversal":
        return _explained(charge, partial_capture_reversal_entry(transaction=bt, **charge.owner))
    rate = charge.rate
    entry = charge_failure_entry(
        transaction=bt,
        of_duplicate=charge.status == "duplicate",
        booked_minor=None if rate is None else rate.settled.minor,
        customer=None if rate is None else Money(charge.taken_minor, charge.currency),
        **charge.owner,
    )
    return _explained(charge, entry)


def _explained(charge: Charge, entry: JournalEntry | None) -> Explained:
    entries = () if entry is None else (entry,)
    return Explained(account_id=charge.account_id, order_id=charge.order_id, entries=entries)


def _contradiction(charge: Charge, why: str, booked_minor: int) -> Unexplained:
    return Unexplained(
        why=why,
        account_id=charge.account_id,
        order_id=charge.order_id,
        booked_minor=booked_minor,
        is_contradiction=True,
    )
