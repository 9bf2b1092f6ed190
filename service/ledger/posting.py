"""A batch of journal entries onto the books: one statement, inside the caller's transaction.

The triggers want an entry and its postings in one statement. Chart accounts are found by a join in it, not in
a cache: a cached account could have been rolled back with the transaction that made it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from uuid_utils.compat import uuid7

from service.foundation.postgres.sql import Batch, Connection, Record, SmallInt, Statement
from service.ledger.entry import JournalEntry
from service.ledger.on_the_books import open_accounts, stored_digests


@dataclass(frozen=True, slots=True)
class PostResult:
    """What became of each entry of a batch; each is in exactly one of the three, in the batch's order.

    `conflicting`: other content is on the books under that reference. The caller parks the new one.
    """

    booked: tuple[JournalEntry, ...] = ()
    repeated: tuple[JournalEntry, ...] = ()
    conflicting: tuple[JournalEntry, ...] = ()


async def post(connection: Connection, entries: Sequence[JournalEntry]) -> PostResult:
    """Book what is new in `entries`, any accounts and currencies, in the caller's READ COMMITTED transaction.

    An entry already on the books, or twice in the batch, is `repeated`, and nothing is written for it. What
    another transaction is writing right now is waited for. Raises the driver's error (40P01, 55P03, 23514, …): the
    caller's transaction is then lost, and repeating it whole is safe.
    """
    if not entries:
        return PostResult()
    offered = {uuid7(): entry for entry in entries}
    booked = await _insert(connection, offered)
    rest = [entry for entry_id, entry in offered.items() if entry_id not in booked]
    stored = await stored_digests(connection, rest) if rest else {}
    repeated = {id(e) for e in rest if stored[e.account_id, e.reference] == e.digest}
    return PostResult(
        booked=tuple(entry for entry_id, entry in offered.items() if entry_id in booked),
        repeated=tuple(e for e in rest if id(e) in repeated),
        conflicting=tuple(e for e in rest if id(e) not in repeated),
    )


class _Entries(Batch, frozen=True):
    """Entries that are offered to the books."""

    alias = "entry"
    id: Sequence[UUID]
    account_id: Sequence[UUID]
    reference: Sequence[str]
    kind: Sequence[str]
    digest: Sequence[bytes]
    order_id: Sequence[UUID | None]
    payment_intent_id: Sequence[str | None]
    customer_minor: Sequence[int | None]
    customer_currency: Sequence[str | None]
    occurred_at: Sequence[datetime]


class _Lines(Batch, frozen=True):
    """The postings of those entries."""

    alias = "line"
    entry_id: Sequence[UUID]
    account_id: Sequence[UUID]
    line: Sequence[SmallInt]
    code: Sequence[str]
    currency: Sequence[str]
    amount_minor: Sequence[int]
    occurred_at: Sequence[datetime]


class _Posted(Record):
    """Whether the chart has every account that is used; if so, the ids of the entries that are new."""

    charted: bool
    booked: list[UUID]


# Where the chart lacks an account, nothing is inserted and `charted` is false. Ordered by the unique key: two
# batches that share references wait for each other in one order, and cannot deadlock (R5).
_POST = Statement(f"""
WITH charted AS MATERIALIZED (
  SELECT line.entry_id, line.line, line.currency, line.amount_minor, line.occurred_at, a.id AS ledger_account_id
    FROM {_Lines.unnest()}
    LEFT JOIN ledger_accounts a
      ON a.account_id = line.account_id AND a.code = line.code AND a.currency = line.currency
), chart AS MATERIALIZED (
  SELECT bool_and(ledger_account_id IS NOT NULL) AS complete FROM charted
), booked AS (
  INSERT INTO journal_entries ({_Entries.columns()})
  SELECT {_Entries.columns()}
    FROM {_Entries.unnest(numbered=True)}
   WHERE (SELECT complete FROM chart)
   ORDER BY account_id, reference COLLATE "C", nth
  ON CONFLICT (account_id, reference) DO NOTHING
  RETURNING id
), posting AS (
  INSERT INTO postings (entry_id, line, ledger_account_id, currency, amount_minor, occurred_at)
  SELECT entry_id, line, ledger_account_id, currency, amount_minor, occurred_at
    FROM charted WHERE entry_id = ANY (ARRAY(SELECT id FROM booked))
)
SELECT (SELECT complete FROM chart) AS charted, ARRAY(SELECT id FROM booked) AS booked
""").returning(_Posted)


async def _insert(connection: Connection, offered: dict[UUID, JournalEntry]) -> set[UUID]:
    """The ids of the entries that are new on the books."""
    batch = _entries(offered).bound() | _lines(offered).bound()
    posted = await connection.one(_POST, batch)
    if not posted.charted:
        await open_accounts(connection, offered)
        posted = await connection.one(_POST, batch)
    return set(posted.booked)


def _entries(offered: dict[UUID, JournalEntry]) -> _Entries:
    entries = offered.values()
    return _Entries(
        id=list(offered),
        account_id=[e.account_id for e in entries],
        reference=[e.reference for e in entries],
        kind=[e.kind for e in entries],
        digest=[e.digest for e in entries],
        order_id=[e.order_id for e in entries],
        payment_intent_id=[e.payment_intent_id for e in entries],
        customer_minor=[e.customer.minor if e.customer else None for e in entries],
        customer_currency=[e.customer.currency if e.customer else None for e in entries],
        occurred_at=[e.occurred_at for e in entries],
    )


def _lines(offered: dict[UUID, JournalEntry]) -> _Lines:
    lines = [
        (entry_id, entry, line, posting)
        for entry_id, entry in offered.items()
        for line, posting in enumerate(entry.postings, start=1)
    ]
    return _Lines(
        entry_id=[entry_id for entry_id, _, _, _ in lines],
        account_id=[entry.account_id for _, entry, _, _ in lines],
        line=[line for _, _, line, _ in lines],
        code=[posting.code for _, _, _, posting in lines],
        currency=[posting.currency for _, _, _, posting in lines],
        amount_minor=[posting.amount_minor for _, _, _, posting in lines],
        occurred_at=[entry.occurred_at for _, entry, _, _ in lines],
    )
