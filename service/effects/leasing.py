"""Keeping a lease while Stripe's lists are read: a day's pages take longer than any single call may.

Without it a look-up that outlasts its lease is taken over and begun again, by the next one too, and never ends.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service import orders
from service.charges.model import OpenCharge
from service.foundation.postgres.db import repeat_on_deadlock
from service.foundation.postgres.sql import Batch, Statement, begin
from service.foundation.settings import Settings
from service.outbox.handling import hide_fragment

_RENEW = Statement(f"""
WITH held AS (
  UPDATE charges c SET lease_until = now() + CAST(:lease AS interval)
    FROM unnest(CAST(:ids AS uuid[]), CAST(:tokens AS uuid[]), CAST(:outbox_ids AS uuid[])) AS i(id, token, outbox_id)
   WHERE c.id = i.id AND c.token = i.token RETURNING i.outbox_id
)
{hide_fragment("held h", "x.id = h.outbox_id", until="now() + CAST(:hidden AS interval)")}
""")


class _Held(Batch, frozen=True):
    """Charges that this worker has in hand."""

    alias = "i"
    id: Sequence[UUID]
    token: Sequence[UUID]
    outbox_id: Sequence[UUID]


_RENEW = Statement(f"""
WITH held AS (
  UPDATE charges c SET lease_until = now() + CAST(:lease AS interval)
    FROM {_Held.unnest()}
   WHERE c.id = i.id AND c.token = i.token RETURNING i.outbox_id
)
{hide_fragment("held h", "x.id = h.outbox_id", until="now() + CAST(:hidden AS interval)")}
""")


async def renew(engine: AsyncEngine, charges: Sequence[OpenCharge], settings: Settings) -> None:
    """Give these charges a whole lease from now on, and hide their rows as long; not those that were taken over."""
    held = _Held(
        id=[c.id for c in charges],
        token=[c.token for c in charges],
        outbox_id=[c.outbox_id for c in charges],
    )
    values = held.bound() | {
        "lease": timedelta(seconds=settings.charge_lease_s),
        "hidden": timedelta(seconds=settings.outbox_lease_s),
    }

    async def run() -> None:
        async with begin(engine) as tx:
            await orders.lock(tx, [c.order_id for c in charges])
            await tx.run(_RENEW, values)

    await repeat_on_deadlock(run)
