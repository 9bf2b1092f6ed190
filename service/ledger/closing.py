"""Disputes that are decided: what is still receivable of them is booked as lost, from the books and their state.

A dispute's state and its balance transactions are seen in any order, and a decision may be taken back by an appeal. So
what is left is read from the books whenever one of the two is new, and closing once more changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.foundation.postgres.sql import Batch, Connection, Record, Statement
from service.ledger.disputing import dispute_closed_entry, dispute_reference
from service.ledger.entry import DISPUTES_RECEIVABLE, JournalEntry, Money
from service.ledger.journal import DISPUTE_CLOSED, DISPUTE_REINSTATED
from service.ledger.posting import PostResult, post
from service.states import DISPUTE_DECIDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A dispute as it stands now, by Stripe's word for it. `occurred_at`: Stripe's moment of that, as far as known."""

    account_id: UUID
    order_id: UUID | None
    payment_intent_id: str | None
    dispute_id: str
    status: str
    occurred_at: datetime


class _Wanted(Batch, frozen=True):
    """Disputes, and between which references their entries lie."""

    alias = "wanted"
    nth: Sequence[int]
    account_id: Sequence[UUID]
    first: Sequence[str]
    beyond: Sequence[str]


class _Left(Record):
    """What the books have of one dispute."""

    nth: int
    currency: str
    receivable: int
    closed: int
    reinstated: int


_LEFT = Statement(f"""
SELECT wanted.nth, p.currency,
       CAST(coalesce(sum(p.amount_minor) FILTER (WHERE l.code = '{DISPUTES_RECEIVABLE}'), 0) AS bigint) AS receivable,
       count(DISTINCT e.id) FILTER (WHERE e.kind = '{DISPUTE_CLOSED}') AS closed,
       count(DISTINCT e.id) FILTER (WHERE e.kind = '{DISPUTE_REINSTATED}') AS reinstated
  FROM {_Wanted.unnest()}
  JOIN journal_entries e ON e.account_id = wanted.account_id
   AND e.reference COLLATE "C" >= wanted.first AND e.reference COLLATE "C" < wanted.beyond
  JOIN postings p ON p.entry_id = e.id
  JOIN ledger_accounts l ON l.id = p.ledger_account_id
 GROUP BY wanted.nth, p.currency
""").returning(_Left)


async def close_disputes(connection: Connection, disputes: Sequence[Decided]) -> PostResult:
    """Leave nothing receivable of those that are decided, in the caller's transaction, which holds their orders' locks.

    To be called after a dispute's state has changed and after one of its balance transactions is booked. One that is
    won waits for the money that comes back: until it is booked, its receivable stays.
    """
    decided = [one for one in disputes if one.status in DISPUTE_DECIDED]
    if not decided:
        return PostResult()
    prefixes = [dispute_reference(one.dispute_id) for one in decided]
    wanted = _Wanted(
        nth=list(range(len(decided))),
        account_id=[one.account_id for one in decided],
        first=prefixes,
        beyond=[prefix[:-1] + ";" for prefix in prefixes],  # the byte after the colon
    )
    left = [(decided[row.nth], row) for row in await connection.rows(_LEFT, wanted.bound())]
    return await post(connection, [_entry(dispute, row) for dispute, row in left if _is_to_close(dispute, row)])


def _is_to_close(dispute: Decided, left: _Left) -> bool:
    comes_back = dispute.status != "lost" and not left.reinstated
    return left.receivable < 0 or (left.receivable > 0 and not comes_back)


def _entry(dispute: Decided, left: _Left) -> JournalEntry:
    return dispute_closed_entry(
        dispute_id=dispute.dispute_id,
        status=dispute.status,
        nth=left.closed + 1,
        left=Money(left.receivable, left.currency),
        occurred_at=dispute.occurred_at,
        account_id=dispute.account_id,
        order_id=dispute.order_id,
        payment_intent_id=dispute.payment_intent_id,
    )
