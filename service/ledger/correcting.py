"""A wrong booking is corrected by new entries; nothing booked is ever changed (P6).

The reversal is dated as what it reverses and the new entry by the right moment, so that the balance at any instant is
afterwards what Stripe says it was.
"""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from service.foundation.postgres.sql import Connection, Record, Statement
from service.ledger.entry import JournalEntry, Posting, money_or_none
from service.ledger.journal import REDATED, REVERSAL
from service.ledger.posting import PostResult, post


async def redate(connection: Connection, account_id: UUID, reference: str, occurred_at: datetime) -> PostResult:
    """Have `reference` count from `occurred_at` (aware) on, in the caller's transaction. Safe to repeat."""
    booked = await _entry(connection, account_id, reference)
    if booked is None or booked.occurred_at == occurred_at:
        return PostResult()
    return await post(connection, [reversal_entry(booked), redated_entry(booked, occurred_at)])


async def reverse(connection: Connection, account_id: UUID, reference: str) -> PostResult:
    """Take `reference` back, in the caller's transaction; nothing where it is not on the books. Safe to repeat."""
    booked = await _entry(connection, account_id, reference)
    return PostResult() if booked is None else await post(connection, [reversal_entry(booked)])


class _Leg(Record):
    """A posting, with what its whole entry says."""

    kind: str
    order_id: UUID | None
    payment_intent_id: str | None
    customer_minor: int | None
    customer_currency: str | None
    occurred_at: datetime
    code: str
    currency: str
    amount_minor: int


_ENTRY = Statement("""
SELECT e.kind, e.order_id, e.payment_intent_id, e.customer_minor, e.customer_currency, e.occurred_at,
       l.code, p.currency, p.amount_minor
  FROM journal_entries e
  JOIN postings p ON p.entry_id = e.id
  JOIN ledger_accounts l ON l.id = p.ledger_account_id
 WHERE e.account_id = :account AND e.reference = :reference
 ORDER BY p.line
""").returning(_Leg)


async def _entry(connection: Connection, account_id: UUID, reference: str) -> JournalEntry | None:
    rows = await connection.rows(_ENTRY, {"account": account_id, "reference": reference})
    if not rows:
        return None
    first = rows[0]
    return JournalEntry(
        account_id=account_id,
        reference=reference,
        kind=first.kind,
        order_id=first.order_id,
        payment_intent_id=first.payment_intent_id,
        occurred_at=first.occurred_at,
        postings=tuple(Posting(row.code, row.currency, row.amount_minor) for row in rows),
        customer=money_or_none(first.customer_minor, first.customer_currency),
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
