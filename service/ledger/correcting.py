"""A wrong booking is corrected by new entries; nothing booked is ever changed (P6).

One that bears another moment than its charge is dated anew; one in another currency than Stripe's balance got is booked
anew in that one. The reversal is dated as what it reverses and the new entry by the right moment, so that the balance
at any instant is afterwards what Stripe says it was.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from service.foundation.postgres.sql import Connection
from service.ledger import on_the_books
from service.ledger.entry import JournalEntry, Posting
from service.ledger.journal import REDATED, REVERSAL, SETTLED
from service.ledger.posting import PostResult, post

# What an entry may have been booked anew as, the last correction first: under its right moment, in its right currency.
_IN_ITS_PLACE = (f"{REDATED}:{SETTLED}:", f"{SETTLED}:", f"{REDATED}:", "")


async def redate(connection: Connection, account_id: UUID, reference: str, occurred_at: datetime) -> PostResult:
    """Have `reference` count from `occurred_at` (aware) on, in the caller's transaction. Safe to repeat."""
    booked = (await standing(connection, [(account_id, reference)])).get((account_id, reference))
    if booked is None or booked.occurred_at == occurred_at:
        return PostResult()
    return await post(connection, [reversal_entry(booked), redated_entry(booked, occurred_at)])


async def reverse(connection: Connection, account_id: UUID, reference: str) -> PostResult:
    """Take `reference` back, in the caller's transaction; nothing where it is not on the books. Safe to repeat."""
    booked = (await on_the_books.entries(connection, [(account_id, reference)])).get((account_id, reference))
    return PostResult() if booked is None else await post(connection, [reversal_entry(booked)])


async def standing(
    connection: Connection, wanted: Collection[tuple[UUID, str]]
) -> dict[tuple[UUID, str], JournalEntry]:
    """What stands on the books for these, by account and reference: the entry, or the one booked in its place."""
    names = {(account, f"{prefix}{reference}") for account, reference in wanted for prefix in _IN_ITS_PLACE}
    booked = await on_the_books.entries(connection, sorted(names))
    found: dict[tuple[UUID, str], JournalEntry] = {}
    for account, reference in wanted:
        for prefix in _IN_ITS_PLACE:
            if (entry := booked.get((account, f"{prefix}{reference}"))) is not None:
                found[account, reference] = entry
                break
    return found


async def anew(connection: Connection, entries: Sequence[JournalEntry]) -> list[JournalEntry]:
    """What has `entries` on the books, whatever stands there for them in another currency until now.

    What stands keeps its moment. Posting this is safe to repeat; other content in the same currency is a conflict.
    """
    stands = await standing(connection, [entry.name for entry in entries])
    return [part for entry in entries for part in booked_anew(entry, stands.get(entry.name))]


def booked_anew(entry: JournalEntry, stands: JournalEntry | None) -> tuple[JournalEntry, ...]:
    """The same of one entry; `stands`: what is on the books for it, if anything. Pure."""
    if stands is None:
        return (entry,)
    entry = replace(entry, occurred_at=stands.occurred_at)
    if _currencies(entry) == _currencies(stands):
        return (replace(entry, reference=stands.reference, kind=stands.kind),)
    return reversal_entry(stands), settled_entry(entry)


def settled_entry(entry: JournalEntry) -> JournalEntry:
    """`entry`, booked anew in the currency that Stripe's balance got."""
    return replace(entry, reference=f"{SETTLED}:{entry.reference}", kind=SETTLED)


def _currencies(entry: JournalEntry) -> set[str]:
    return {posting.currency for posting in entry.postings}


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
