"""Opening what was opened before: delivered again, taken over from a worker that fell silent, or absorbed.

All of it happens under the order's lock, in the transaction of `opening`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from service.charges.lookup import STRIPE_FORGETS_S
from service.charges.model import OpenCharge
from service.charges.parking import POISON
from service.charges.request import LockedRow, Request, key_of, open_charge, request_of, request_to_send
from service.foundation.postgres.sql import Batch, Connection, Integer, Record, Statement
from service.foundation.settings import Settings
from service.orders.identity import CANCEL
from service.outbox.handling import complete_rows, hide_rows, park_rows
from service.outbox.rows import SUSPECT_OPENS, count_open
from service.states import CHARGE_FINAL, ORDER_WANTS_MONEY, NextCall

_AFTER_LEASE = timedelta(seconds=1)  # a row whose charge is leased comes back just after the lease


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with one outbox row: exactly one field is set."""

    charge: OpenCharge | None = None
    done: bool = False
    drop: UUID | None = None
    leased_until: datetime | None = None
    early: bool = False
    suspect: bool = False
    park: str | None = None


class KnownCharge(Record):
    """A charge that was opened before; `request` and `history` are JSON."""

    id: UUID
    order_id: UUID
    attempt: int
    idempotency_key: str
    request: str
    stripe_version: str
    status: str
    next_call: NextCall
    lease_until: datetime | None
    maybe_executed: bool
    first_sent_at: datetime | None
    last_sent_at: datetime | None
    unclear_in_a_row: int
    payment_intent_id: str | None
    key_conflict: bool
    cancel_try: int
    history: str


_READ_CHARGES = Statement("""
SELECT id, order_id, attempt, idempotency_key, request::text AS request, stripe_version, status, next_call, lease_until,
       maybe_executed, first_sent_at, last_sent_at, unclear_in_a_row, payment_intent_id, key_conflict,
       cancel_try, history::text AS history
  FROM charges WHERE order_id = ANY(CAST(:order_ids AS uuid[]))
""").returning(KnownCharge)


async def charges_of(tx: Connection, order_ids: list[UUID]) -> dict[tuple[UUID, int], KnownCharge]:
    """Charges read by a statement of its own, after the locks: the locking statement sees them as they were before."""
    if not order_ids:
        return {}
    rows = await tx.rows(_READ_CHARGES, {"order_ids": order_ids})
    return {(r.order_id, r.attempt): r for r in rows}


def decide(row: LockedRow, known: KnownCharge, settings: Settings, *, alone: bool) -> Decision:
    """What one locked outbox row asks for, given the charge of its attempt."""
    if known.status in CHARGE_FINAL:
        return Decision(done=True)
    if known.lease_until is not None and known.lease_until > row.now:
        return Decision(leased_until=known.lease_until)
    if row.status not in ORDER_WANTS_MONEY and not known.maybe_executed:
        return Decision(drop=known.id)  # another attempt paid meanwhile, and this one is proven not to have run
    if row.opens_unsettled >= SUSPECT_OPENS and not alone:
        return Decision(suspect=True)
    if _is_poison(row, settings):
        return Decision(park=POISON)
    return Decision(charge=_known_charge(row, known, settings))


def _is_poison(row: LockedRow, settings: Settings) -> bool:
    """Opened so often without ever settling, and often enough alone: who shared its process may have died of another,
    and be innocent (R10).
    """
    alone_often_enough = max(1, settings.poison_opens - SUSPECT_OPENS)
    return row.opens_unsettled >= settings.poison_opens and row.opens_alone >= alone_often_enough


def _known_charge(row: LockedRow, known: KnownCharge, settings: Settings) -> OpenCharge:
    """A re-delivery, or the takeover of a charge whose worker fell silent."""
    stored = Request(msgspec.json.decode(known.request), known.stripe_version)
    request = request_to_send(stored, lambda: request_of(row), maybe_executed=known.maybe_executed)
    charge = open_charge(
        row,
        id=known.id,
        idempotency_key=known.idempotency_key,
        request=request.params,
        stripe_version=request.version,
        status=known.status,
        call="send",
        first_send=not known.maybe_executed,
        first_sent_at=first_sent(row, known.first_sent_at, settings),
        last_sent_at=known.last_sent_at,
        unclear_answers=known.unclear_in_a_row,
        payment_intent_id=known.payment_intent_id,
        cancel_key=key_of(row, CANCEL, known.cancel_try) if known.next_call == "cancel" else "",
        cancel_try=known.cancel_try,
        key_conflict=known.key_conflict,
        history=tuple(msgspec.json.decode(known.history)),
    )
    return _with_call(charge, known.next_call, settings, wanted=row.status in ORDER_WANTS_MONEY)


def first_sent(row: LockedRow, known: datetime | None, settings: Settings) -> datetime | None:
    """From when on this key may be at Stripe. None: from the send that is about to be made.

    With no send on record there may still have been one, in a life that this database forgot (a restored backup).
    While the order is young, Stripe remembers whatever was forgotten until our own age rule, and the last lease, end
    the posting. Beyond that the key is taken to be as old as the order, until a clean look-up shows otherwise (R17).
    """
    margin_s = min(settings.key_age_max_s, STRIPE_FORGETS_S - settings.key_age_max_s - settings.charge_lease_s)
    old = (row.now - row.created_at).total_seconds() >= margin_s
    return row.created_at if known is None and old else known


def _with_call(charge: OpenCharge, call: NextCall, settings: Settings, *, wanted: bool) -> OpenCharge:
    """The stored call, unless it is forbidden: a key is never posted again from 20 h on (R17), once Stripe has it for
    another request (R32), nor for a paid order.
    """
    if charge.payment_intent_id is not None:
        return replace(charge, call="cancel" if call == "cancel" else "retrieve")
    is_old = charge.age_s is not None and charge.age_s >= settings.key_age_max_s
    if not wanted or is_old or charge.key_conflict:
        return replace(charge, call="lookup")
    return replace(charge, call=call)


_DROP_CHARGES = Statement("""
UPDATE charges SET status = 'canceled', token = NULL, lease_until = NULL, updated_at = now(),
    history = history || jsonb_build_object('at', now(), 'answer', 'dropped unsent: the order wants no charge any more')
 WHERE id = ANY(CAST(:ids AS uuid[]))
""")


async def absorb(tx: Connection, decisions: Mapping[UUID, Decision]) -> tuple[int, int]:
    """Carry out the decisions that call nobody, by outbox row; returns how many rows were absorbed and parked."""
    drop = [d.drop for d in decisions.values() if d.drop]
    done = [row_id for row_id, d in decisions.items() if d.done or d.drop]
    leased = [(row_id, d.leased_until + _AFTER_LEASE) for row_id, d in decisions.items() if d.leased_until]
    parked = [(row_id, d.park) for row_id, d in decisions.items() if d.park]
    if drop:
        await tx.run(_DROP_CHARGES, {"ids": drop})
    if done:
        await complete_rows(tx, done)
    if leased:
        await hide_rows(tx, leased)
    if parked:
        await park_rows(tx, parked)
    return len(done) + len(leased) + sum(d.early for d in decisions.values()), len(parked)


class _Taken(Batch, frozen=True):
    """Known charges and what is to be called now; `request` is JSON."""

    alias = "i"
    id: Sequence[UUID]
    outbox_id: Sequence[UUID]
    call: Sequence[str]
    token: Sequence[UUID]
    first_sent: Sequence[datetime | None]
    life: Sequence[Integer]
    request: Sequence[str]
    version: Sequence[str]


# Under the order's lock, so nobody else can be taking the same charge. What a send sets, a look-up must not.
_TAKE_OVER = Statement(f"""
WITH incoming AS (
  SELECT * FROM {_Taken.unnest()}
), counted AS (
  {count_open("incoming i", "x.id = i.outbox_id")}
)
UPDATE charges c SET request = CASE WHEN c.maybe_executed THEN c.request ELSE i.request::json END,
    stripe_version = CASE WHEN c.maybe_executed THEN c.stripe_version ELSE i.version END,
    token = i.token, lease_until = now() + CAST(:lease AS interval), next_call = i.call,
    life = i.life,
    maybe_executed = c.maybe_executed OR i.call = 'send',
    first_sent_at = CASE WHEN i.call = 'send' THEN coalesce(i.first_sent, now()) ELSE c.first_sent_at END,
    last_sent_at = CASE WHEN i.call = 'send' THEN now() ELSE c.last_sent_at END,
    -- A known payment may be asked for for days: what it answers is noted, where it brings news.
    history = CASE WHEN i.call = 'retrieve' THEN c.history
                   ELSE c.history || jsonb_build_object('at', now(), 'call', i.call) END,
    updated_at = now()
  FROM incoming i WHERE c.id = i.id
""")


async def take_over(tx: Connection, charges: list[OpenCharge], settings: Settings, *, alone: bool) -> list[OpenCharge]:
    """Give known charges a new token and lease; returns them in the order in which they were written."""
    if charges:
        charges.sort(key=lambda c: c.id.bytes)
        await tx.run(_TAKE_OVER, _taken(charges).bound() | open_values(settings, alone=alone))
    return charges


def open_values(settings: Settings, *, alone: bool) -> dict[str, object]:
    """How long a charge is leased and its row hidden, and whether it was opened alone."""
    return {
        "lease": timedelta(seconds=settings.charge_lease_s),
        "hidden": timedelta(seconds=settings.outbox_lease_s),
        "alone": int(alone),
    }


def _taken(charges: list[OpenCharge]) -> _Taken:
    return _Taken(
        id=[c.id for c in charges],
        outbox_id=[c.outbox_id for c in charges],
        call=[c.call for c in charges],
        token=[c.token for c in charges],
        first_sent=[c.first_sent_at for c in charges],
        life=[c.life for c in charges],
        request=[msgspec.json.encode(c.request).decode() for c in charges],
        version=[c.stripe_version for c in charges],
    )
