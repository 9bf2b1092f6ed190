"""Open: one transaction that says, before anything is sent, that something may be executed from now on.

Orders are locked first, in the order of their ids, here and when settling: the order's row is the lock of its effects
and outbox rows, and the fixed sequence keeps two workers from deadlocking (R5). Who asks for an effect takes the same
lock (R12). A row whose effect is stored already is the matter of `reopening`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.duplicates import Guard, absorbed
from service.effects import reopening
from service.effects.kind import Kind, Kinds
from service.effects.lately import LATELY
from service.effects.model import E, Effect
from service.effects.reading import KnownEffect
from service.effects.reopening import Decision
from service.effects.request import LockedRow
from service.foundation.postgres.db import repeat_on_deadlock
from service.foundation.postgres.sql import Connection, Statement, begin
from service.foundation.settings import Settings
from service.outbox.handling import park_rows
from service.outbox.rows import ROWS


@dataclass(slots=True)
class Opened:
    """What became of the outbox rows of a message.

    effects: to be called now. absorbed: duplicates and rows whose work is done; nothing is left to do for them.
    suspects: rows not opened, because one of them may be what kills its worker: each is to be opened alone (R10).
    is_verified: False where nothing was touched, because Stripe was not yet asked what this database forgot (R31).
    """

    effects: list[Effect] = field(default_factory=list)
    absorbed: int = 0
    parked: int = 0
    suspects: list[UUID] = field(default_factory=list)
    is_verified: bool = True


async def open_effects(
    engine: AsyncEngine, outbox_ids: Sequence[UUID], settings: Settings, kinds: Kinds, *, alone: bool | None = None
) -> Opened:
    """Open what these outbox rows owe; absorb what is final, leased, gone, parked, or comes before its time.

    `kinds`: by the outbox's word. `alone`: this process has nothing else open (unsaid: judged by the number of ids).
    The rows are read again here, the message carries nothing but their ids (R9). After the commit each returned effect
    has a fresh token, a lease, `first_sent_at` and `maybe_executed`, so that no crash can forget that it may have run.
    """
    ids = list(dict.fromkeys(outbox_ids))

    async def run() -> Opened:
        async with begin(engine) as tx:
            return await _open(tx, ids, settings, kinds, alone=len(ids) == 1 if alone is None else alone)

    opened = await repeat_on_deadlock(run)
    LATELY.note(opened.effects)
    return opened


# `here` has no life where Stripe was not asked since this one began (R31).
_LOCK_ORDERS = Statement(f"""
WITH here AS MATERIALIZED (
  SELECT i.uuid AS instance,
         (SELECT l.id FROM lives l WHERE l.identity = database_identity() AND l.verified_until > now()) AS life
    FROM instance i
)
SELECT x.id AS outbox_id, x.kind, coalesce(x.attempt, 0) AS attempt, x.effect, x.deliveries, x.opens_unsettled,
       x.opens_alone, x.is_early,
       o.id AS order_id, o.account_id, a.is_default, o.idempotency_key, o.amount_minor, o.currency, o.capture,
       o.payment_method, o.customer, o.description, o.metadata::text AS metadata, o.fingerprint, o.status,
       o.created_at, now() AS now,
       here.life IS NOT NULL AS is_verified, coalesce(here.life, 0) AS life, here.instance
  FROM {ROWS}
  JOIN orders o ON o.id = x.order_id
  JOIN accounts a ON a.id = o.account_id
 CROSS JOIN here
 WHERE x.id = ANY(CAST(:ids AS uuid[])) AND NOT x.is_parked
 ORDER BY o.id
   FOR NO KEY UPDATE OF o
""").returning(LockedRow)


async def _open(tx: Connection, outbox_ids: list[UUID], settings: Settings, kinds: Kinds, *, alone: bool) -> Opened:
    found = await tx.rows(_LOCK_ORDERS, {"ids": outbox_ids})
    rows = [row for row in found if row.kind in kinds]
    if not all(r.is_verified for r in rows):
        return Opened(is_verified=False)
    opened = Opened(absorbed=len(outbox_ids) - len(rows))
    if len(found) < len(outbox_ids):
        for gone in set(outbox_ids).difference(row.outbox_id for row in found):
            tx.after_commit(partial(absorbed, Guard.DELIVERY, LATELY.order_of(gone)))
    for word, of_word in groupby(sorted(rows, key=lambda r: r.kind), key=lambda r: r.kind):
        await _open_kind(tx, kinds[word], list(of_word), opened, settings, alone=alone)
    return opened


async def _open_kind(
    tx: Connection, kind: Kind[E], rows: list[LockedRow], opened: Opened, settings: Settings, *, alone: bool
) -> None:
    known = await kind.known(tx, rows)
    decisions = {r.outbox_id: _decide(kind, r, known.get(r.outbox_id), settings, alone=alone) for r in rows}
    opened.suspects += [i for i, d in decisions.items() if d.suspect]
    for row in rows:
        if decisions[row.outbox_id].is_repeat:
            tx.after_commit(partial(absorbed, Guard.DELIVERY, row.order_id))
    let_be, parked = await reopening.absorb(tx, kind, decisions)
    effects = [d.effect for d in decisions.values() if d.effect]
    stored = [e for e in effects if e.outbox_id in known]
    taken = await reopening.take_over(tx, kind, stored, settings, alone=alone)
    made, conflicts = await kind.insert(tx, [e for e in effects if e.outbox_id not in known], settings, alone=alone)
    if conflicts:  # not this order and attempt: an alarm, no duplicate (R2)
        await park_rows(tx, conflicts)
    opened.effects += [*taken, *made]
    opened.absorbed += let_be
    opened.parked += parked + len(conflicts)


def _decide(
    kind: Kind[E], row: LockedRow, known: KnownEffect | None, settings: Settings, *, alone: bool
) -> Decision[E]:
    """What one locked outbox row asks for, given what is stored of its effect."""
    if row.is_early:
        return Decision(early=True)  # a message from before its last answer, which said when to ask again
    if known is not None:
        return reopening.decide(kind, row, known, settings, alone=alone)
    new = kind.new(row, settings)
    return Decision(unowed=True) if new is None else Decision(effect=new)
