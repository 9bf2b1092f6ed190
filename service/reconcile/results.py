"""The result of a reconciliation: the verdict, the sums of each class, and the discrepancies, read page by page."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from service.foundation.postgres.sql import Statement
from service.reconcile import dispute_tables, movement_tables, payout_tables
from service.reconcile.classes import NOT_KEPT, next_step
from service.reconcile.head import ClassSum, Head
from service.reconcile.pages import Numbered, pages
from service.reconcile.store import Summed


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Who has accepted a discrepancy as it is, when, and why."""

    at: datetime
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Discrepancy:
    """One difference. `ours` and `stripe` are small JSON objects, null where that side has nothing.

    `amount` is the money at stake in minor units of `currency`; `age_s` counts from when it happened, `first_seen`
    from when a run first found it. `refund` is Stripe's id of the refund it is about, or ours where Stripe has none;
    `payout`, `dispute` and `movement` are those of the payout, dispute or balance transaction.
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
    refund: str | None
    payout: str | None
    dispute: str | None
    movement: str | None

    @property
    def next_step(self) -> str:
        """What an operator does next, in one line."""
        return next_step(
            self.name, self.payment_intent, self.fingerprint, self.refund, self.payout, self.dispute, self.movement
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(Head):
    """The result of a run. Valid inside `reconcile` only: the discrepancies are read from its connection."""

    driver: asyncpg.Connection

    async def discrepancies(self) -> AsyncIterator[Discrepancy]:
        """Yield all discrepancies by class, the oldest first."""
        async for page in pages(self.driver, _SHOWN):
            for row in page:
                yield discrepancy(row, self.window.now)


class Shown(Numbered):
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
    refund: str | None
    payout: str | None
    dispute: str | None
    movement: str | None


# What of a reference names a payout, a dispute or a movement.
NAMED = f"""
       CASE WHEN reference LIKE '{payout_tables.REFERENCE}%' AND order_id IS NULL AND pi IS NULL
            THEN substr(reference, length('{payout_tables.REFERENCE}') + 1) END AS payout,
       CASE WHEN reference ~ '^{dispute_tables.REFERENCE}[A-Za-z0-9_]+$'
            THEN substr(reference, length('{dispute_tables.REFERENCE}') + 1) END AS dispute,
       CASE WHEN reference LIKE '{movement_tables.REFERENCE}%'
            THEN substr(reference, length('{movement_tables.REFERENCE}') + 1) END AS movement"""

_SHOWN = Statement(f"""
SELECT n, class AS name, order_id, pi, ours::text AS ours, stripe::text AS theirs, amount, currency, at, first_seen,
       fingerprint, acked_at, acked_by, acked_why, refund, {NAMED}
  FROM recon_report WHERE n > :after ORDER BY n LIMIT :most
""").returning(Shown)


def class_sum(row: Summed, now: datetime) -> ClassSum:
    """The sum of a class, with the age that its oldest discrepancy has at `now`."""
    return ClassSum(
        name=row.name,
        is_open=row.name not in NOT_KEPT and not row.is_acked,
        currency=row.currency,
        count=row.count,
        amount=row.amount,
        oldest_s=_age_s(row.oldest, now),
    )


def discrepancy(row: Shown, now: datetime) -> Discrepancy:
    """The discrepancy of a row, with its age at `now`."""
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
        refund=row.refund,
        payout=row.payout,
        dispute=row.dispute,
        movement=row.movement,
    )


def _acknowledgement(row: Shown) -> Acknowledgement | None:
    if row.acked_at is None or row.acked_by is None or row.acked_why is None:
        return None
    return Acknowledgement(row.acked_at, row.acked_by, row.acked_why)


def _age_s(at: datetime, now: datetime) -> int:
    """The age in whole seconds; 0 where Stripe's clock is ahead of the database's."""
    return max(0, int((now - at).total_seconds()))
