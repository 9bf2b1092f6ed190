"""New charges are inserted first, under the unique index: whoever inserts owns the first call (P3)."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

import msgspec

from service.charges.model import OpenCharge
from service.duplicates import Guard, absorbed
from service.effects.parking import KEY_IS_ANOTHERS
from service.effects.reopening import CALLED, open_values
from service.foundation.postgres.sql import Batch, Connection, Integer, Record, SmallInt, Statement
from service.foundation.settings import Settings
from service.outbox.rows import count_open
from service.states import ORDER_MOVES_BY_ITSELF, in_sql


class _New(Batch, frozen=True):
    """Charges that are opened for the first time; `request` is JSON."""

    alias = "i"
    id: Sequence[UUID]
    account_id: Sequence[UUID]
    order_id: Sequence[UUID]
    attempt: Sequence[SmallInt]
    key: Sequence[str]
    amount: Sequence[int]
    currency: Sequence[str]
    request: Sequence[str]
    version: Sequence[str]
    call: Sequence[str]
    token: Sequence[UUID]
    first_sent: Sequence[datetime | None]
    life: Sequence[Integer]


class _Inserted(Record):
    id: UUID


# Only an order moved to processing by this statement's own UPDATE, or already there, gets a charge (R12).
# Each step hands its rows to the next: joining them again would compare each with each.
_INSERT_CHARGES = Statement(f"""
WITH incoming AS (
  SELECT * FROM {_New.unnest()}
), moved AS (
  UPDATE orders o SET status = 'processing', updated_at = now()
    FROM incoming i
   -- IS TRUE: found by the id alone, never by the index of states, which a backlog makes long.
   WHERE o.id = i.order_id AND (o.status IN {in_sql(ORDER_MOVES_BY_ITSELF)}) IS TRUE
  RETURNING i.*
), opened AS (
  INSERT INTO charges (id, account_id, order_id, attempt, idempotency_key, amount_minor, currency, request,
      stripe_version, status, next_call, token, lease_until, maybe_executed, first_sent_at, last_sent_at, life,
      history)
  SELECT i.id, i.account_id, i.order_id, i.attempt, i.key, i.amount, i.currency, i.request::json,
      i.version, 'sending', i.call, i.token, now() + CAST(:lease AS interval), true,
      coalesce(i.first_sent, now()), CASE WHEN i.call = 'send' THEN now() END, i.life,
      jsonb_build_array({CALLED})
    FROM moved i
   ORDER BY i.account_id, i.key COLLATE "C"
  ON CONFLICT DO NOTHING
  RETURNING id, order_id
), counted AS (
  {count_open("opened p", "x.order_id = p.order_id AND x.id = ANY(CAST(:outbox_ids AS uuid[]))")}
)
SELECT id FROM opened
""").returning(_Inserted)


async def insert(
    tx: Connection, charges: list[OpenCharge], settings: Settings, *, alone: bool
) -> tuple[list[OpenCharge], list[tuple[UUID, str]]]:
    """Store new charges; returns those that are stored, and the outbox rows of the others with the reason."""
    if not charges:
        return [], []
    charges.sort(key=lambda c: (c.account_id.bytes, c.idempotency_key.encode()))
    values = _new(charges).bound() | open_values(settings, alone=alone)
    inserted = {
        row.id for row in await tx.rows(_INSERT_CHARGES, values | {"outbox_ids": [c.outbox_id for c in charges]})
    }
    refused = [c for c in charges if c.id not in inserted]
    for charge in refused:
        tx.after_commit(partial(absorbed, Guard.CHARGE_INDEX, charge.order_id))
    return [c for c in charges if c.id in inserted], [(c.outbox_id, KEY_IS_ANOTHERS) for c in refused]


def _new(charges: list[OpenCharge]) -> _New:
    return _New(
        id=[c.id for c in charges],
        account_id=[c.account_id for c in charges],
        order_id=[c.order_id for c in charges],
        attempt=[c.attempt for c in charges],
        key=[c.idempotency_key for c in charges],
        amount=[c.amount for c in charges],
        currency=[c.currency for c in charges],
        request=[msgspec.json.encode(c.request).decode() for c in charges],
        version=[c.stripe_version for c in charges],
        call=[c.call for c in charges],
        token=[c.token for c in charges],
        first_sent=[c.first_sent_at for c in charges],
        life=[c.life for c in charges],
    )
