"""Stripe's side into a staging table: a COPY per chunk, so that memory stays flat whatever the size of the day.

The staging tables are temporary and belong to one connection; reading, comparing and reporting all happen on it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

import asyncpg

from service.charges.listing import in_order
from service.foundation.postgres.sql import Statement
from service.reconcile.pages import Numbered, pages
from service.stripe_gateway.marks import read_marks
from service.stripe_gateway.objects import BalanceTransaction, Charge, Intent

CHUNK = 5_000  # rows per COPY: about 3 MB of Python objects at a time
RETRIEVE_AT_ONCE = 8  # edge items are fetched by id; below any rate limit of a read endpoint

COLUMNS = (
    "pi", "created", "amount", "received", "currency", "status", "account_id", "order_id", "attempt",
    "charge", "charged_at", "returned", "disputed", "txn", "txn_amount", "fee", "txn_currency", "txn_created",
)  # fmt: skip

Progress = Callable[[str], None]
LeftOut = Callable[[str], None]  # takes what could not be staged, and why


class Gateway(Protocol):
    """What a reconciliation asks of Stripe. `service.stripe_gateway.client.StripeGateway` is one."""

    def list_payment_intents(self, created_gte: int, created_lt: int) -> AsyncIterator[Intent]:
        """PaymentIntents created in [gte, lt) Unix seconds, charges expanded. Raises IncompleteListing."""
        ...

    async def retrieve_payment_intent(self, intent_id: str) -> Intent | None:
        """One PaymentIntent, or None where Stripe says that it has none. Raises IncompleteListing."""
        ...


async def stage_listing(
    driver: asyncpg.Connection,
    gateway: Gateway,
    created_gte: int,
    created_lt: int,
    progress: Progress,
    left_out: LeftOut,
) -> int:
    """Stage what Stripe lists for the window; returns how many. IncompleteListing comes after staging what was read."""
    staged, chunk = 0, list[tuple[Any, ...]]()
    try:
        async for intent in in_order(gateway.list_payment_intents, created_gte, created_lt):
            chunk += _rows([intent], left_out)
            if len(chunk) == CHUNK:
                staged += await _copy(driver, "recon_stripe", COLUMNS, chunk)
                progress(f"{staged} PaymentIntents read")
                chunk = []
    finally:
        staged += await _copy(driver, "recon_stripe", COLUMNS, chunk)
    return staged


class _Edge(Numbered):
    pi: str


_EDGES = Statement("SELECT n, pi FROM recon_edges WHERE n > :after ORDER BY n LIMIT :most").returning(_Edge)


async def stage_edges(driver: asyncpg.Connection, gateway: Gateway, progress: Progress, left_out: LeftOut) -> int:
    """Fetch by id what our side knows and the window's listing did not show; returns how many were asked for.

    What Stripe has is staged like the rest; what it says it has not goes to recon_absent: only that is missing there.
    Raises IncompleteListing.
    """
    asked = 0
    async for page in pages(driver, _EDGES):
        ids = [edge.pi for edge in page]
        found = await _retrieve(gateway, ids)
        await _copy(driver, "recon_stripe", COLUMNS, _rows([intent for intent in found if intent], left_out))
        absent = [(pi,) for pi, intent in zip(ids, found, strict=True) if intent is None]
        await _copy(driver, "recon_absent", ("pi",), absent)
        asked += len(ids)
        progress(f"{asked} PaymentIntents fetched by id")
    return asked


async def _retrieve(gateway: Gateway, ids: Sequence[str]) -> list[Intent | None]:
    """In the order of `ids`, a few at a time. The first failure ends it: the rest would be guesses."""
    found: list[Intent | None] = []
    for start in range(0, len(ids), RETRIEVE_AT_ONCE):
        some = ids[start : start + RETRIEVE_AT_ONCE]
        answers = await asyncio.gather(*map(gateway.retrieve_payment_intent, some), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            found.append(answer)
    return found


async def _copy(driver: asyncpg.Connection, table: str, columns: Sequence[str], rows: list[tuple[Any, ...]]) -> int:
    if rows:
        await driver.copy_records_to_table(table, records=rows, columns=columns)
    return len(rows)


def _rows(intents: Sequence[Intent], left_out: LeftOut) -> list[tuple[Any, ...]]:
    """Those that can be staged: one that cannot must not take its neighbours along."""
    rows = []
    for intent in intents:
        if (flaw := intent.flaw) is None:
            rows.append(row(intent))
        else:
            left_out(f"PaymentIntent {intent.id} cannot be compared: {flaw}")
    return rows


def row(intent: Intent) -> tuple[Any, ...]:
    """A PaymentIntent as a row of the staging table, in the order of COLUMNS.

    Metadata that is not in our own spelling counts as none: it is somebody else's, or was tampered with (R19).
    """
    charge = intent.latest_charge if isinstance(intent.latest_charge, Charge) else None
    txn = charge.balance_transaction if charge else None
    txn = txn if isinstance(txn, BalanceTransaction) else None
    return (
        intent.id, _time(intent.created), intent.amount, intent.amount_received, intent.currency, intent.status,
        *_ours(intent.metadata),
        intent.charge_id, charge and _time(charge.created),
        charge.returned if charge else 0, charge and charge.disputed,
        txn and txn.id, txn and txn.amount, txn and txn.fee, txn and txn.currency, txn and _time(txn.created),
    )  # fmt: skip


def _ours(metadata: dict[str, str]) -> tuple[UUID, UUID, int] | tuple[None, None, None]:
    marks = read_marks(metadata)
    return (None, None, None) if marks is None else (marks.account_id, marks.order_id, marks.attempt)


def _time(unix_s: int) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)
