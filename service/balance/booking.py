"""Each movement is booked once, by what it is of, or stands in suspense, loudly: then both balances are equal.

A movement is stored when it is first seen. One whose source is not known here yet waits, and is looked at again after a
quarter of its age; after the grace it is booked to suspense. When its source becomes known later, one transaction takes
the suspense back and books what it was.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger
from service.balance import movements
from service.balance.every import explainer_of
from service.balance.explaining import Explained, Explainer, Explanation, Unexplained
from service.balance.movements import Standing
from service.foundation import log
from service.foundation.events import Event
from service.foundation.postgres.db import repeat_on_deadlock
from service.foundation.postgres.sql import Connection, Record, Statement, begin
from service.foundation.settings import Settings
from service.stripe_gateway.objects import BalanceTransaction

AT_ONCE = 500  # open movements of one transaction
UNKNOWN_CATEGORY = "its category is unknown to this version"
_WAITING, _BOOKED, _SUSPENSE = "waiting", "booked", "suspense"


@dataclass(slots=True)
class Booked:
    """What became of some movements. `read`: refunds of ours that Stripe shows otherwise than they are settled."""

    new: int = 0
    booked: int = 0
    waiting: int = 0
    read: set[str] = field(default_factory=set)


class _Default(Record):
    id: UUID


_DEFAULT = Statement("SELECT id FROM accounts WHERE is_default").returning(_Default)


async def book_shown(engine: AsyncEngine, shown: Sequence[BalanceTransaction]) -> Booked:
    """Store what is new of these, and book what is known of it. Any number of processes may do so at once."""

    async def once() -> tuple[_Page | None, int]:
        async with begin(engine) as tx:
            stored = await movements.stored(tx, [bt.id for bt in shown])
            new = [bt for bt in shown if bt.id not in stored]
            return await _book_new(tx, new) if new else (None, 0)

    return _told(*await repeat_on_deadlock(once))


async def _book_new(tx: Connection, new: Sequence[BalanceTransaction]) -> "tuple[_Page, int]":
    page = await _Page.of(tx, new)
    await page.book(tx, dict.fromkeys((bt.id for bt in new), _WAITING), is_old=frozenset())
    inserted = await movements.insert(tx, [(bt, page.standing[bt.id]) for bt in new])
    raced = [bt.id for bt in new if bt.id not in inserted]
    if raced and await movements.suspended(tx, raced):
        raise RuntimeError(f"of {raced} some went to suspense while they were booked")  # repeated, it finds them stored
    return page, len(inserted)


async def book_waiting(engine: AsyncEngine, settings: Settings) -> Booked:
    """Look at the open movements whose time has come, at most AT_ONCE of them."""

    async def once() -> tuple[_Page | None, int]:
        async with begin(engine) as tx:
            taken = await movements.take(tx, AT_ONCE, settings.reconcile_grace_s)
            if not taken:
                return None, 0
            page = await _Page.of(tx, [row.transaction for row in taken])
            was = {row.id: row.status for row in taken}
            await page.book(tx, was, is_old=frozenset(row.id for row in taken if row.is_old))
            await movements.note(tx, list(page.standing.items()))
            return page, 0

    return _told(*await repeat_on_deadlock(once))


def _told(page: "_Page | None", new: int) -> Booked:
    """What became of a page, said once it is committed."""
    if page is None:
        return Booked()
    page.tell()
    return page.booked_of(new)


@dataclass(slots=True)
class _Page:
    """Some movements in one transaction: what explains each, and where each stands afterwards."""

    transactions: Mapping[str, BalanceTransaction]
    explanations: Mapping[str, Explanation]
    explainers: Mapping[Explainer, Sequence[str]]
    default_account: UUID
    standing: dict[str, Standing] = field(default_factory=dict)
    said: list[tuple[Event, str]] = field(default_factory=list)

    @classmethod
    async def of(cls, tx: Connection, transactions: Sequence[BalanceTransaction]) -> "_Page":
        default_account = (await tx.one(_DEFAULT)).id
        by_explainer: dict[Explainer, list[BalanceTransaction]] = {}
        explanations: dict[str, Explanation] = {}
        for bt in sorted(transactions, key=lambda bt: bt.id):
            explainer = explainer_of(bt)
            if explainer is None:
                explanations[bt.id] = Unexplained(why=UNKNOWN_CATEGORY)
            else:
                by_explainer.setdefault(explainer, []).append(bt)
        for explainer, its_own in by_explainer.items():
            explanations |= await explainer.explain(tx, its_own, default_account)
        return cls(
            {bt.id: bt for bt in transactions},
            explanations,
            {explainer: [bt.id for bt in its_own] for explainer, its_own in by_explainer.items()},
            default_account,
        )

    async def book(self, tx: Connection, was: Mapping[str, str], is_old: frozenset[str]) -> None:
        """Put on the books what is explained, and into suspense what is not and cannot wait any longer."""
        known = {i: e for i, e in self.explanations.items() if isinstance(e, Explained)}
        posted = await ledger.post(tx, [entry for e in known.values() for entry in e.entries])
        refused = {entry.reference for entry in posted.conflicting}
        for i, e in known.items():
            if any(entry.reference in refused for entry in e.entries):
                why = "other content is on the books under its reference"
                self._leave(i, Unexplained(why=why, account_id=e.account_id, is_contradiction=True), was[i])
            else:
                self.standing[i] = Standing(_BOOKED, None, e.account_id, e.order_id)
        for i in sorted(i for i in known if was[i] == _SUSPENSE and self._is_booked(i)):
            await ledger.reverse(tx, self.default_account, ledger.suspense_reference(i))
            self.said.append((Event.BALANCE_CLEARED, i))
        for explainer, ids in self.explainers.items():
            if done := [(self.transactions[i], known[i]) for i in ids if self._is_booked(i)]:
                await explainer.booked(tx, done)
        await self._suspend(tx, was, is_old)

    async def _suspend(self, tx: Connection, was: Mapping[str, str], is_old: frozenset[str]) -> None:
        entries = []
        for i, e in self.explanations.items():
            if not isinstance(e, Unexplained):
                continue
            self._leave(i, e, was[i])
            if was[i] == _SUSPENSE or (e.why != UNKNOWN_CATEGORY and i not in is_old):
                continue
            self.standing[i] = replace(self.standing[i], status=_SUSPENSE)
            self.said.append((Event.BALANCE_SUSPENSE, i))
            entries.append(self._suspense(i, e))
        refused = (await ledger.post(tx, [entry for entry in entries if entry is not None])).conflicting
        if refused:
            raise RuntimeError(f"{refused[0].reference} is on the books with other content")

    def _suspense(self, i: str, e: Unexplained) -> ledger.JournalEntry | None:
        """In the default account's books: whose it is nobody knows."""
        return ledger.suspense_entry(
            transaction=self.transactions[i],
            booked_minor=e.booked_minor,
            account_id=self.default_account,
            order_id=None,
            payment_intent_id=None,
        )

    def _leave(self, i: str, e: Unexplained, was: str) -> None:
        self.standing[i] = Standing(was, e.why, e.account_id, e.order_id)
        if e.is_contradiction:
            self.said.append((Event.BALANCE_CONTRADICTED, i))

    def _is_booked(self, i: str) -> bool:
        return i in self.standing and self.standing[i].status == _BOOKED

    def tell(self) -> None:
        """One line of the log for all that met with the same; the first of them by name."""
        for event, count in Counter(event for event, _ in self.said).items():
            first = next(i for said, i in self.said if said is event)
            log.event(event, count=count, movement=first, why=self.standing[first].why)

    def booked_of(self, new: int) -> Booked:
        return Booked(
            new=new,
            booked=sum(self._is_booked(i) for i in self.standing),
            waiting=sum(at.status == _WAITING for at in self.standing.values()),
            read={e.read for e in self.explanations.values() if isinstance(e, Unexplained) and e.read},
        )
