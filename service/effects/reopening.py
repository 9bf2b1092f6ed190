"""Opening what is stored already: asked for, delivered again, taken over from a worker that fell silent, or absorbed.

All of it happens under the order's lock, in the transaction of `opening`.
"""

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Generic
from uuid import UUID, uuid4

import msgspec

from service.effects.kind import Kind
from service.effects.lookup import STRIPE_FORGETS_S
from service.effects.model import E, Effect
from service.effects.parking import POISON
from service.effects.reading import KnownEffect
from service.effects.request import LockedRow, Request, request_to_send
from service.foundation.postgres.sql import Batch, Connection, Integer
from service.foundation.settings import Settings
from service.outbox.handling import complete_rows, hide_rows, park_rows
from service.outbox.rows import SUSPECT_OPENS, count_open
from service.states import NextCall

_AFTER_LEASE = timedelta(seconds=1)  # a row whose charge is leased comes back just after the lease


@dataclass(frozen=True, slots=True)
class Decision(Generic[E]):
    """What to do with one outbox row: exactly one field is set.

    leased_until: another worker has it in hand. early: its time has not come again. unowed: nothing was ever done for
    it, and nothing is owed any more.
    """

    effect: E | None = None
    done: bool = False
    unowed: bool = False
    drop: UUID | None = None
    leased_until: datetime | None = None
    early: bool = False
    suspect: bool = False
    park: str | None = None

    @property
    def is_repeat(self) -> bool:
        """Whether the row was delivered once more than there was to do."""
        return self.done or self.early or self.leased_until is not None


def decide(kind: Kind[E], row: LockedRow, known: KnownEffect, settings: Settings, *, alone: bool) -> Decision[E]:
    """What one locked outbox row asks for, given what is stored of its effect."""
    if known.status in kind.final:
        return Decision(done=True)
    if known.lease_until is not None and known.lease_until > row.now:
        return Decision(leased_until=known.lease_until)
    if not kind.is_wanted(row) and not known.maybe_executed:
        return Decision(drop=known.id)  # another attempt paid meanwhile, and this one is proven not to have run
    if row.opens_unsettled >= SUSPECT_OPENS and not alone:
        return Decision(suspect=True)
    if _is_poison(row, settings):
        return Decision(park=POISON)
    return Decision(effect=_known_effect(kind, row, known, settings))


def _is_poison(row: LockedRow, settings: Settings) -> bool:
    """Opened so often without ever settling, and often enough alone: who shared its process may have died of another,
    and be innocent (R10).
    """
    alone_often_enough = max(1, settings.poison_opens - SUSPECT_OPENS)
    return row.opens_unsettled >= settings.poison_opens and row.opens_alone >= alone_often_enough


def _known_effect(kind: Kind[E], row: LockedRow, known: KnownEffect, settings: Settings) -> E:
    """A first delivery of what was asked for, a re-delivery, or the takeover from a worker that fell silent."""
    stored = Request(msgspec.json.decode(known.request), known.stripe_version)
    request = request_to_send(stored, lambda: kind.request(row, known), maybe_executed=known.maybe_executed)
    effect = kind.effect(
        row,
        known,
        **held(row),
        id=known.id,
        idempotency_key=(known.maybe_executed and known.idempotency_key) or kind.key(row, known),
        request=dict(request.params),
        stripe_version=request.version,
        status=known.status,
        call="send",
        first_send=not known.maybe_executed,
        born_at=known.born_at,
        first_sent_at=first_sent(row, known.born_at, known.first_sent_at, settings),
        last_sent_at=known.last_sent_at,
        unclear_answers=known.unclear_in_a_row,
        nth=known.nth,
        key_conflict=known.key_conflict,
        history=tuple(msgspec.json.decode(known.history)),
    )
    return _with_call(effect, known.next_call, settings, wanted=kind.is_wanted(row))


def held(row: LockedRow) -> dict[str, Any]:
    """What an effect in hand has of its outbox row, and a fresh token."""
    return {
        "outbox_id": row.outbox_id,
        "account_id": row.account_id,
        "order_id": row.order_id,
        "token": uuid4(),
        "life": row.life,
        "opened_at": row.now,
        "deliveries": row.deliveries + 1,
    }


def first_sent(row: LockedRow, born_at: datetime, known: datetime | None, settings: Settings) -> datetime | None:
    """From when on this key may be at Stripe. None: from the send that is about to be made.

    With no send on record there may still have been one, in a life that this database forgot (a restored backup).
    While what is owed is young, Stripe remembers whatever was forgotten until our own age rule, and the last lease, end
    the posting. Beyond that the key is taken to be as old, until a clean look-up shows otherwise (R17).
    """
    margin_s = min(settings.key_age_max_s, STRIPE_FORGETS_S - settings.key_age_max_s - settings.charge_lease_s)
    old = (row.now - born_at).total_seconds() >= margin_s
    return born_at if known is None and old else known


def _with_call(effect: E, call: NextCall, settings: Settings, *, wanted: bool) -> E:
    """The stored call, unless it is forbidden: a key is never posted again from 20 h on (R17), once Stripe has it for
    another request (R32), nor for what is not wanted any more. What has an object at Stripe has run.
    """
    is_old = effect.age_s is not None and effect.age_s >= settings.key_age_max_s
    if effect.has_run or not wanted or is_old or effect.key_conflict:
        return replace(effect, call=effect.found_by)
    return replace(effect, call=call)


def drop_sql(table: str) -> str:
    """What is proven not to have run is not wanted any more."""
    return f"""
UPDATE {table} SET status = 'canceled', token = NULL, lease_until = NULL, updated_at = now(),
    history = history || jsonb_build_object('at', now(), 'answer', 'dropped unsent: the order wants no charge any more')
 WHERE id = ANY(CAST(:ids AS uuid[]))
"""


async def absorb(tx: Connection, kind: Kind[E], decisions: Mapping[UUID, Decision[E]]) -> tuple[int, int]:
    """Carry out the decisions that call nobody, by outbox row; returns how many rows were absorbed and parked."""
    drop = [d.drop for d in decisions.values() if d.drop]
    done = [row_id for row_id, d in decisions.items() if d.done or d.unowed or d.drop]
    leased = [(row_id, d.leased_until + _AFTER_LEASE) for row_id, d in decisions.items() if d.leased_until]
    parked = [(row_id, d.park) for row_id, d in decisions.items() if d.park]
    if drop and kind.drop is not None:
        await tx.run(kind.drop, {"ids": drop})
    if done:
        await complete_rows(tx, done)
    if leased:
        await hide_rows(tx, leased)
    if parked:
        await park_rows(tx, parked)
    return len(done) + len(leased) + sum(d.early for d in decisions.values()), len(parked)


class _Taken(Batch, frozen=True):
    """Known effects and what is to be called now; `request` is JSON."""

    alias = "i"
    id: Sequence[UUID]
    outbox_id: Sequence[UUID]
    call: Sequence[str]
    key: Sequence[str]
    token: Sequence[UUID]
    first_sent: Sequence[datetime | None]
    life: Sequence[Integer]
    request: Sequence[str]
    version: Sequence[str]


# An entry of a history: a call begins, and by which worker it is made.
CALLED = "jsonb_build_object('at', now(), 'call', i.call, 'worker', CAST(:worker AS text))"


def take_over_sql(table: str, opened_as: str | None) -> str:
    """Give effects of `table` a token and a lease; those that were only asked for come to the state `opened_as`.

    Under the order's lock, so nobody else can be taking the same effect. What a send sets, a look-up must not.
    """
    asked_for = f"""idempotency_key = CASE WHEN c.maybe_executed THEN c.idempotency_key ELSE i.key END,
    status = CASE c.status WHEN 'pending' THEN '{opened_as}' ELSE c.status END,"""
    return f"""
WITH incoming AS (
  SELECT * FROM {_Taken.unnest()}
), counted AS (
  {count_open("incoming i", "x.id = i.outbox_id")}
)
UPDATE {table} c SET request = CASE WHEN c.maybe_executed THEN c.request ELSE i.request::json END,
    stripe_version = CASE WHEN c.maybe_executed THEN c.stripe_version ELSE i.version END,
    token = i.token, lease_until = now() + CAST(:lease AS interval), next_call = i.call,
    life = i.life, {asked_for if opened_as else ""}
    maybe_executed = c.maybe_executed OR i.call = 'send',
    first_sent_at = CASE WHEN i.call = 'send' THEN coalesce(i.first_sent, now()) ELSE c.first_sent_at END,
    last_sent_at = CASE WHEN i.call = 'send' THEN now() ELSE c.last_sent_at END,
    -- A known object may be asked for for days: what it answers is noted, where it brings news.
    history = CASE WHEN i.call = 'retrieve' THEN c.history
                   ELSE c.history || {CALLED} END,
    updated_at = now()
  FROM incoming i WHERE c.id = i.id
"""


async def take_over(tx: Connection, kind: Kind[E], effects: list[E], settings: Settings, *, alone: bool) -> list[E]:
    """Give known effects a new token and lease; returns them in the order in which they were written."""
    if effects:
        effects.sort(key=lambda c: c.id.bytes)
        await tx.run(kind.take_over, _taken(effects).bound() | open_values(settings, alone=alone))
    return effects


def open_values(settings: Settings, *, alone: bool) -> dict[str, object]:
    """How long a charge is leased and its row hidden, whether it was opened alone, and by which worker."""
    return {
        "worker": f"{socket.gethostname()} {os.getpid()}",
        "lease": timedelta(seconds=settings.charge_lease_s),
        "hidden": timedelta(seconds=settings.outbox_lease_s),
        "alone": int(alone),
    }


def _taken(effects: Sequence[Effect]) -> _Taken:
    return _Taken(
        id=[c.id for c in effects],
        outbox_id=[c.outbox_id for c in effects],
        call=[c.call for c in effects],
        key=[c.idempotency_key for c in effects],
        token=[c.token for c in effects],
        first_sent=[c.first_sent_at for c in effects],
        life=[c.life for c in effects],
        request=[msgspec.json.encode(c.request).decode() for c in effects],
        version=[c.stripe_version for c in effects],
    )
