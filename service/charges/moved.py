"""A charge that Stripe settles in another currency: booked by its balance transaction, at what Stripe's balance got.

Where the currency is known to settle elsewhere, nothing was booked before. Where that becomes known by this charge, it
was booked in its customer's currency, like any other: then that entry and those of its refunds are taken back, and
booked anew, in one transaction that holds its order's lock and its own.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

from service import ledger, orders
from service.charges import elsewhere
from service.charges.given_back import promises
from service.foundation.postgres.sql import Batch, Connection, Record, Statement
from service.stripe_gateway.objects import BalanceTransaction


class _Moved(Batch, frozen=True):
    """Charges, and the currency of each one's balance transaction."""

    alias = "m"
    id: Sequence[UUID]
    currency: Sequence[str]


class _Order(Record):
    id: UUID
    order_id: UUID


# Any other charge is booked as it is settled.
_OF_TWO_CURRENCIES = Statement(f"""
SELECT c.id, c.order_id FROM {_Moved.unnest()} JOIN charges c ON c.id = m.id
 WHERE c.currency <> m.currency OR c.currency IN (SELECT currency FROM settlement_currencies)
""").returning(_Order)


class _Charge(Record):
    """A charge whose money Stripe took. `taken_minor`: of the customer, in the currency of the charge."""

    id: UUID
    account_id: UUID
    order_id: UUID
    payment_intent_id: str | None
    stripe_charge_id: str
    taken_minor: int
    currency: str
    status: str
    charged_at: datetime | None
    balance_transaction_id: str | None


_LOCK = Statement("""
SELECT id, account_id, order_id, payment_intent_id, stripe_charge_id, coalesce(captured_minor, amount_minor)
       AS taken_minor, currency, status, charged_at, balance_transaction_id
  FROM charges WHERE id = ANY (CAST(:ids AS uuid[]))
 ORDER BY id
   FOR NO KEY UPDATE
""").returning(_Charge)


async def book_moved(tx: Connection, moved: Sequence[tuple[UUID, BalanceTransaction]]) -> set[UUID]:
    """Book these charges, and the fee of each, by what took their money, where another currency is in it.

    Of any other charge nothing is done, by one statement for all of them. Safe to repeat. Returns the ids of those that
    the books say otherwise of: what contradicts them is left out.
    """
    by_id = dict(moved)
    batch = _Moved(id=list(by_id), currency=[bt.currency for bt in by_id.values()])
    found = await tx.rows(_OF_TWO_CURRENCIES, batch.bound())
    if not found:
        return set()
    await orders.lock(tx, [row.order_id for row in found])
    charges = await tx.rows(_LOCK, {"ids": [row.id for row in found]})
    refused = {c.id for c in charges if c.balance_transaction_id not in (None, by_id[c.id].id)}
    open_ = [c for c in charges if c.id not in refused]
    await elsewhere.note(tx, [(c.currency, by_id[c.id]) for c in open_])
    refused |= await _refused(tx, open_, await ledger.anew(tx, [_entry(c, by_id[c.id]) for c in open_]))
    done = {c.id: by_id[c.id] for c in open_ if c.id not in refused}
    await tx.run(_MARK, _marks(done).bound())
    await ledger.post(tx, await promises(tx, list(done)))
    fees = [entry for c in open_ if c.id in done and (entry := _fee(c, done[c.id])) is not None]
    return refused | await _refused(tx, open_, fees)


async def _refused(tx: Connection, charges: Sequence[_Charge], entries: Sequence[ledger.JournalEntry]) -> set[UUID]:
    """Book these; returns the charges of those that are on the books with other content."""
    conflicting = (await ledger.post(tx, entries)).conflicting
    payments = {(entry.account_id, entry.payment_intent_id) for entry in conflicting}
    return {c.id for c in charges if (c.account_id, c.payment_intent_id) in payments}


class _Marks(Batch, frozen=True):
    """Charges, and what Stripe's balance got of each."""

    alias = "marks"
    id: Sequence[UUID]
    balance_transaction_id: Sequence[str]
    currency: Sequence[str]
    minor: Sequence[int]


_MARK = Statement(f"""
UPDATE charges c SET balance_transaction_id = marks.balance_transaction_id, updated_at = now(),
    settlement_currency = nullif(marks.currency, c.currency),
    settled_minor = CASE WHEN marks.currency <> c.currency THEN marks.minor END
  FROM {_Marks.unnest()}
 WHERE c.id = marks.id
""")


def _marks(done: Mapping[UUID, BalanceTransaction]) -> _Marks:
    return _Marks(
        id=list(done),
        balance_transaction_id=[bt.id for bt in done.values()],
        currency=[bt.currency for bt in done.values()],
        minor=[bt.amount for bt in done.values()],
    )


def _entry(charge: _Charge, bt: BalanceTransaction) -> ledger.JournalEntry:
    is_exchanged = charge.currency != bt.currency
    make = ledger.duplicate_entry if charge.status == "duplicate" else ledger.charge_entry
    return make(
        account_id=charge.account_id,
        order_id=charge.order_id,
        payment_intent_id=charge.payment_intent_id,
        stripe_charge_id=charge.stripe_charge_id,
        amount_minor=bt.amount if is_exchanged else charge.taken_minor,
        currency=bt.currency,
        occurred_at=charge.charged_at or datetime.fromtimestamp(bt.created, UTC),
        customer=ledger.Money(charge.taken_minor, charge.currency) if is_exchanged else None,
    )


def _fee(charge: _Charge, bt: BalanceTransaction) -> ledger.JournalEntry | None:
    return ledger.fee_entry(
        account_id=charge.account_id,
        order_id=charge.order_id,
        payment_intent_id=charge.payment_intent_id,
        balance_transaction_id=bt.id,
        fee_minor=bt.fee,
        currency=bt.currency,
        occurred_at=datetime.fromtimestamp(bt.created, UTC),
    )
