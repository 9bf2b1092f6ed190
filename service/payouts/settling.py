"""What Stripe shows of payouts, onto their rows: the object gives the state, whatever was missed before.

An object may be settled twice, in any order, and late. The money that leaves Stripe's balance, and that comes back, is
booked by its balance transactions, elsewhere. Here stands what has none: that it arrived at the bank, and that it did
not after all.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Self
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger, notices
from service.foundation import log
from service.foundation.events import Event
from service.foundation.postgres.db import repeat_on_deadlock
from service.foundation.postgres.sql import Batch, Connection, Record, Statement, begin, connect
from service.ledger import JournalEntry, payout_arrived_reference
from service.notices import Fact, NoticeType
from service.payouts.following import Said, bookings, follow, said_by
from service.payouts.model import PayoutFailure
from service.payouts.reading import COLUMNS, PayoutRow, payout_of
from service.states import PAYOUT_STATUSES, PAYOUT_TOLD, in_sql
from service.stripe_gateway.payouts import Payout

PAGE = 100  # payouts of one transaction


async def settle(engine: AsyncEngine, shown: Sequence[Payout]) -> set[str]:
    """Have the rows say what Stripe shows of these payouts; returns the ids of those whose state has moved.

    What cannot be stored is said and left out. A repeat changes nothing.
    """
    storable = [payout for payout in shown if not _is_flawed(payout)]
    moved: set[str] = set()
    for start in range(0, len(storable), PAGE):
        moved |= await _settle_page(engine, _once_each(storable[start : start + PAGE]))
    return moved


async def may_follow(engine: AsyncEngine, shown: Payout) -> bool:
    """Whether the payout's row, if there is one, comes to say what Stripe shows when this is settled."""
    async with connect(engine) as connection:
        row = await connection.row(_LOCK, {"ids": [shown.id]})
    if row is None:
        return True
    is_same = (row.amount_minor, row.currency) == (shown.amount, shown.currency)
    return is_same and follow(_said(row), shown).status == shown.status


def _is_flawed(payout: Payout) -> bool:
    if payout.flaw:
        log.event(Event.PAYOUT_LEFT_OUT, payout=payout.id, reason=payout.flaw)
    return payout.flaw is not None


def _once_each(shown: Iterable[Payout]) -> list[Payout]:
    """Each payout once, in the order of the unique key (R5); of one that was read twice, what says more."""
    said: dict[str, Payout] = {}
    for payout in sorted(shown, key=lambda one: PAYOUT_STATUSES.index(one.status)):
        said[payout.id] = payout
    return [said[payout_id] for payout_id in sorted(said)]


async def _settle_page(engine: AsyncEngine, page: Sequence[Payout]) -> set[str]:
    async def once() -> set[str]:
        async with begin(engine) as tx:
            return await _record(tx, page)

    return await repeat_on_deadlock(once)


async def _record(tx: Connection, page: Sequence[Payout]) -> set[str]:
    new = {row.id for row in await tx.rows(_INSERT, _New.shown(page).bound())}
    ids = {"ids": [payout.id for payout in page]}
    rows = {row.id: row for row in await tx.rows(_LOCK, ids)}
    arrived = {row.id for row in await tx.rows(_ARRIVED, ids)}
    changed: dict[str, Said] = {}
    entries: list[JournalEntry] = []
    for payout in page:
        row = rows[payout.id]
        if not _is_the_same(row, payout):
            continue
        was, now = _said(row), follow(_said(row), payout)
        if was != now:
            changed[payout.id] = now
        entries += bookings(row.account_id, now, payout, arrived=payout.id in arrived)
    if changed:
        await tx.run(_UPDATE, _Words.of(changed).bound())
    await _book(tx, entries)
    moved = new | {payout_id for payout_id, now in changed.items() if now.status != rows[payout_id].status}
    await _tell(tx, moved)
    return moved


def _is_the_same(row: "_Row", payout: Payout) -> bool:
    """Whether it is still of the sum that it was: Stripe never changes that."""
    is_same = (row.amount_minor, row.currency) == (payout.amount, payout.currency)
    if not is_same:
        log.event(Event.PAYOUT_LEFT_OUT, payout=payout.id, reason="its sum is not the one that it was")
    return is_same


async def _book(tx: Connection, entries: Sequence[JournalEntry]) -> None:
    for refused in (await ledger.post(tx, entries)).conflicting:
        log.event(Event.PAYOUT_LEFT_OUT, payout=refused.reference, reason="it is booked with other content")


class _News(PayoutRow):
    account_id: UUID


_NEWS = Statement(f"""
SELECT account_id, {COLUMNS} FROM payouts
 WHERE id = ANY(CAST(:ids AS text[])) AND status IN {in_sql(PAYOUT_TOLD)} ORDER BY id
""").returning(_News)
_TYPES: Mapping[str, NoticeType] = {kind.removeprefix("payout."): kind for kind in notices.NOTICE_TYPES}


async def _tell(tx: Connection, moved: set[str]) -> None:
    if moved:
        rows = await tx.rows(_NEWS, {"ids": list(moved)})
        facts = [Fact(row.account_id, _TYPES[row.status], row.id, "", None, payout_of(row)) for row in rows]
        await notices.tell(tx, facts)


class _Words(Batch, frozen=True):
    """What Stripe says of payouts now. `failure` is JSON."""

    alias = "i"
    id: Sequence[str]
    status: Sequence[str]
    arrival_date: Sequence[date]
    trace_id: Sequence[str | None]
    reconciliation_status: Sequence[str | None]
    failure: Sequence[str | None]
    balance_transaction_id: Sequence[str | None]
    failure_transaction_id: Sequence[str | None]

    @classmethod
    def of(cls, words: Mapping[str, Said], **own: Any) -> Self:
        """The batch of these; `own` are the columns of a subclass."""
        said = words.values()
        return cls(
            id=list(words),
            status=[s.status for s in said],
            arrival_date=[s.arrival_date for s in said],
            trace_id=[s.trace_id for s in said],
            reconciliation_status=[s.reconciliation_status for s in said],
            failure=[msgspec.json.encode(s.failure).decode() if s.failure else None for s in said],
            balance_transaction_id=[s.balance_transaction_id for s in said],
            failure_transaction_id=[s.failure_transaction_id for s in said],
            **own,
        )


class _New(_Words, frozen=True):
    """The same with what never changes."""

    amount_minor: Sequence[int]
    currency: Sequence[str]
    automatic: Sequence[bool]
    method: Sequence[str]
    stripe_created: Sequence[datetime]

    @classmethod
    def shown(cls, page: Sequence[Payout]) -> Self:
        """The batch of these payouts."""
        return cls.of(
            {payout.id: said_by(payout) for payout in page},
            amount_minor=[payout.amount for payout in page],
            currency=[payout.currency for payout in page],
            automatic=[payout.automatic for payout in page],
            method=[payout.method for payout in page],
            stripe_created=[datetime.fromtimestamp(payout.created, UTC) for payout in page],
        )


class _Id(Record):
    id: str


_SEEN = "jsonb_build_object('at', now(), 'status', i.status)"

_INSERT = Statement(f"""
INSERT INTO payouts (id, account_id, status, amount_minor, currency, arrival_date, automatic, method, trace_id,
                     reconciliation_status, failure, balance_transaction_id, failure_transaction_id, history,
                     stripe_created)
SELECT i.id, a.id, i.status, i.amount_minor, i.currency, i.arrival_date, i.automatic, i.method, i.trace_id,
       i.reconciliation_status, i.failure::jsonb, i.balance_transaction_id, i.failure_transaction_id,
       jsonb_build_array({_SEEN}), i.stripe_created
  FROM {_New.unnest()} CROSS JOIN accounts a WHERE a.is_default ORDER BY i.id COLLATE "C"
ON CONFLICT (id) DO NOTHING
RETURNING id
""").returning(_Id)


class _Row(Record):
    """A payout as it is stored, with all that settling may change; failure is JSON."""

    id: str
    account_id: UUID
    status: str
    amount_minor: int
    currency: str
    arrival_date: date
    trace_id: str | None
    reconciliation_status: str | None
    failure_text: str | None
    balance_transaction_id: str | None
    failure_transaction_id: str | None


# Of two who settle a payout the second sees what the first has made of it.
_LOCK = Statement("""
SELECT id, account_id, status, amount_minor, currency, arrival_date, trace_id, reconciliation_status,
       failure::text AS failure_text, balance_transaction_id, failure_transaction_id
  FROM payouts WHERE id = ANY(CAST(:ids AS text[])) ORDER BY id COLLATE "C" FOR NO KEY UPDATE
""").returning(_Row)

_ARRIVED = Statement(f"""
SELECT p.id FROM payouts p
  JOIN journal_entries e ON e.account_id = p.account_id AND e.reference = '{payout_arrived_reference("")}' || p.id
 WHERE p.id = ANY(CAST(:ids AS text[]))
""").returning(_Id)

_UPDATE = Statement(f"""
UPDATE payouts p
   SET status = i.status, arrival_date = i.arrival_date, trace_id = i.trace_id,
       reconciliation_status = i.reconciliation_status, failure = i.failure::jsonb,
       balance_transaction_id = i.balance_transaction_id, failure_transaction_id = i.failure_transaction_id,
       history = CASE WHEN p.status = i.status THEN p.history ELSE p.history || {_SEEN} END, updated_at = now()
  FROM {_Words.unnest()}
 WHERE p.id = i.id
""")


def _said(row: _Row) -> Said:
    return Said(
        status=row.status,
        arrival_date=row.arrival_date,
        trace_id=row.trace_id,
        reconciliation_status=row.reconciliation_status,
        failure=msgspec.json.decode(row.failure_text, type=PayoutFailure) if row.failure_text else None,
        balance_transaction_id=row.balance_transaction_id,
        failure_transaction_id=row.failure_transaction_id,
    )
