"""Settle: one transaction for the effect, its order, the journal and the outbox row.

The token is the safety, the lease only saves calls (R21): order, journal and outbox change only for effects that the
guarded UPDATE returned. One exception: Stripe's proof of an end settles whoever brings it, guarded by the state alone.

The UPDATE of each kind is made of the fragments below. In them `c` is the effect's row and `i` what came back for it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, Self
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger
from service.duplicates import Guard, absorbed
from service.effects.history import news
from service.effects.kind import Kind
from service.effects.model import E, Effect, Rules, Settlement
from service.effects.parking import Parked
from service.effects.patience import backoff_s, with_an_end
from service.foundation import log
from service.foundation.events import Event
from service.foundation.postgres.db import Refused, repeat_on_deadlock, sqlstate
from service.foundation.postgres.sql import Batch, Connection, SmallInt, begin
from service.foundation.settings import Settings
from service.outbox import rows
from service.outbox.handling import park_or_add

_REFUSALS = ("22", "23")  # SQLSTATE classes: a value that cannot be stored, a constraint


class BookedDifferently(Exception):
    """The journal holds this reference with other content: an alarm. Nothing of the settlement was kept."""


async def settle(
    engine: AsyncEngine, kind: Kind[E], settlements: Sequence[Settlement[E]], settings: Settings
) -> set[UUID]:
    """Record what came back; returns the ids of the effects that changed (the others were fenced off).

    What cannot be stored (a constraint, a value that no column holds) is repeated one by one, the offender parked
    with the id of Stripe's object: one bad item never holds up its neighbours (R22). Whoever settles, a wait without an
    end is given one (R36).
    """
    rules = Rules.of(settings)
    ended = [replace(s, outcome=with_an_end(s.effect, s.outcome, rules)) for s in settlements]
    return await _settle_all(engine, kind, ended, settings)


async def _settle_all(
    engine: AsyncEngine, kind: Kind[E], settlements: Sequence[Settlement[E]], settings: Settings
) -> set[UUID]:
    async def once() -> set[UUID]:
        async with begin(engine) as tx:
            return await kind.record(tx, settlements, settings)

    try:
        changed = await repeat_on_deadlock(once)
    except (Refused, BookedDifferently, ValueError) as error:
        if not is_about_content(error):
            raise
        if len(settlements) == 1:
            await _park(engine, settlements[0], error)
            return set()
        changed = set()
        for settlement in settlements:
            changed |= await _settle_all(engine, kind, [settlement], settings)
        return changed
    for settlement in settlements:
        if settlement.effect.id not in changed:
            absorbed(Guard.TOKEN, settlement.effect.order_id)
    return changed


def is_about_content(error: Exception) -> bool:
    """Whether the same content would be refused again, as opposed to a database that is away or busy."""
    if isinstance(error, Refused):
        return (sqlstate(error) or "").startswith(_REFUSALS)
    return True


async def _park(engine: AsyncEngine, settlement: Settlement[Effect], error: Exception) -> None:
    shown = settlement.outcome.refund or settlement.outcome.intent
    detail = f"{type(error).__name__} while settling; {shown.id if shown else 'no object of Stripe is known'}"
    reason = Parked.BOOKS.because(detail)
    log.event(Event.SETTLEMENT_PARKED, order_id=str(settlement.effect.order_id), reason=reason)
    await park_or_add(engine, settlement.effect.outbox_id, reason)


async def book(tx: Connection, entries: Sequence[ledger.JournalEntry]) -> None:
    """Book these. Raises BookedDifferently where one is on the books with other content."""
    if not entries:
        return
    result = await ledger.post(tx, entries)
    if result.conflicting:
        raise BookedDifferently(f"already booked with other content: {result.conflicting}")
    for entry in result.repeated:
        tx.after_commit(partial(absorbed, Guard.LEDGER_REFERENCE, entry.order_id))


class Incoming(Batch, frozen=True):
    """Effects and what came back for each. `failure` and `entry` (the news for its history) are JSON.

    Each kind adds the columns of its own.
    """

    alias = "i"
    id: Sequence[UUID]
    token: Sequence[UUID]
    outbox_id: Sequence[UUID]
    status: Sequence[str]
    next_call: Sequence[str]
    proven_unexecuted: Sequence[bool]
    next_try: Sequence[bool]
    unclear_answers: Sequence[SmallInt]
    conflict: Sequence[bool]
    failure: Sequence[str | None]
    entry: Sequence[str | None]
    final: Sequence[bool]
    delay: Sequence[timedelta]
    error: Sequence[str | None]
    parked: Sequence[bool]

    @classmethod
    def of(cls, ordered: Sequence[Settlement[Any]], settings: Settings, **own: Any) -> Self:
        """The batch of these settlements; `own` are the columns that a kind adds."""
        outcomes = [s.outcome for s in ordered]
        return cls(
            id=[s.effect.id for s in ordered],
            token=[s.effect.token for s in ordered],
            outbox_id=[s.effect.outbox_id for s in ordered],
            status=[o.status for o in outcomes],
            next_call=[o.next_call for o in outcomes],
            proven_unexecuted=[o.proven_unexecuted for o in outcomes],
            next_try=[o.next_try for o in outcomes],
            unclear_answers=[o.unclear_answers for o in outcomes],
            conflict=[o.key_conflict for o in outcomes],
            failure=[json.dumps(o.failure) if o.failure else None for o in outcomes],
            entry=[json.dumps(entry) if (entry := news(s)) else None for s in ordered],
            final=[o.final for o in outcomes],
            delay=[timedelta(seconds=backoff_s(s, settings)) for s in ordered],
            error=[o.parked or (s.answer.word if s.answer else None) for s, o in zip(ordered, outcomes, strict=True)],
            parked=[o.parked is not None for o in outcomes],
            **own,
        )


def in_order(settlements: Sequence[Settlement[E]]) -> list[Settlement[E]]:
    """By the ids of the effects: every set-based write is ordered by its unique key (R5)."""
    return sorted(settlements, key=lambda s: s.effect.id.bytes)


# A key that a refusal is saved under is used up: the next try has another one, under which nothing was sent.
SETS = """next_call = i.next_call, token = NULL, lease_until = NULL, unclear_in_a_row = i.unclear_answers,
      key_conflict = (c.key_conflict OR i.conflict) AND NOT (i.proven_unexecuted OR i.next_try),
      maybe_executed = c.maybe_executed AND NOT (i.proven_unexecuted OR i.next_try),
      first_sent_at = CASE WHEN NOT (i.proven_unexecuted OR i.next_try) THEN c.first_sent_at
                           WHEN c.next_call <> 'send' THEN now() END,  -- a clean look at Stripe tells its age (R17)
      last_sent_at = CASE WHEN i.proven_unexecuted OR i.next_try THEN NULL ELSE c.last_sent_at END,
      failure = i.failure::jsonb,
      history = CASE WHEN i.entry IS NULL THEN c.history
                     ELSE c.history || (jsonb_build_object('at', now()) || i.entry::jsonb) END,
      polls = CASE WHEN i.entry IS NULL THEN c.polls + 1 ELSE 0 END,
      updated_at = now()"""
# Of effects that are asked for before they are opened.
TRY_SETS = "nth = c.nth + CAST(i.next_try AS int)"


def may_move(machine: str) -> str:
    """The transition is in the table that `moves` binds under this name: the statement enforces the code's own."""
    return f"""EXISTS (SELECT FROM unnest(CAST(:{machine}_from AS text[]), CAST(:{machine}_to AS text[])) AS m(f, t)
                  WHERE m.f = c.status AND m.t = i.status)"""


def moves(table: Mapping[str, frozenset[str]], machine: str) -> dict[str, object]:
    """A table of transitions as two parallel arrays."""
    pairs = [(old, new) for old, news in sorted(table.items()) for new in sorted(news)]
    return {f"{machine}_from": [old for old, _ in pairs], f"{machine}_to": [new for _, new in pairs]}


# What becomes of the outbox rows; `settled s` is what the UPDATE returned.
COMPLETE = rows.complete("settled s", "x.id = s.outbox_id AND s.final")
GIVE_BACK = rows.give_back(
    "settled s", "x.id = s.outbox_id AND NOT s.final", delay="s.delay", error="s.error", parks="s.parked"
)
