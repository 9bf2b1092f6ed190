"""One reconciliation, from the clock to the verdict.

Stripe is read first, our side after it in one snapshot. What we book in between is looked up at Stripe by id; what
changes later is younger than the grace. No transaction is open while Stripe is asked.
"""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from service.balance import BalanceGateway
from service.effects import Rules
from service.foundation.errors import EffectivelyOnceError, Unavailable
from service.foundation.postgres.db import as_unavailable, is_unreachable
from service.foundation.postgres.sql import Connection, Record, Statement
from service.reconcile import store
from service.reconcile.balance import Proven, prove
from service.reconcile.classes import SOURCE_INCOMPLETE
from service.reconcile.compare import (
    Read,
    compare,
    disputes_since,
    find_edges,
    hidden,
    note_failures,
    note_known,
    of_no_refund,
    open_staging,
)
from service.reconcile.head import ClassSum, Head
from service.reconcile.results import Report, class_sum
from service.reconcile.sources import (
    DISPUTES,
    FAILURES,
    MEANWHILE_S,
    PAYMENTS,
    PAYOUTS,
    REFUNDS,
    Gateway,
    Progress,
    Source,
)
from service.reconcile.window import Span, Window, fix
from service.stripe_gateway.objects import IncompleteListing

# Errors of a lost connection, as opposed to a refused statement. The driver raises the last one where the server ended
# the session between two statements.
_LOST = (OSError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, asyncpg.InternalClientError)
_CLOSED = "connection is closed"  # the InterfaceError of a lost connection; all other kinds are mistakes in this code

_NAMED_MAX = 5  # at most so many payments that could not be compared are named


class _Clock(Record):
    now: datetime


_CLOCK = Statement("SELECT clock_timestamp() AS now").returning(_Clock)


class CutShort(EffectivelyOnceError):
    """The database went away during the run: there is no report, and the stored run has no verdict."""


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
    balance: BalanceGateway | None = None,
) -> AsyncIterator[Report]:
    """Compare orders and charges, ledger and Stripe over `span`; yields the report, and records the run.

    `rules` say how long a payment may wait at Stripe; with `balance` the balance is proven, too. `now` is the
    database's clock unless given. Raises Unavailable (could not begin), ValueError (an empty window), and CutShort
    (began, and the database went away). What Stripe did not show is no error here: the verdict is incomplete.
    """
    async with _session(engine) as driver:
        with _lost_is(Unavailable):
            await open_staging(driver)
            window = fix(span, now=now or (await Connection(driver).one(_CLOCK)).now, grace_s=grace_s)
            run_id = await store.begin_run(driver, window, source)
        with _lost_is(CutShort):
            wanted = _Wanted(window, rules, run_id, progress, carry=span == Span())
            report = await _run(engine, driver, gateway, balance, wanted)
        yield report


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One run. carry: it has no window of its own, and looks at all that is still open."""

    window: Window
    rules: Rules
    run_id: UUID
    progress: Progress
    carry: bool


async def _run(
    engine: AsyncEngine, driver: asyncpg.Connection, gateway: Gateway, balance: BalanceGateway | None, wanted: _Wanted
) -> Report:
    window, run_id = wanted.window, wanted.run_id
    await note_known(driver, window, wanted.rules, carry=wanted.carry)
    read = await _read_stripe(driver, gateway, window, wanted.progress, carry=wanted.carry)
    wanted.progress("comparing")
    comparison = await compare(driver, window, wanted.rules, read, carry=wanted.carry)
    proven = Proven()
    if balance is not None and read.is_complete:
        proven, read = await _prove(engine, driver, balance, wanted)
    if not read.is_complete:
        values = {"class": SOURCE_INCOMPLETE, "now": window.now, "reason": json.dumps({"reason": read.incomplete})}
        await Connection(driver).run(_INCOMPLETE, values)
    sums = await store.keep(driver, run_id, window, complete=read.is_complete, proven=proven.is_proven)
    classes = tuple(class_sum(row, window.now) for row in sums)
    head: dict[str, Any] = {
        "run_id": run_id,
        "window": window,
        "verdict": _verdict(classes),
        "comparison": comparison,
        "classes": classes,
        "incomplete": read.incomplete,
        "proofs": proven.proofs,
    }
    await store.finish_run(driver, Head(**head))
    return Report(**head, driver=driver)


async def _prove(
    engine: AsyncEngine, driver: asyncpg.Connection, gateway: BalanceGateway, wanted: _Wanted
) -> tuple[Proven, Read]:
    """The proof of the balance, and what of it could not be read."""
    left_out: dict[str, None] = {}
    source = Source(driver, wanted.progress, left_out.setdefault)
    try:
        proven = await prove(engine, driver, source, gateway, wanted.window)
    except IncompleteListing as error:
        return Proven(), Read(str(error))
    return proven, Read(_words([*([proven.moved] if proven.moved else []), *left_out]))


def _words(left_out: Sequence[str]) -> str | None:
    """What could not be compared, the first of it by name; None where there is nothing."""
    more = [f"and {len(left_out) - _NAMED_MAX} more"] if len(left_out) > _NAMED_MAX else []
    return "; ".join([*left_out[:_NAMED_MAX], *more]) or None


_INCOMPLETE = Statement("""
INSERT INTO recon_findings (class, at, stripe) VALUES (:class, :now, CAST(CAST(:reason AS text) AS jsonb))
""")


async def _read_stripe(
    driver: asyncpg.Connection, gateway: Gateway, window: Window, progress: Progress, *, carry: bool
) -> Read:
    """Stage Stripe's side. What was read stays, and is true, whatever could not be read."""
    left_out: dict[str, None] = {}
    source, shown = Source(driver, progress, left_out.setdefault), {"disputes_shown": False, "refunds_shown": False}
    gte, lt = window.created_gte, window.created_lt
    try:
        await source.stage_listing(PAYMENTS, gateway.list_payment_intents, gte, lt)
        since = await disputes_since(driver)
        await source.stage_listing(DISPUTES, gateway.list_disputes, since, lt + MEANWHILE_S)
        shown["disputes_shown"] = True
        await source.stage_listing(
            REFUNDS, lambda gte, lt: gateway.list_refunds(created_gte=gte, created_lt=lt), gte, lt + MEANWHILE_S
        )
        shown["refunds_shown"] = True
        await note_failures(driver, window)
        await source.stage_listing(FAILURES, gateway.list_refund_failures, gte, lt)
        await source.stage_listing(PAYOUTS, gateway.list_payouts, gte, lt)
        await find_edges(driver, window, carry=carry)
        await source.stage_edges(PAYMENTS, gateway.retrieve_payment_intent)
        await source.stage_edges(REFUNDS, gateway.retrieve_refund)
        await source.stage_edges(DISPUTES, gateway.retrieve_dispute)
        await source.stage_edges(PAYOUTS, gateway.retrieve_payout)
    except IncompleteListing as error:
        return Read(str(error), **shown)
    unseen = await hidden(driver, window)
    if unseen is not None:
        return Read(f"the listing did not show {unseen}, which exists")
    if (unnamed := await of_no_refund(driver)) is not None:
        left_out[f"{unnamed} brought back the money of a refund that Stripe does not show"] = None
    return Read(_words(list(left_out)))


def _verdict(classes: tuple[ClassSum, ...]) -> str:
    if any(line.name == SOURCE_INCOMPLETE for line in classes):
        return "incomplete"
    return "discrepancies" if any(line.is_open for line in classes) else "clean"


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
