"""Open: one transaction that says, before anything is sent, that something may be executed from now on.

Orders are locked first, in the order of their ids, here and when settling: the order's row is the lock of its charges
and outbox rows, and the fixed sequence keeps two workers from deadlocking (R5). Cancel takes the same lock (R12).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from service.charges.lookup import STRIPE_FORGETS_S
from service.charges.model import OpenCharge
from service.charges.parking import KEY_IS_ANOTHERS, POISON
from service.charges.request import STRIPE_VERSION, Request, payment_intent_request, request_to_send
from service.foundation.postgres.db import repeat_on_deadlock
from service.foundation.postgres.sql import Connection, Statement, begin
from service.foundation.settings import Settings
from service.orders.keys import CANCEL, CHARGE, wire_key
from service.outbox.handling import complete_rows, hide_rows, park_rows
from service.outbox.rows import ROWS, SUSPECT_OPENS, count_open
from service.states import CHARGE_FINAL, ORDER_MOVES_BY_ITSELF, ORDER_WANTS_MONEY, NextCall, in_sql
from service.stripe_gateway.marks import Marks

_AFTER_LEASE = timedelta(seconds=1)  # a row whose charge is leased comes back just after the lease


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


@dataclass(frozen=True, slots=True)
class _Decision:
    """What to do with one outbox row: exactly one field is set."""

    charge: OpenCharge | None = None
    done: bool = False
    drop: UUID | None = None
    leased_until: datetime | None = None
    early: bool = False
    suspect: bool = False
    park: str | None = None


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


async def _open(tx: Connection, outbox_ids: list[UUID], settings: Settings, *, alone: bool) -> Opened:
    rows = await tx.rows(_LOCK_ORDERS, {"ids": outbox_ids})
    if any(r["life"] is None for r in rows):
        return Opened(is_verified=False)
    known = await _charges_of(tx, [r["order_id"] for r in rows if r["status"] != "pending"])
    decisions = {
        r["outbox_id"]: _decide(r, known.get((r["order_id"], r["attempt"])), settings, alone=alone) for r in rows
    }
    opened = Opened(absorbed=len(outbox_ids) - len(rows), suspects=[i for i, d in decisions.items() if d.suspect])
    await _absorb(tx, decisions, opened)
    charges = [d.charge for d in decisions.values() if d.charge]
    await _take_over(tx, [c for c in charges if c.status != "new"], opened, settings, alone=alone)
    await _insert(tx, [c for c in charges if c.status == "new"], opened, settings, alone=alone)
    return opened


async def _charges_of(tx: Connection, order_ids: list[UUID]) -> dict[tuple[UUID, int], Any]:
    """Charges read by a statement of its own, after the locks: the locking statement sees them as they were before."""
    if not order_ids:
        return {}
    rows = await tx.rows(_READ_CHARGES, {"order_ids": order_ids})
    return {(r["order_id"], r["attempt"]): r for r in rows}


def _decide(row: Any, known: Any | None, settings: Settings, *, alone: bool) -> _Decision:
    """What one locked outbox row asks for, given the charge of its attempt if there is one."""
    if row["early"]:
        return _Decision(early=True)  # a message from before its last answer, which said when to ask again
    if known is None:
        if row["status"] not in ORDER_MOVES_BY_ITSELF:
            return _Decision(done=True)  # canceled before it was opened, or settled by another attempt
        return _Decision(charge=_new_charge(row, settings))
    if known["status"] in CHARGE_FINAL:
        return _Decision(done=True)
    if known["lease_until"] is not None and known["lease_until"] > row["now"]:
        return _Decision(leased_until=known["lease_until"])
    if row["status"] not in ORDER_WANTS_MONEY and not known["maybe_executed"]:
        return _Decision(drop=known["id"])  # another attempt paid meanwhile, and this one is proven not to have run
    if row["opens_unsettled"] >= SUSPECT_OPENS and not alone:
        return _Decision(suspect=True)
    if _is_poison(row, settings):
        return _Decision(park=POISON)
    return _Decision(charge=_known_charge(row, known, settings))


def _is_poison(row: Any, settings: Settings) -> bool:
    """Opened so often without ever settling, and often enough alone: who shared its process may have died of another,
    and be innocent (R10).
    """
    alone_often_enough = max(1, settings.poison_opens - SUSPECT_OPENS)
    return bool(row["opens_unsettled"] >= settings.poison_opens and row["opens_alone"] >= alone_often_enough)


def _new_charge(row: Any, settings: Settings) -> OpenCharge:
    """A first open. An order older than a key may live was perhaps charged in a life we forgot: look first (R17)."""
    too_old = (row["now"] - row["created_at"]).total_seconds() >= settings.key_age_max_s
    request = _build(row)
    return _open_charge(
        row,
        id=uuid7(),
        idempotency_key=_key(row, CHARGE),
        request=request.params,
        stripe_version=request.version,
        status="new",
        call="lookup" if too_old else "send",
        first_send=not too_old,
        first_sent_at=_first_sent(row, None, settings),
    )


def _key(row: Any, operation: str, nth: int | None = None) -> str:
    return wire_key(
        account_id=row["account_id"],
        is_default=row["is_default"],
        operation=operation,
        order_key=row["idempotency_key"],
        attempt=row["attempt"],
        nth=nth,
    )


def _build(row: Any) -> Request:
    """The request of an order and attempt, as this version of ours makes it."""
    params = payment_intent_request(
        marks=_marks(row),
        amount=row["amount_minor"],
        currency=row["currency"],
        payment_method=row["payment_method"],
        customer=row["customer"],
        description=row["description"],
        metadata=msgspec.json.decode(row["metadata"]),
    )
    return Request(params, STRIPE_VERSION)


def _first_sent(row: Any, known: datetime | None, settings: Settings) -> datetime | None:
    """From when on this key may be at Stripe. None: from the send that is about to be made.

    With no send on record there may still have been one, in a life that this database forgot (a restored backup).
    While the order is young, Stripe remembers whatever was forgotten until our own age rule, and the last lease, end
    the posting. Beyond that the key is taken to be as old as the order, until a clean look-up shows otherwise (R17).
    """
    margin_s = min(settings.key_age_max_s, STRIPE_FORGETS_S - settings.key_age_max_s - settings.charge_lease_s)
    old = (row["now"] - row["created_at"]).total_seconds() >= margin_s
    return row["created_at"] if known is None and old else known


def _known_charge(row: Any, known: Any, settings: Settings) -> OpenCharge:
    """A re-delivery, or the takeover of a charge whose worker fell silent."""
    stored = Request(msgspec.json.decode(known["request"]), known["stripe_version"])
    request = request_to_send(stored, lambda: _build(row), maybe_executed=known["maybe_executed"])
    charge = _open_charge(
        row,
        id=known["id"],
        idempotency_key=known["idempotency_key"],
        request=request.params,
        stripe_version=request.version,
        status=known["status"],
        call="send",
        first_send=not known["maybe_executed"],
        first_sent_at=_first_sent(row, known["first_sent_at"], settings),
        last_sent_at=known["last_sent_at"],
        unclear=known["unclear_in_a_row"],
        payment_intent_id=known["payment_intent_id"],
        cancel_key=_key(row, CANCEL, known["cancel_try"]) if known["next_call"] == "cancel" else "",
        cancel_try=known["cancel_try"],
        key_conflict=known["key_conflict"],
        history=tuple(msgspec.json.decode(known["history"])),
    )
    return _with_call(charge, known["next_call"], settings, wanted=row["status"] in ORDER_WANTS_MONEY)


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


def _marks(row: Any) -> Marks:
    return Marks(
        account_id=row["account_id"],
        order_id=row["order_id"],
        attempt=row["attempt"],
        key=row["idempotency_key"],
        fingerprint=row["fingerprint"],
        instance=row["instance"],
    )


def _open_charge(row: Any, **of_charge: Any) -> OpenCharge:
    return OpenCharge(
        outbox_id=row["outbox_id"],
        account_id=row["account_id"],
        order_id=row["order_id"],
        attempt=row["attempt"],
        amount=row["amount_minor"],
        currency=row["currency"],
        customer=row["customer"],
        token=uuid4(),
        marks=_marks(row),
        life=row["life"],
        order_created_at=row["created_at"],
        opened_at=row["now"],
        deliveries=row["deliveries"] + 1,
        **of_charge,
    )


async def _absorb(tx: Connection, decisions: dict[UUID, _Decision], opened: Opened) -> None:
    drop = [d.drop for d in decisions.values() if d.drop]
    done = [i for i, d in decisions.items() if d.done or d.drop]
    leased = [(i, d.leased_until + _AFTER_LEASE) for i, d in decisions.items() if d.leased_until]
    park = [(i, d.park) for i, d in decisions.items() if d.park]
    if drop:
        await tx.rows(_DROP_CHARGES, {"ids": drop})
    if done:
        await complete_rows(tx, done)
    if leased:
        await hide_rows(tx, leased)
    if park:
        await park_rows(tx, park)
    opened.absorbed += len(done) + len(leased) + sum(d.early for d in decisions.values())
    opened.parked += len(park)


async def _insert(
    tx: Connection, charges: list[OpenCharge], opened: Opened, settings: Settings, *, alone: bool
) -> None:
    """New charges, under the unique index. A conflict is not this order and attempt: an alarm, no duplicate (R2)."""
    if not charges:
        return
    charges.sort(key=lambda c: (c.account_id.bytes, c.idempotency_key.encode()))
    inserted = set(await tx.column(_INSERT_CHARGES, _columns(charges, settings, alone=alone)))
    opened.charges += [c for c in charges if c.id in inserted]
    conflicts = [c.outbox_id for c in charges if c.id not in inserted]
    if conflicts:
        await park_rows(tx, [(row_id, KEY_IS_ANOTHERS) for row_id in conflicts])
        opened.parked += len(conflicts)


async def _take_over(
    tx: Connection, charges: list[OpenCharge], opened: Opened, settings: Settings, *, alone: bool
) -> None:
    if charges:
        charges.sort(key=lambda c: c.id.bytes)
        await tx.rows(_TAKE_OVER, _columns(charges, settings, alone=alone))
        opened.charges += charges


def _columns(charges: list[OpenCharge], settings: Settings, *, alone: bool) -> dict[str, Any]:
    """Charges as the parallel arrays that the set-based statements unnest."""
    return {
        "ids": [c.id for c in charges],
        "outbox_ids": [c.outbox_id for c in charges],
        "account_ids": [c.account_id for c in charges],
        "order_ids": [c.order_id for c in charges],
        "attempts": [c.attempt for c in charges],
        "keys": [c.idempotency_key for c in charges],
        "amounts": [c.amount for c in charges],
        "currencies": [c.currency for c in charges],
        "requests": [msgspec.json.encode(c.request).decode() for c in charges],
        "versions": [c.stripe_version for c in charges],
        "calls": [c.call for c in charges],
        "tokens": [c.token for c in charges],
        "first_sent": [c.first_sent_at for c in charges],
        "lives": [c.life for c in charges],
        "lease": timedelta(seconds=settings.charge_lease_s),
        "hidden": timedelta(seconds=settings.outbox_lease_s),
        "alone": int(alone),
    }


# `here` has no life where Stripe was not asked since this one began (R31).
_LOCK_ORDERS = Statement(f"""
WITH here AS MATERIALIZED (
  SELECT i.uuid AS instance,
         (SELECT l.id FROM lives l WHERE l.identity = database_identity() AND l.verified_until > now()) AS life
    FROM instance i
)
SELECT x.id AS outbox_id, x.attempt, x.deliveries, x.opens_unsettled, x.opens_alone, x.is_early AS early,
       o.id AS order_id, o.account_id, a.is_default, o.idempotency_key, o.amount_minor, o.currency, o.payment_method,
       o.customer, o.description, o.metadata::text AS metadata, o.fingerprint, o.status, o.created_at, now() AS now,
       here.life, here.instance
  FROM {ROWS}
  JOIN orders o ON o.id = x.order_id
  JOIN accounts a ON a.id = o.account_id
 CROSS JOIN here
 WHERE x.id = ANY(CAST(:ids AS uuid[])) AND x.kind = 'charge' AND NOT x.is_parked
 ORDER BY o.id
   FOR NO KEY UPDATE OF o
""")

_READ_CHARGES = Statement("""
SELECT id, order_id, attempt, idempotency_key, request::text AS request, stripe_version, status, next_call, lease_until,
       maybe_executed, first_sent_at, last_sent_at, unclear_in_a_row, payment_intent_id, key_conflict,
       cancel_try, history::text AS history
  FROM charges WHERE order_id = ANY(CAST(:order_ids AS uuid[]))
""")

_DROP_CHARGES = Statement("""
UPDATE charges SET status = 'canceled', token = NULL, lease_until = NULL, updated_at = now(),
    history = history || jsonb_build_object('at', now(), 'answer', 'dropped unsent: the order wants no charge any more')
 WHERE id = ANY(CAST(:ids AS uuid[]))
""")

# Only an order moved to processing by this statement's own UPDATE, or already there, gets a charge (R12).
# Each step hands its rows to the next: joining them again would compare each with each.
_INSERT_CHARGES = Statement(f"""
WITH incoming AS (
  SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:account_ids AS uuid[]),
    CAST(:order_ids AS uuid[]), CAST(:attempts AS smallint[]), CAST(:keys AS text[]), CAST(:amounts AS bigint[]),
    CAST(:currencies AS text[]), CAST(:requests AS text[]), CAST(:versions AS text[]), CAST(:calls AS text[]),
    CAST(:tokens AS uuid[]), CAST(:first_sent AS timestamptz[]), CAST(:lives AS int[]))
    AS i(id, account_id, order_id, attempt, key, amount, currency, request, version, call, token, first_sent, life)
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
""")

# Under the order's lock, so nobody else can be taking the same charge. What a send sets, a look-up must not.
_TAKE_OVER = Statement(f"""
WITH incoming AS (
  SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:outbox_ids AS uuid[]), CAST(:calls AS text[]),
    CAST(:tokens AS uuid[]), CAST(:first_sent AS timestamptz[]), CAST(:lives AS int[]), CAST(:requests AS text[]),
    CAST(:versions AS text[]))
    AS i(id, outbox_id, call, token, first_sent, life, request, version)
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
