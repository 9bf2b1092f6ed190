"""Keeping a lease while Stripe's lists are read: a day's pages take longer than any single call may.

Without it a look-up that outlasts its lease is taken over and begun again, by the next one too, and never ends.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service import orders
from service.effects.kind import Kind
from service.effects.model import E
from service.foundation.postgres.db import repeat_on_deadlock
from service.foundation.postgres.sql import Batch, begin
from service.foundation.settings import Settings
from service.outbox.handling import hide_fragment


class _Held(Batch, frozen=True):
    """Effects that this worker has in hand."""

    alias = "i"
    id: Sequence[UUID]
    token: Sequence[UUID]
    outbox_id: Sequence[UUID]


def renew_sql(table: str) -> str:
    """Whoever holds the token keeps the lease, and hides the outbox row as long."""
    return f"""
WITH held AS (
  UPDATE {table} c SET lease_until = now() + CAST(:lease AS interval)
    FROM {_Held.unnest()}
   WHERE c.id = i.id AND c.token = i.token RETURNING i.outbox_id
)
{hide_fragment("held h", "x.id = h.outbox_id", until="now() + CAST(:hidden AS interval)")}
"""


async def renew(engine: AsyncEngine, kind: Kind[E], effects: Sequence[E], settings: Settings) -> None:
    """Give these effects a whole lease from now on, and hide their rows as long; not those that were taken over."""
    held = _Held(
        id=[e.id for e in effects],
        token=[e.token for e in effects],
        outbox_id=[e.outbox_id for e in effects],
    )
    values = held.bound() | {
        "lease": timedelta(seconds=settings.charge_lease_s),
        "hidden": timedelta(seconds=settings.outbox_lease_s),
    }

    async def run() -> None:
        async with begin(engine) as tx:
            await orders.lock(tx, [e.order_id for e in effects])
            await tx.run(kind.renew, values)

    await repeat_on_deadlock(run)
