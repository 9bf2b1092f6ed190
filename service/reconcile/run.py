"""One reconciliation, from the clock to the verdict.

Stripe is read first, our side after it in one snapshot. What we book in between is looked up at Stripe by id; what
changes later is younger than the grace. No transaction is open while Stripe is asked.
"""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from service.charges.model import Rules
from service.foundation.errors import EffectivelyOnceError, Unavailable
from service.foundation.postgres.db import as_unavailable, is_unreachable
from service.foundation.postgres.sql import Connection, Record, Statement
from service.reconcile import store
from service.reconcile.classes import NOT_KEPT, SOURCE_INCOMPLETE, next_step
from service.reconcile.compare import (
    Comparison,
    compare,
    find_edges,
    hidden,
    note_known,
    open_staging,
)
from service.reconcile.pages import Numbered, pages
from service.reconcile.sources import Gateway, Progress, stage_edges, stage_listing
from service.reconcile.window import Span, Window, fix
from service.stripe_gateway.objects import IncompleteListing

# Errors of a lost connection, as opposed to a refused statement. The driver raises the last one where the server ended
# the session between two statements.
_LOST = (OSError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, asyncpg.InternalClientError)
_CLOSED = "connection is closed"  # the InterfaceError of a lost connection; all other kinds are mistakes in this code

_NAMED_MAX = 5  # at most so many payments that could not be compared are named


class _Shown(Numbered):
    """A finding as it is reported; `ours` and `theirs` are JSON."""

    name: str
    order_id: UUID | None
    pi: str | None
    ours: str | None
    theirs: str | None
    amount: int | None
    currency: str | None
    at: datetime
    first_seen: datetime
    fingerprint: str
    acked_at: datetime | None
    acked_by: str | None
    acked_why: str | None


_SHOWN = Statement("""
SELECT n, class AS name, order_id, pi, ours::text AS ours, stripe::text AS theirs, amount, currency, at, first_seen,
       fingerprint, acked_at, acked_by, acked_why
  FROM recon_report WHERE n > :after ORDER BY n LIMIT :most
""").returning(_Shown)


class _Clock(Record):
    now: datetime


_CLOCK = Statement("SELECT clock_timestamp() AS now").returning(_Clock)


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Who has accepted a discrepancy as it is, when, and why."""

    at: datetime
    by: str
    reason: str


class CutShort(EffectivelyOnceError):
    """The database went away during the run: there is no report, and the stored run has no verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discrepancy:
    """One difference. `ours` and `stripe` are small JSON objects, null where that side has nothing.

    `amount` is the money at stake in minor units of `currency`; `age_s` counts from when it happened, `first_seen`
    from when a run first found it.
    """

    name: str
    order_id: UUID | None
    payment_intent: str | None
    ours: dict[str, Any] | None
    stripe: dict[str, Any] | None
    amount: int | None
    currency: str | None
    age_s: int
    first_seen: datetime
    fingerprint: str
    acknowledged: Acknowledgement | None

    @property
    def next_step(self) -> str:
        """What an operator does next, in one line."""
        return next_step(self.name, self.payment_intent, self.fingerprint)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassSum:
    """The discrepancies of one class in one currency: their number, their sum, and the age of the oldest.

    is_open: whether they count; what is in flight, or acknowledged, does not.
    """

    name: str
    is_open: bool
    currency: str | None
    count: int
    amount: int | None
    oldest_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of a run. Valid inside `reconcile` only: the discrepancies are read from its connection."""

    run_id: UUID
    window: Window
    verdict: str
    comparison: Comparison
    classes: tuple[ClassSum, ...]
    incomplete: str | None
    driver: asyncpg.Connection

    @property
    def money_at_stake(self) -> dict[str, int]:
        """The sum of all open discrepancies by currency, in minor units."""
        sums: dict[str, int] = {}
        for line in self.classes:
            if line.is_open and line.currency is not None:
                sums[line.currency] = sums.get(line.currency, 0) + (line.amount or 0)
        return dict(sorted(sums.items()))

    async def discrepancies(self) -> AsyncIterator[Discrepancy]:
        """Yield all discrepancies by class, the oldest first."""
        async for page in pages(self.driver, _SHOWN):
            for row in page:
                yield _discrepancy(row, self.window.now)


@asynccontextmanager
async def reconcile(
    engine: AsyncEngine,
    gateway: Gateway,
    span: Span,
    *,
    grace_s: int,
    rules: Rules,
    source: str = "api",
    now: datetime | None = None,
    progress: Progress = lambda _: None,
) -> AsyncIterator[Report]:
    """Compare orders and charges, ledger and Stripe over `span`; yields the report, and records the run.

    `rules` say how long a payment may wait at Stripe. `now` is the database's clock unless given. Raises Unavailable
    (could not begin), ValueError (an empty window), and CutShort (began, and the database went away). What Stripe did
    not show is no error here: the verdict is incomplete.
    """
    async with _session(engine) as driver:
        with _lost_is(Unavailable):
            await open_staging(driver)
            window = fix(span, now=now or (await Connection(driver).one(_CLOCK)).now, grace_s=grace_s)
            run_id = await store.begin_run(driver, window, source)
        with _lost_is(CutShort):
            report = await _run(driver, gateway, window, rules, run_id, progress, carry=span == Span())
        yield report


async def _run(
    driver: asyncpg.Connection,
    gateway: Gateway,
    window: Window,
    rules: Rules,
    run_id: UUID,
    progress: Progress,
    *,
    carry: bool,
) -> Report:
    await note_known(driver, window, rules, carry=carry)
    incomplete = await _read_stripe(driver, gateway, window, progress)
    progress("comparing")
    comparison = await compare(driver, window, rules, complete=incomplete is None)
    if incomplete is not None:
        values = {"class": SOURCE_INCOMPLETE, "now": window.now, "reason": json.dumps({"reason": incomplete})}
        await Connection(driver).run(_INCOMPLETE, values)
    sums = await store.keep(driver, run_id, window, complete=incomplete is None)
    classes = tuple(_class_sum(row, window.now) for row in sums)
    verdict = _verdict(classes)
    totals = {c: {side: asdict(s) for side, s in sides.items()} for c, sides in comparison.totals.items()}
    await store.finish_run(driver, run_id, verdict, totals)
    return Report(
        run_id=run_id,
        window=window,
        verdict=verdict,
        comparison=comparison,
        classes=classes,
        incomplete=incomplete,
        driver=driver,
    )


_INCOMPLETE = Statement("""
INSERT INTO recon_findings (class, at, stripe) VALUES (:class, :now, CAST(CAST(:reason AS text) AS jsonb))
""")


async def _read_stripe(driver: asyncpg.Connection, gateway: Gateway, window: Window, progress: Progress) -> str | None:
    """Stage Stripe's side; returns what could not be read, None where all was. What was read stays, and is true."""
    left_out: dict[str, None] = {}
    try:
        await stage_listing(driver, gateway, window.created_gte, window.created_lt, progress, left_out.setdefault)
        await find_edges(driver, window)
        await stage_edges(driver, gateway, progress, left_out.setdefault)
    except IncompleteListing as error:
        return str(error)
    unseen = await hidden(driver, window)
    if unseen is not None:
        return f"the listing did not show {unseen}, which exists"
    more = [f"and {len(left_out) - _NAMED_MAX} more"] if len(left_out) > _NAMED_MAX else []
    return "; ".join([*list(left_out)[:_NAMED_MAX], *more]) or None


def _verdict(classes: tuple[ClassSum, ...]) -> str:
    if any(line.name == SOURCE_INCOMPLETE for line in classes):
        return "incomplete"
    return "discrepancies" if any(line.is_open for line in classes) else "clean"


def _class_sum(row: store.Summed, now: datetime) -> ClassSum:
    return ClassSum(
        name=row.name,
        is_open=row.name not in NOT_KEPT and not row.is_acked,
        currency=row.currency,
        count=row.count,
        amount=row.amount,
        oldest_s=_age_s(row.oldest, now),
    )


def _discrepancy(row: _Shown, now: datetime) -> Discrepancy:
    return Discrepancy(
        name=row.name,
        order_id=row.order_id,
        payment_intent=row.pi,
        ours=json.loads(row.ours) if row.ours else None,
        stripe=json.loads(row.theirs) if row.theirs else None,
        amount=row.amount,
        currency=row.currency,
        age_s=_age_s(row.at, now),
        first_seen=row.first_seen,
        fingerprint=row.fingerprint,
        acknowledged=_acknowledgement(row),
    )


def _acknowledgement(row: _Shown) -> Acknowledgement | None:
    if row.acked_at is None or row.acked_by is None or row.acked_why is None:
        return None
    return Acknowledgement(row.acked_at, row.acked_by, row.acked_why)


def _age_s(at: datetime, now: datetime) -> int:
    """The age in whole seconds; 0 where Stripe's clock is ahead of the database's."""
    return max(0, int((now - at).total_seconds()))


@asynccontextmanager
async def _session(engine: AsyncEngine) -> AsyncIterator[asyncpg.Connection]:
    """One connection of the driver, for COPY; it is closed afterwards, with its tables. Raises Unavailable."""
    with _lost_is(Unavailable):
        connection = await engine.connect()
    driver = (await connection.get_raw_connection()).driver_connection
    assert driver is not None, "an open connection has a driver connection"  # noqa: S101  for the type checker
    try:
        yield driver
    finally:
        await connection.invalidate()
        await connection.close()


@contextmanager
def _lost_is(kind: type[EffectivelyOnceError]) -> Iterator[None]:
    """Raise `kind` for a lost connection; let the error of a refused statement pass."""
    try:
        yield
    except (*_LOST, DBAPIError, asyncpg.InterfaceError) as error:
        if not (isinstance(error, _LOST) or is_unreachable(error) or _CLOSED in str(error)):
            raise
        raise kind(str(as_unavailable(error))) from error
