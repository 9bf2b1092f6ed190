"""The fee sweep: Stripe's fee of a charge becomes known after the charge, and is booked then (R24, R36).

A charge is due until its `balance_transaction_id` is set. While it is young it is looked for in one listing of balance
transactions, 100 a call; a few are asked for by charge, a call each. What Stripe does not show yet is asked for again
after a quarter of its age, so what never comes costs ever less and stands in nobody's way.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from typing import Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation import log
from service.foundation.events import Event
from service.foundation.postgres.db import repeat_on_deadlock
from service.foundation.postgres.sql import Connection, begin
from service.ledger import JournalEntry, due_fees, fee_entry, fee_reference, post
from service.ledger.due_fees import Due, Marks
from service.stripe_gateway.objects import TOOK_MONEY, BalanceTransaction, IncompleteListing

RECENT = timedelta(minutes=10)  # almost every fee is known within seconds; later ones are stragglers
DUE_MAX = 5_000  # charges read per sweep and kind; bounds memory and the length of a listing
LISTED_MAX = 10_000  # balance transactions per listing: 100 calls; the next sweep goes on
PAGE = 100  # fees per transaction: what one call of Stripe's list brings
FEW = 3  # so many are asked for one by one, and not listed
ONE_BY_ONE_MAX = 25  # calls of a sweep, young or old; those that a listing did not reach wait their turn
HITLESS_MAX = 5  # pages in a row without one that is wanted: then a listing is too dear
# A capture whose balance transaction Stripe did not show at once is booked under the moment of Stripe's answer, which
# may be a little later than the balance transaction's.
MAY_BE_EARLIER = timedelta(seconds=2)
_OF_ITS_AGE = 4
_SOONEST, _LATEST = timedelta(seconds=1), timedelta(hours=6)


# Books charges that Stripe settles in another currency, in the caller's transaction; returns those that it refuses.
BookMoved = Callable[[Connection, Sequence[tuple[UUID, BalanceTransaction]]], Awaitable[set[UUID]]]


class FeeGateway(Protocol):
    """What the sweep needs of the Stripe gateway."""

    def list_balance_transactions(
        self, created_gte: int, source: str | None = None
    ) -> AsyncIterator[BalanceTransaction]:
        """Those created at `created_gte` (Unix seconds) or later, newest first; `source`: those of one charge.

        Each page waits for its turn in the rate that the fleet shares. Raises IncompleteListing when one could not
        be read.
        """
        ...


@dataclass(slots=True)
class SweepResult:
    """Numbers of charges. Not `complete`: a listing broke off, and what it did not show is unknown."""

    due: int = 0
    booked: int = 0
    other_currency: int = 0
    conflicting: int = 0
    complete: bool = True


@dataclass(slots=True)
class FeeSweep:
    """One sweeper. It remembers when it last looked for a young charge, which is no harm to forget."""

    engine: AsyncEngine
    gateway: FeeGateway
    book_moved: BookMoved
    _again: dict[UUID, datetime] = field(default_factory=dict)

    async def once(self, *, now: datetime) -> SweepResult:
        """Book the fees that Stripe knows by now; `now` (aware) tells young charges from stragglers.

        A fee that contradicts the books, or cannot be one, stays due; reconciliation names it. No transaction is open
        during a call.
        """
        result = SweepResult()
        await self._young(now, result)
        await self._stragglers(now, result)
        if result.other_currency:
            log.event(Event.FEES_OTHER_CURRENCY, count=result.other_currency)
        return result

    async def _young(self, now: datetime, result: SweepResult) -> None:
        due = await due_fees.young(self.engine, now - RECENT, DUE_MAX)
        result.due += len(due)
        self._again = {row.id: self._again[row.id] for row in due if row.id in self._again}
        wanted = [row for row in due if self._again.get(row.id, now) <= now]
        for row in await self._look(wanted, result):
            self._again[row.id] = now + _pause(now - row.charged_at)

    async def _stragglers(self, now: datetime, result: SweepResult) -> None:
        """Those that turned old, from both ends, and those whose time has come again: everybody gets a turn."""
        ends = [due_fees.oldest, due_fees.youngest]
        turned = [await end(self.engine, now - RECENT, DUE_MAX // 2) for end in ends]
        again = await due_fees.again(self.engine, now, DUE_MAX)
        due = {row.id: row for rows in zip_longest(*turned, again) for row in rows if row is not None}
        result.due += len(due)
        asked = await self._look(list(due.values()), result)
        if asked:
            await due_fees.put_off(self.engine, {row.id: now + _pause(now - row.charged_at) for row in asked})

    async def _look(self, wanted: Sequence[Due], result: SweepResult) -> list[Due]:
        """Look for the fees of these charges; returns those that were asked for and have none that can be booked."""
        search = _Search({row.stripe_charge_id: row for row in wanted})
        asked: list[Due] = []
        try:
            if len(wanted) > FEW:
                asked = await self._list(search, result)
            for row in list(search.missing.values())[:ONE_BY_ONE_MAX]:
                source = row.stripe_charge_id
                # From the beginning: its moment may be that of an answer which came long after the money was taken.
                await self._read_through(search, result, 0, source=source)
                asked += [row] if search.missing.pop(source, None) else []
        except IncompleteListing as error:
            result.complete = False
            log.event(Event.FEES_INCOMPLETE, reason=str(error))
        return [*asked, *search.refused]

    async def _list(self, search: "_Search", result: SweepResult) -> list[Due]:
        """All at once; returns those that the listing would have shown, and drops them from what is missing."""
        since = min(_earliest(row) for row in search.missing.values())
        reached = await self._read_through(search, result, since)
        shown = [row for row in search.missing.values() if _earliest(row) >= reached]
        for row in shown:
            del search.missing[row.stripe_charge_id]
        return shown

    async def _read_through(self, search: "_Search", result: SweepResult, since: int, source: str | None = None) -> int:
        """Read a listing, newest first, as long as it is worth it. Returns from which second on it is read."""
        page: list[_Found] = []
        listed = hitless = reached = 0
        try:
            async for transaction in self.gateway.list_balance_transactions(since, source):
                page += search.found(transaction)
                listed, reached = listed + 1, transaction.created + 1
                if not search.missing or listed == LISTED_MAX:
                    return reached
                if listed % PAGE == 0:
                    hitless = 0 if page else hitless + 1
                    await self._book(page, search, result)
                    page.clear()
                    if hitless == HITLESS_MAX:
                        return reached
            return since
        finally:  # also what a listing showed before it broke off
            await self._book(page, search, result)

    async def _book(self, page: "Sequence[_Found]", search: "_Search", result: SweepResult) -> None:
        async def once() -> _Booked:
            async with begin(self.engine) as connection:
                return await _book_page(connection, page, self.book_moved)

        page = [found for found in page if not search.is_flawed(found)]
        if page:
            booked = await repeat_on_deadlock(once)
            result.booked += booked.fees
            result.other_currency += booked.other_currency
            result.conflicting += len(booked.refused)
            search.refused += booked.refused


_Found = tuple[Due, BalanceTransaction]


@dataclass(slots=True)
class _Search:
    """Due charges by Stripe's charge id that were not shown yet, and those whose fee the books refused."""

    missing: dict[str, Due]
    refused: list[Due] = field(default_factory=list)

    def found(self, transaction: BalanceTransaction) -> Iterable[_Found]:
        """The charge that this balance transaction took the money of, if it is one that is looked for.

        A charge may be the source of others, too: of what a bank takes back days later.
        """
        took_money = transaction.type in TOOK_MONEY
        charge = self.missing.pop(transaction.source or "", None) if took_money else None
        return [] if charge is None else [(charge, transaction)]

    def is_flawed(self, found: _Found) -> bool:
        """Whether no books can hold what Stripe shows for this charge: then it alone is left out, loudly."""
        charge, transaction = found
        if transaction.flaw:
            log.event(Event.FEES_UNREADABLE, charge=charge.stripe_charge_id, reason=transaction.flaw)
            self.refused.append(charge)
        return transaction.flaw is not None


@dataclass(frozen=True, slots=True)
class _Booked:
    fees: int
    other_currency: int
    refused: list[Due]


async def _book_page(connection: Connection, page: Sequence[_Found], book_moved: BookMoved) -> _Booked:
    """Book the fees of one page, and the charges that are settled in another currency than they were made in."""
    locked = await due_fees.lock(connection, [charge.id for charge, _ in page])
    open_ = [found for found in page if found[0].id in locked]
    contradicted = {fee_reference(bt.id) for charge, bt in open_ if _moved_another_sum(charge, bt)}
    moved = {charge.id: bt for charge, bt in open_ if fee_reference(bt.id) not in contradicted}
    refused = await book_moved(connection, list(moved.items()))
    contradicted |= {fee_reference(moved[charge_id].id) for charge_id in refused}
    entries = [
        entry for charge, bt in open_ if fee_reference(bt.id) not in contradicted and (entry := _entry(charge, bt))
    ]
    contradicted |= {entry.reference for entry in (await post(connection, entries)).conflicting}
    for reference in sorted(contradicted):
        log.event(Event.FEES_CONTRADICTED, reference=reference)
    done = [(charge, bt) for charge, bt in open_ if fee_reference(bt.id) not in contradicted]
    elsewhere = [None if charge.currency == bt.currency else bt.currency for charge, bt in done]
    marks = Marks(
        id=[charge.id for charge, _ in done],
        balance_transaction_id=[bt.id for _, bt in done],
        settlement_currency=elsewhere,
    )
    await due_fees.mark(connection, marks)
    others = sum(currency is not None for currency in elsewhere)
    return _Booked(len(done) - others, others, [charge for charge, bt in open_ if fee_reference(bt.id) in contradicted])


def _moved_another_sum(charge: Due, transaction: BalanceTransaction) -> bool:
    """Whether Stripe took another sum than is booked; in another currency its rate decides what the sum is."""
    return charge.currency == transaction.currency and charge.taken_minor != transaction.amount


def _entry(charge: Due, transaction: BalanceTransaction) -> JournalEntry | None:
    return fee_entry(
        account_id=charge.account_id,
        order_id=charge.order_id,
        payment_intent_id=charge.payment_intent_id,
        balance_transaction_id=transaction.id,
        fee_minor=transaction.fee,
        currency=transaction.currency,
        occurred_at=datetime.fromtimestamp(transaction.created, UTC),
    )


def _pause(age: timedelta) -> timedelta:
    return min(max(age / _OF_ITS_AGE, _SOONEST), _LATEST)


def _earliest(charge: Due) -> int:
    """The second from which on its balance transaction may have been made."""
    return int((charge.charged_at - MAY_BE_EARLIER).timestamp())
