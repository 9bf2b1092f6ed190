"""The fee sweep: Stripe's fee of a charge becomes known after the charge, and is booked then (PROTOCOL R24).

A charge is due until its `balance_transaction_id` is set. Recent ones are found in one listing of balance
transactions by time, 100 a call. What is still due after ten minutes is listed by time where many lie close,
else asked for by charge id, few at a time and not in every sweep. A sweep keeps no state: any number may run.
"""

import logging
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncEngine

from service.db import repeat_on_deadlock
from service.ledger import JournalEntry, fee_entry, fee_reference, post
from service.sql import Connection, Row, Statement, begin, connect
from service.stripe_objects import BalanceTransaction, IncompleteListing

RECENT = timedelta(minutes=10)  # almost every fee is known within seconds; later ones are stragglers
DUE_MAX = 5_000  # charges read per sweep and kind; bounds memory and the length of a listing
LISTED_MAX = 10_000  # balance transactions per listing: 100 calls; the next sweep goes on
PAGE = 100  # fees per transaction: what one call of Stripe's list brings
STRAGGLERS_MAX = 20  # asked for one by one, a call each
STRAGGLERS_EVERY = 30  # one sweep in so many, on average: an old fee has time, the call limit has none

_FOREVER = datetime.max.replace(tzinfo=UTC)
_EVER = datetime(1970, 1, 1, tzinfo=UTC)

log = logging.getLogger(__name__)


class FeeGateway(Protocol):
    """What the sweep needs of the Stripe gateway."""

    def list_balance_transactions(
        self, created_gte: int, created_lt: int | None = None, source: str | None = None
    ) -> AsyncIterator[BalanceTransaction]:
        """Those of charges, created in [gte, lt) Unix seconds, newest first; `source`: those of one charge.

        Raises IncompleteListing when a page could not be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class SweepResult:
    """Numbers of charges. Not `complete`: a listing broke off, and what it did not show is unknown."""

    due: int
    booked: int
    mismatched: int
    conflicting: int
    complete: bool


@dataclass(slots=True)
class _Tally:
    booked: int = 0
    mismatched: int = 0
    conflicting: int = 0
    complete: bool = True


@dataclass(frozen=True, slots=True)
class _Listing:
    """One listing to ask Stripe for, and the due charges that may be found in it, by Stripe's charge id."""

    wanted: dict[str, Row]
    created_gte: int
    created_lt: int | None = None
    source: str | None = None


_Found = tuple[Row, BalanceTransaction]

_DUE = Statement("""
SELECT id, account_id, order_id, payment_intent_id, stripe_charge_id, currency, stripe_created
  FROM charges
 WHERE status IN ('succeeded', 'duplicate') AND balance_transaction_id IS NULL
   AND stripe_created >= :since AND stripe_created < :until
   AND stripe_charge_id IS NOT NULL
 ORDER BY stripe_created
 LIMIT :rows
""")

# Locked in the order of their ids (R5). Another sweep may have booked some meanwhile: those are not returned.
_LOCK = Statement("""
SELECT id FROM charges
 WHERE id = ANY (CAST(:ids AS uuid[])) AND balance_transaction_id IS NULL
 ORDER BY id
   FOR NO KEY UPDATE
""")

_MARK = Statement("""
UPDATE charges c SET balance_transaction_id = f.balance_transaction_id, updated_at = now()
  FROM unnest(CAST(:ids AS uuid[]), CAST(:balance_transaction_ids AS text[]))
    AS f (id, balance_transaction_id)
 WHERE c.id = f.id
""")


async def sweep_once(
    engine: AsyncEngine, gateway: FeeGateway, *, now: datetime, rng: random.Random | None = None
) -> SweepResult:
    """Book the fees that Stripe knows by now; `now` (aware) tells recent charges from stragglers.

    A fee in another currency than its charge, or one that contradicts the books, stays due; reconciliation
    names it `fee_missing`. No transaction is open during a call to Stripe. `rng` draws the stragglers.
    """
    rng = rng or random.Random()  # noqa: S311  fairness, not secrecy
    recent = await _due(engine, since=now - RECENT, until=_FOREVER)
    old = await _due(engine, since=_EVER, until=now - RECENT)
    tally = _Tally()
    page: list[_Found] = []
    async for found in _found(gateway, [*_of_recent(recent), *_of_stragglers(old, rng)], tally):
        page.append(found)
        if len(page) == PAGE:
            await _book(engine, page, tally)
            page = []
    if page:
        await _book(engine, page, tally)
    due = len(recent) + len(old)
    return SweepResult(due, tally.booked, tally.mismatched, tally.conflicting, tally.complete)


async def _due(engine: AsyncEngine, *, since: datetime, until: datetime) -> Sequence[Row]:
    async with connect(engine) as connection:
        return await connection.rows(_DUE, {"since": since, "until": until, "rows": DUE_MAX})


def _of_recent(due: Sequence[Row]) -> Iterator[_Listing]:
    """One listing from the oldest due charge on; up to now, unless more are due than were read."""
    if due:
        yield _together(due, open_end=len(due) < DUE_MAX)


def _of_stragglers(due: Sequence[Row], rng: random.Random) -> Iterator[_Listing]:
    """After an outage many lie close: list around a random one, so that hopeless ones block no others."""
    if not due:
        return
    first = rng.choice(due).stripe_created
    near = [charge for charge in due if first <= charge.stripe_created < first + RECENT]
    if len(near) > STRAGGLERS_MAX:
        yield _together(near, open_end=False)
    if rng.randrange(STRAGGLERS_EVERY) == 0:
        for charge in rng.sample(due, min(len(due), STRAGGLERS_MAX)):
            name = charge.stripe_charge_id
            yield _Listing({name: charge}, _seconds(charge.stripe_created), source=name)


def _together(due: Sequence[Row], *, open_end: bool) -> _Listing:
    return _Listing(
        wanted={charge.stripe_charge_id: charge for charge in due},
        created_gte=_seconds(due[0].stripe_created),
        created_lt=None if open_end else _seconds(due[-1].stripe_created) + 1,
    )


async def _found(gateway: FeeGateway, listings: Sequence[_Listing], tally: _Tally) -> AsyncIterator[_Found]:
    """Due charges with their balance transactions. A listing that breaks off says nothing of the rest."""
    for listing in listings:
        try:
            async for charge, transaction in _read(gateway, listing):
                if charge.currency == transaction.currency:
                    yield charge, transaction
                else:
                    tally.mismatched += 1
                    log.warning(
                        "fee not booked: settled in %s, charged in %s, charge %s",
                        transaction.currency, charge.currency, charge.stripe_charge_id,
                    )  # fmt: skip
        except IncompleteListing as error:
            tally.complete = False
            log.warning("fees: %s; the next sweep asks again", error)


async def _read(gateway: FeeGateway, listing: _Listing) -> AsyncIterator[_Found]:
    """Until all that is wanted was seen, or the listing's bound."""
    missing = dict(listing.wanted)
    listed = 0
    async for transaction in gateway.list_balance_transactions(listing.created_gte, listing.created_lt, listing.source):
        charge = missing.pop(transaction.source or "", None)
        if charge is not None:
            yield charge, transaction
        listed += 1
        if not missing or listed == LISTED_MAX:
            return


async def _book(engine: AsyncEngine, page: Sequence[_Found], tally: _Tally) -> None:
    async def once() -> tuple[int, int]:
        async with begin(engine) as connection:
            return await _book_page(connection, page)

    booked, conflicting = await repeat_on_deadlock(once)
    tally.booked += booked
    tally.conflicting += conflicting


async def _book_page(connection: Connection, page: Sequence[_Found]) -> tuple[int, int]:
    """(charges done, charges left due because the books contradict their fee)."""
    locked = set(await connection.column(_LOCK, {"ids": [charge.id for charge, _ in page]}))
    open_ = [found for found in page if found[0].id in locked]
    result = await post(connection, [entry for found in open_ if (entry := _entry(*found))])
    contradicted = {entry.reference for entry in result.conflicting}
    for reference in sorted(contradicted):
        log.error("fee not booked: the books have other content under %s", reference)
    done = [(charge, bt) for charge, bt in open_ if fee_reference(bt.id) not in contradicted]
    marks = {"ids": [charge.id for charge, _ in done], "balance_transaction_ids": [bt.id for _, bt in done]}
    await connection.rows(_MARK, marks)
    return len(done), len(contradicted)


def _entry(charge: Row, transaction: BalanceTransaction) -> JournalEntry | None:
    return fee_entry(
        account_id=charge.account_id,
        order_id=charge.order_id,
        payment_intent_id=charge.payment_intent_id,
        balance_transaction_id=transaction.id,
        fee_minor=transaction.fee,
        currency=transaction.currency,
        occurred_at=datetime.fromtimestamp(transaction.created, UTC),
    )


def _seconds(instant: datetime) -> int:
    return int(instant.timestamp())
