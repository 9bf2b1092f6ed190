"""Open: one transaction that says, before anything is sent, that something may be executed from now on.

Orders are locked first, in the order of their ids, here and when settling: the order's row is the lock of its charges
and outbox rows, and the fixed sequence keeps two workers from deadlocking (R5). Cancel takes the same lock (R12).
A row that was opened before is the matter of `reopening`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from service.charges import reopening
from service.charges.model import OpenCharge
from service.charges.parking import KEY_IS_ANOTHERS
from service.charges.reopening import Decision, KnownCharge, open_values
from service.charges.request import LockedRow, key_of, open_charge, request_of
from service.foundation.postgres.db import repeat_on_deadlock
from service.foundation.postgres.sql import Batch, Connection, Integer, Record, SmallInt, Statement, begin
from service.foundation.settings import Settings
from service.orders.identity import CHARGE
from service.outbox.handling import park_rows
from service.outbox.rows import ROWS, count_open
from service.states import ORDER_MOVES_BY_ITSELF, in_sql


@dataclass(slots=True)
class Opened:
    """What became of the outbox rows of a message.

    charges: to be called now. absorbed: duplicates and rows whose work is done; nothing is left to do for them.
    suspects: rows not opened, because one of them may be what kills its worker: each is to be opened alone (R10).
    is_verified: False where nothing was touched, because Stripe was not yet asked what this database forgot (R31).
    """

    charges: list[OpenCharge] = field(default_factory=list)
    absorbed: int = 0
    parked: int = 0
    suspects: list[UUID] = field(default_factory=list)
    is_verified: bool = True


async def open_charges(
    engine: AsyncEngine, outbox_ids: Sequence[UUID], settings: Settings, *, alone: bool | None = None
) -> Opened:
    """Open the charges of these outbox rows under the unique index; absorb what is final, leased, gone, parked, or
    comes before its time. `alone`: this process has nothing else open (unsaid: judged by the number of ids).

    The rows are read again here, the message carries nothing but their ids (R9). After the commit each returned charge
    has a fresh token, a lease, `first_sent_at` and `maybe_executed`, so that no crash can forget that it may have run.
    """
    ids = list(dict.fromkeys(outbox_ids))

    async def run() -> Opened:
        async with begin(engine) as tx:
            return await _open(tx, ids, settings, alone=len(ids) == 1 if alone is None else alone)

    return await repeat_on_deadlock(run)


# `here` has no life where Stripe was not asked since this one began (R31).
_LOCK_ORDERS = Statement(f"""
WITH here AS MATERIALIZED (
  SELECT i.uuid AS instance,
         (SELECT l.id FROM lives l WHERE l.identity = database_identity() AND l.verified_until > now()) AS life
    FROM instance i
)
SELECT x.id AS outbox_id, x.attempt, x.deliveries, x.opens_unsettled, x.opens_alone, x.is_early,
       o.id AS order_id, o.account_id, a.is_default, o.idempotency_key, o.amount_minor, o.currency, o.payment_method,
       o.customer, o.description, o.metadata::text AS metadata, o.fingerprint, o.status, o.created_at, now() AS now,
       here.life IS NOT NULL AS is_verified, coalesce(here.life, 0) AS life, here.instance
  FROM {ROWS}
  JOIN orders o ON o.id = x.order_id
  JOIN accounts a ON a.id = o.account_id
 CROSS JOIN here
 WHERE x.id = ANY(CAST(:ids AS uuid[])) AND x.kind = 'charge' AND NOT x.is_parked
 ORDER BY o.id
   FOR NO KEY UPDATE OF o
""").returning(LockedRow)


async def _open(tx: Connection, outbox_ids: list[UUID], settings: Settings, *, alone: bool) -> Opened:
    rows = await tx.rows(_LOCK_ORDERS, {"ids": outbox_ids})
    if not all(r.is_verified for r in rows):
        return Opened(is_verified=False)
    known = await reopening.charges_of(tx, [r.order_id for r in rows if r.status != "pending"])
    decisions = {r.outbox_id: _decide(r, known.get((r.order_id, r.attempt)), settings, alone=alone) for r in rows}
    opened = Opened(absorbed=len(outbox_ids) - len(rows), suspects=[i for i, d in decisions.items() if d.suspect])
    absorbed, opened.parked = await reopening.absorb(tx, decisions)
    opened.absorbed += absorbed
    charges = [d.charge for d in decisions.values() if d.charge]
    opened.charges += await reopening.take_over(tx, [c for c in charges if c.status != "new"], settings, alone=alone)
    await _insert(tx, [c for c in charges if c.status == "new"], opened, settings, alone=alone)
    return opened


def _decide(row: LockedRow, known: KnownCharge | None, settings: Settings, *, alone: bool) -> Decision:
    """What one locked outbox row asks for, given the charge of its attempt if there is one."""
    if row.is_early:
        return Decision(early=True)  # a message from before its last answer, which said when to ask again
    if known is not None:
        return reopening.decide(row, known, settings, alone=alone)
    if row.status not in ORDER_MOVES_BY_ITSELF:
        return Decision(done=True)  # canceled before it was opened, or settled by another attempt
    return Decision(charge=_new_charge(row, settings))


def _new_charge(row: LockedRow, settings: Settings) -> OpenCharge:
    """A first open. An order older than a key may live was perhaps charged in a life we forgot: look first (R17)."""
    too_old = (row.now - row.created_at).total_seconds() >= settings.key_age_max_s
    request = request_of(row)
    return open_charge(
        row,
        id=uuid7(),
        idempotency_key=key_of(row, CHARGE),
        request=request.params,
        stripe_version=request.version,
        status="new",
        call="lookup" if too_old else "send",
        first_send=not too_old,
        first_sent_at=reopening.first_sent(row, None, settings),
    )


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
      jsonb_build_array(jsonb_build_object('at', now(), 'call', i.call))
    FROM moved i
   ORDER BY i.account_id, i.key COLLATE "C"
  ON CONFLICT DO NOTHING
  RETURNING id, order_id
), counted AS (
  {count_open("opened p", "x.order_id = p.order_id AND x.id = ANY(CAST(:outbox_ids AS uuid[]))")}
)
SELECT id FROM opened
""").returning(_Inserted)


async def _insert(
    tx: Connection, charges: list[OpenCharge], opened: Opened, settings: Settings, *, alone: bool
) -> None:
    """New charges, under the unique index. A conflict is not this order and attempt: an alarm, no duplicate (R2)."""
    if not charges:
        return
    charges.sort(key=lambda c: (c.account_id.bytes, c.idempotency_key.encode()))
    values = _new(charges).bound() | open_values(settings, alone=alone)
    inserted = {
        row.id for row in await tx.rows(_INSERT_CHARGES, values | {"outbox_ids": [c.outbox_id for c in charges]})
    }
    opened.charges += [c for c in charges if c.id in inserted]
    conflicts = [c.outbox_id for c in charges if c.id not in inserted]
    if conflicts:
        await park_rows(tx, [(row_id, KEY_IS_ANOTHERS) for row_id in conflicts])
        opened.parked += len(conflicts)


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
