"""What posting needs now and then: chart accounts that are missing, and what is stored under a reference."""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from uuid import UUID

from service.foundation.postgres.sql import Batch, Connection, Record, Statement
from service.ledger.entry import CHART, JournalEntry, Posting, money_or_none


class _Accounts(Batch, frozen=True):
    """Chart accounts to be made."""

    alias = "account"
    account_id: Sequence[UUID]
    code: Sequence[str]
    currency: Sequence[str]
    type: Sequence[str]


_OPEN_ACCOUNTS = Statement(f"""
INSERT INTO ledger_accounts ({_Accounts.columns()})
SELECT {_Accounts.columns()} FROM {_Accounts.unnest()}
ON CONFLICT (account_id, code, currency) DO NOTHING
""")


async def open_accounts(connection: Connection, offered: dict[UUID, JournalEntry]) -> None:
    """Make the chart accounts these entries use. Of two racers one makes it, the other waits and sees it."""
    wanted = sorted({(e.account_id, p.code, p.currency) for e in offered.values() for p in e.postings})
    accounts = _Accounts(
        account_id=[account_id for account_id, _, _ in wanted],
        code=[code for _, code, _ in wanted],
        currency=[currency for _, _, currency in wanted],
        type=[CHART[code] for _, code, _ in wanted],
    )
    await connection.run(_OPEN_ACCOUNTS, accounts.bound())


class _References(Batch, frozen=True):
    """Natural keys of entries."""

    alias = "wanted"
    account_id: Sequence[UUID]
    reference: Sequence[str]


class _Stored(Record):
    """An entry that is on the books."""

    account_id: UUID
    reference: str
    digest: bytes


# A second statement, because the first sees no row of a transaction that committed while it waited.
_STORED = Statement(f"""
SELECT e.account_id, e.reference, e.digest
  FROM {_References.unnest()}
  JOIN journal_entries e ON e.account_id = wanted.account_id AND e.reference = wanted.reference
""").returning(_Stored)


async def stored_digests(connection: Connection, entries: list[JournalEntry]) -> dict[tuple[UUID, str], bytes]:
    """The content on the books, as a digest, by account and reference, of those entries that are on them."""
    wanted = _References(account_id=[e.account_id for e in entries], reference=[e.reference for e in entries])
    rows = await connection.rows(_STORED, wanted.bound())
    return {(row.account_id, row.reference): row.digest for row in rows}


class _Leg(Record):
    """A posting, with what its whole entry says."""

    account_id: UUID
    reference: str
    kind: str
    order_id: UUID | None
    payment_intent_id: str | None
    customer_minor: int | None
    customer_currency: str | None
    occurred_at: datetime
    code: str
    currency: str
    amount_minor: int

    @property
    def name(self) -> tuple[UUID, str]:
        """Of its entry."""
        return self.account_id, self.reference


_ENTRIES = Statement(f"""
SELECT e.account_id, e.reference, e.kind, e.order_id, e.payment_intent_id, e.customer_minor, e.customer_currency,
       e.occurred_at, l.code, p.currency, p.amount_minor
  FROM {_References.unnest()}
  JOIN journal_entries e ON e.account_id = wanted.account_id AND e.reference = wanted.reference
  JOIN postings p ON p.entry_id = e.id
  JOIN ledger_accounts l ON l.id = p.ledger_account_id
 ORDER BY e.account_id, e.reference, p.line
""").returning(_Leg)


async def entries(connection: Connection, names: Sequence[tuple[UUID, str]]) -> dict[tuple[UUID, str], JournalEntry]:
    """The entries that are on the books of these accounts and references."""
    wanted = _References(account_id=[account for account, _ in names], reference=[reference for _, reference in names])
    legs = await connection.rows(_ENTRIES, wanted.bound())
    return {name: _entry(list(of_entry)) for name, of_entry in groupby(legs, key=lambda leg: leg.name)}


def _entry(legs: Sequence[_Leg]) -> JournalEntry:
    first = legs[0]
    return JournalEntry(
        account_id=first.account_id,
        reference=first.reference,
        kind=first.kind,
        order_id=first.order_id,
        payment_intent_id=first.payment_intent_id,
        occurred_at=first.occurred_at,
        postings=tuple(Posting(leg.code, leg.currency, leg.amount_minor) for leg in legs),
        customer=money_or_none(first.customer_minor, first.customer_currency),
    )
