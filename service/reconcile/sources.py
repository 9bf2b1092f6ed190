"""Copies Stripe's side into a staging table in chunks, so that memory does not grow with the number of payments.

The staging tables are temporary and belong to one connection; reading, comparing and reporting all use it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

import asyncpg

from service.effects import in_order
from service.foundation.postgres.sql import Statement
from service.reconcile.pages import Numbered, pages
from service.stripe_gateway.marks import read_marks
from service.stripe_gateway.objects import BalanceTransaction, Charge, Intent

CHUNK = 5_000  # rows per COPY: about 3 MB of Python objects
RETRIEVE_AT_ONCE = 8  # concurrent calls that fetch a PaymentIntent by id; far below Stripe's limit for reads

COLUMNS = (
    "pi",
    "created",
    "amount",
    "received",
    "currency",
    "status",
    "account_id",
    "order_id",
    "attempt",
    "charge",
    "charged_at",
    "returned",
    "disputed",
    "txn",
    "txn_amount",
    "fee",
    "txn_currency",
    "txn_created",
)

Progress = Callable[[str], None]
LeftOut = Callable[[str], None]  # called with a sentence for each PaymentIntent that could not be staged


class Gateway(Protocol):
    """The calls to Stripe that a reconciliation makes; `service.stripe_gateway.client.StripeGateway` has them."""

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
    """Stage what Stripe lists for the window; returns how many. Raises IncompleteListing after staging what it read."""
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
    """Fetch by id the PaymentIntents that our side knows and the listing did not show; returns how many it asked for.

    Those that Stripe has are staged like the rest. Those that Stripe denies to have go to recon_absent; only these
    count as missing at Stripe. Raises IncompleteListing.
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
    """Fetch these in order, RETRIEVE_AT_ONCE at a time; None for one that Stripe has not. Raises the first failure."""
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
    """The rows of those that can be staged; `left_out` hears of each other one, which would fail the whole COPY."""
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
        intent.id,
        _time(intent.created),
        intent.amount,
        intent.amount_received,
        intent.currency,
        intent.status,
        *_ours(intent.metadata),
        intent.charge_id,
        charge and _time(charge.created),
        charge.returned if charge else 0,
        charge and charge.disputed,
        txn and txn.id,
        txn and txn.amount,
        txn and txn.fee,
        txn and txn.currency,
        txn and _time(txn.created),
    )


def _ours(metadata: dict[str, str]) -> tuple[UUID, UUID, int] | tuple[None, None, None]:
    marks = read_marks(metadata)
    return (None, None, None) if marks is None else (marks.account_id, marks.order_id, marks.attempt)


def _time(unix_s: int) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)
