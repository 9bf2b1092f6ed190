"""The rows that bring back what this database forgot (R31).

An adopted charge is written as one that was sent and whose answer was lost; settling it is then the ordinary way.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from service import orders
from service.charges import OpenCharge, payment_intent_request
from service.effects import STRIPE_VERSION
from service.effects.parking import KEY_AT_STRIPE
from service.foundation.postgres.db import repeat_on_deadlock
from service.foundation.postgres.sql import Connection, Record, Statement, begin, connect
from service.foundation.settings import Settings
from service.outbox import rows
from service.outbox.handling import park_fragment
from service.recovery.adoption import Known, Step, Verdict, judge, key_on_the_wire, placed_at
from service.recovery.knowing import Listed, known_of
from service.states import CHARGE_FINAL, ORDER_MOVES_BY_ITSELF, in_sql
from service.stripe_gateway.marks import Marks, producers_own


async def bring_back(
    engine: AsyncEngine, listed: Listed, life: int, settings: Settings
) -> tuple[Verdict, OpenCharge | None]:
    """Judge one PaymentIntent under its order's lock, and write what it takes.

    Returns the verdict and, where Stripe's object can settle it, the charge to settle.
    """
    return await repeat_on_deadlock(lambda: _bring_back(engine, listed, life, settings))


async def _bring_back(
    engine: AsyncEngine, listed: Listed, life: int, settings: Settings
) -> tuple[Verdict, OpenCharge | None]:
    async with begin(engine) as tx:
        known = await _known_and_locked(tx, listed)
        verdict = judge(listed.intent, listed.marks, known)
        if verdict.step is Step.ADOPT and known.order_id is None and not await _insert_order(tx, listed):
            # Its producer has repeated it this very moment.
            known = await _known_and_locked(tx, listed)
            verdict = judge(listed.intent, listed.marks, known)
            if known.order_id is None:
                return Verdict(Step.REPORT, "its order is another account's here"), None
        if verdict.step is Step.BLOCK and known.order_id is not None:
            await _block(tx, listed, known.order_id, life)
        if verdict.step not in (Step.ADOPT, Step.SETTLE):
            return verdict, None
        return verdict, await _as_sent(tx, listed, known, known.order_id or listed.marks.order_id, life, settings)


async def _known_and_locked(tx: Connection, listed: Listed) -> Known:
    (known,) = await known_of(tx, [listed])
    if known.order_id is not None:
        await orders.lock(tx, [known.order_id])
        (known,) = await known_of(tx, [listed])
    return known


async def note_alias(engine: AsyncEngine, account_id: UUID, forgotten: UUID, order_id: UUID) -> None:
    """From now on the order is also found by the id it had before it was forgotten and repeated."""
    async with connect(engine) as connection:
        await connection.run(_INSERT_ALIAS, {"id": forgotten, "account": account_id, "order": order_id})


async def _insert_order(tx: Connection, listed: Listed) -> bool:
    """False: somebody else holds its key or its id."""
    intent, marks = listed.intent, listed.marks
    values = {
        "id": marks.order_id,
        "account": marks.account_id,
        "key": marks.key,
        "fingerprint": marks.fingerprint,
        "amount": intent.amount,
        "currency": intent.currency,
        "method": intent.payment_method,
        "customer": intent.customer,
        "description": intent.description,
        "metadata": msgspec.json.encode(producers_own(intent.metadata)).decode(),
        "created": placed_at(marks.order_id, listed.created),
    }
    return await tx.row(_INSERT_ORDER, values) is not None


async def _as_sent(
    tx: Connection, listed: Listed, known: Known, order_id: UUID, life: int, settings: Settings
) -> OpenCharge:
    """The charge as if this database had sent it and never heard: with its PaymentIntent, a token, and a promise."""
    if known.order_id is not None and not known.by_id and known.holder_status is None:
        alias = {"id": listed.marks.order_id, "account": listed.marks.account_id, "order": order_id}
        await tx.run(_INSERT_ALIAS, alias)
    await tx.run(_TO_PROCESSING, {"id": order_id, "again": listed.marks.attempt > 1 and known.charge_id is None})
    token = uuid4()
    values = {
        "order": order_id,
        "attempt": listed.marks.attempt,
        "intent": listed.intent.id,
        "created": listed.created,
        "token": token,
        "lease": timedelta(seconds=settings.charge_lease_s),
    }
    if known.charge_id is None and known.holder_status is None:
        await _insert_charge(tx, listed, order_id, life, status="unknown", call="retrieve")
    await tx.run(_ATTACH, values)
    promise = {"id": uuid7(), "order": order_id, "attempt": listed.marks.attempt}
    await tx.run(_PROMISE, {**promise, "hidden": timedelta(seconds=settings.outbox_lease_s)})
    adopted = await tx.one(_READ, {"order": order_id, "attempt": listed.marks.attempt})
    return _open_charge(adopted, token, order_id, listed)


def _open_charge(adopted: "_Adopted", token: UUID, order_id: UUID, listed: Listed) -> OpenCharge:
    return OpenCharge(
        **dict(adopted.items()),
        order_id=order_id,
        request={},
        call="retrieve",
        first_send=False,
        token=token,
        marks=listed.marks,
    )


async def _insert_charge(
    tx: Connection, listed: Listed, order_id: UUID, life: int, *, status: str, call: str, conflict: bool = False
) -> None:
    intent, marks = listed.intent, listed.marks
    order = await tx.one(_ORDER, {"id": order_id})
    own = Marks(
        account_id=marks.account_id,
        order_id=order_id,
        attempt=marks.attempt,
        key=order.idempotency_key,
        fingerprint=order.fingerprint,
        instance=marks.instance,
    )
    request = payment_intent_request(
        marks=own,
        amount=order.amount_minor,
        currency=order.currency,
        payment_method=order.payment_method,
        customer=order.customer,
        description=order.description,
        metadata=producers_own(intent.metadata),
    )
    values: dict[str, Any] = {
        "id": uuid7(),
        "account": marks.account_id,
        "order": order_id,
        "attempt": marks.attempt,
        "key": key_on_the_wire(marks, is_default=order.is_default, order_key=order.idempotency_key),
        "amount": order.amount_minor,
        "currency": order.currency,
        "request": msgspec.json.encode(request).decode(),
        "version": STRIPE_VERSION,
        "status": status,
        "call": call,
        "created": listed.created,
        "life": life,
        "conflict": conflict,
    }
    await tx.run(_INSERT_CHARGE, values)


async def _block(tx: Connection, listed: Listed, order_id: UUID, life: int) -> None:
    """The key is spent at Stripe: the order that holds it here is looked up only, in each attempt, and parked (R32).

    An order that has come further keeps what it has.
    """
    if await tx.row(_IS_YOUNG, {"id": order_id}) is None:
        return
    await tx.run(_TO_PROCESSING, {"id": order_id, "again": False})
    await tx.run(_CONFLICTS, {"order": order_id})
    for missing in await tx.rows(_MISSING_ATTEMPTS, {"order": order_id, "listed": listed.marks.attempt}):
        at = replace(listed, marks=replace(listed.marks, attempt=missing.n))
        await _insert_charge(tx, at, order_id, life, status="unknown", call="lookup", conflict=True)
    await tx.run(_PARK, {"order": order_id, "reason": KEY_AT_STRIPE})


class _Inserted(Record):
    id: UUID


_INSERT_ORDER = Statement("""
INSERT INTO orders (id, account_id, idempotency_key, fingerprint, amount_minor, currency, payment_method, customer,
                    description, metadata, status, created_at)
VALUES (:id, :account, :key, :fingerprint, :amount, :currency, :method, :customer, :description,
        CAST(:metadata AS jsonb), 'processing', :created)
ON CONFLICT DO NOTHING RETURNING id
""").returning(_Inserted)

_INSERT_ALIAS = Statement("""
INSERT INTO order_aliases (id, account_id, order_id)
SELECT :id, :account, :order WHERE NOT EXISTS (SELECT FROM orders WHERE id = :id)
ON CONFLICT DO NOTHING
""")

# `again`: an attempt after a decline, forgotten together with the call that asked for it.
_TO_PROCESSING = Statement("""
UPDATE orders SET status = 'processing', updated_at = now()
 WHERE id = :id AND (status = 'pending' OR (status = 'failed' AND CAST(:again AS boolean)))
""")


class _Order(Record):
    idempotency_key: str
    fingerprint: bytes
    amount_minor: int
    currency: str
    payment_method: str | None
    customer: str | None
    description: str | None
    is_default: bool


_ORDER = Statement("""
SELECT o.idempotency_key, o.fingerprint, o.amount_minor, o.currency, o.payment_method, o.customer, o.description,
       a.is_default
  FROM orders o JOIN accounts a ON a.id = o.account_id WHERE o.id = :id
""").returning(_Order)

_INSERT_CHARGE = Statement("""
INSERT INTO charges (id, account_id, order_id, attempt, idempotency_key, amount_minor, currency, request,
    stripe_version, status, next_call, maybe_executed, first_sent_at, last_sent_at, life, key_conflict, history)
VALUES (:id, :account, :order, :attempt, :key, :amount, :currency, CAST(CAST(:request AS text) AS json), :version,
    :status, :call, true, :created, :created, :life, :conflict,
    jsonb_build_array(jsonb_build_object('at', now(), 'adopted', true)))
""")

# A charge that has ended keeps no token; only Stripe's success can still move it (R23).
_ATTACH = Statement(f"""
UPDATE charges SET payment_intent_id = coalesce(payment_intent_id, :intent), next_call = 'retrieve',
    maybe_executed = true, first_sent_at = coalesce(first_sent_at, :created),
    last_sent_at = greatest(last_sent_at, :created),
    token = CASE WHEN status IN {in_sql(CHARGE_FINAL)} THEN NULL ELSE CAST(:token AS uuid) END,
    lease_until = CASE WHEN status IN {in_sql(CHARGE_FINAL)} THEN NULL ELSE now() + CAST(:lease AS interval) END
 WHERE order_id = :order AND attempt = :attempt
""")

_IS_YOUNG = Statement(f"SELECT FROM orders WHERE id = :id AND status IN {in_sql(ORDER_MOVES_BY_ITSELF)}")

# Whoever is about to settle one of them is fenced off.
_CONFLICTS = Statement(f"""
UPDATE charges SET key_conflict = true, next_call = 'lookup', token = NULL, lease_until = NULL
 WHERE order_id = :order AND payment_intent_id IS NULL AND status NOT IN {in_sql(CHARGE_FINAL)}
""")


# Those that could be opened, and the one that has the payment.
class _Missing(Record):
    n: int


_MISSING_ATTEMPTS = Statement(f"""
SELECT n FROM (
  SELECT 1 AS n UNION SELECT CAST(:listed AS int) UNION
  SELECT attempt FROM {rows.ROWS} WHERE order_id = :order AND kind = 'charge'
) AS wanted
 WHERE NOT EXISTS (SELECT FROM charges WHERE order_id = :order AND attempt = n)
""").returning(_Missing)

_PROMISE = Statement(
    rows.promise(
        ":id",
        "o.account_id",
        "o.id",
        payload="jsonb_build_object('attempt', CAST(:attempt AS smallint))",
        deliver_after="now() + CAST(:hidden AS interval)",
        source=f"""orders o
 WHERE o.id = :order AND NOT EXISTS (
   SELECT FROM {rows.ROWS} WHERE x.order_id = o.id AND x.kind = 'charge' AND x.attempt = :attempt)""",
    )
)


class _Adopted(Record):
    """A charge as `OpenCharge` names what it says."""

    id: UUID
    outbox_id: UUID
    account_id: UUID
    attempt: int
    idempotency_key: str
    amount: int
    currency: str
    customer: str | None
    stripe_version: str
    status: str
    life: int
    born_at: datetime
    opened_at: datetime
    first_sent_at: datetime | None
    last_sent_at: datetime | None
    deliveries: int
    unclear_answers: int
    payment_intent_id: str | None
    key_conflict: bool


_READ = Statement(f"""
SELECT c.id, x.id AS outbox_id, c.account_id, c.attempt, c.idempotency_key, c.amount_minor AS amount, c.currency,
       o.customer, c.stripe_version, c.status, c.life, o.created_at AS born_at, now() AS opened_at,
       c.first_sent_at, c.last_sent_at, x.deliveries, c.unclear_in_a_row AS unclear_answers,
       c.payment_intent_id, c.key_conflict
  FROM charges c
  JOIN orders o ON o.id = c.order_id
  JOIN {rows.ROWS} ON x.order_id = c.order_id AND x.attempt = c.attempt
 WHERE c.order_id = :order AND c.attempt = :attempt
""").returning(_Adopted)

# An attempt that has a payment of its own is followed to its end.
_PARK = Statement(
    park_fragment(
        f"""x.order_id = :order AND x.kind = 'charge' AND NOT EXISTS (
   SELECT FROM charges c WHERE c.order_id = x.order_id AND c.payment_intent_id IS NOT NULL
      AND c.attempt = {rows.ATTEMPT})""",
        reason=":reason",
    )
)
