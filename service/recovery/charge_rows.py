"""The rows that bring a forgotten charge back: as one that was sent, and whose answer was lost."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
from uuid_utils.compat import uuid7

from service.charges import OpenCharge, payment_intent_request
from service.effects import STRIPE_VERSION
from service.foundation.postgres.sql import Connection, Record, Statement
from service.foundation.settings import Settings
from service.outbox import rows
from service.recovery.adoption import key_on_the_wire
from service.recovery.knowing import Listed
from service.states import CHARGE_FINAL, in_sql
from service.stripe_gateway.marks import Marks, producers_own


class _Order(Record):
    idempotency_key: str
    fingerprint: bytes
    amount_minor: int
    currency: str
    capture: str
    payment_method: str | None
    customer: str | None
    description: str | None
    is_default: bool


_ORDER = Statement("""
SELECT o.idempotency_key, o.fingerprint, o.amount_minor, o.currency, o.capture, o.payment_method, o.customer,
       o.description, a.is_default
  FROM orders o JOIN accounts a ON a.id = o.account_id WHERE o.id = :id
""").returning(_Order)

_INSERT_CHARGE = Statement("""
INSERT INTO charges (id, account_id, order_id, attempt, idempotency_key, amount_minor, currency, request,
    stripe_version, status, next_call, maybe_executed, first_sent_at, last_sent_at, life, key_conflict, history)
VALUES (:id, :account, :order, :attempt, :key, :amount, :currency, CAST(CAST(:request AS text) AS json), :version,
    'unknown', :call, true, :created, :created, :life, :conflict,
    jsonb_build_array(jsonb_build_object('at', now(), 'adopted', true)))
""")


async def insert_charge(
    tx: Connection, listed: Listed, order_id: UUID, life: int, *, call: str, conflict: bool = False
) -> None:
    """An attempt of this order that was sent when its PaymentIntent was made."""
    marks, order = listed.marks, await tx.one(_ORDER, {"id": order_id})
    values: dict[str, Any] = {
        "id": uuid7(),
        "account": marks.account_id,
        "order": order_id,
        "attempt": marks.attempt,
        "key": key_on_the_wire(marks, is_default=order.is_default, order_key=order.idempotency_key),
        "amount": order.amount_minor,
        "currency": order.currency,
        "request": msgspec.json.encode(_request(listed, order_id, order)).decode(),
        "version": STRIPE_VERSION,
        "call": call,
        "created": listed.created,
        "life": life,
        "conflict": conflict,
    }
    await tx.run(_INSERT_CHARGE, values)


def _request(listed: Listed, order_id: UUID, order: _Order) -> object:
    own = Marks(
        account_id=listed.marks.account_id,
        order_id=order_id,
        attempt=listed.marks.attempt,
        key=order.idempotency_key,
        fingerprint=order.fingerprint,
        instance=listed.marks.instance,
    )
    return payment_intent_request(
        marks=own,
        amount=order.amount_minor,
        currency=order.currency,
        payment_method=order.payment_method,
        customer=order.customer,
        description=order.description,
        metadata=producers_own(listed.intent.metadata),
        capture=order.capture,
    )


# A charge that has ended keeps no token; only Stripe's success can still move it (R23).
_ATTACH = Statement(f"""
UPDATE charges SET payment_intent_id = coalesce(payment_intent_id, :intent), next_call = 'retrieve',
    maybe_executed = true, first_sent_at = coalesce(first_sent_at, :created),
    last_sent_at = greatest(last_sent_at, :created),
    token = CASE WHEN status IN {in_sql(CHARGE_FINAL)} THEN NULL ELSE CAST(:token AS uuid) END,
    lease_until = CASE WHEN status IN {in_sql(CHARGE_FINAL)} THEN NULL ELSE now() + CAST(:lease AS interval) END
 WHERE order_id = :order AND attempt = :attempt
""")

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


async def attach(tx: Connection, listed: Listed, order_id: UUID, settings: Settings) -> OpenCharge:
    """Give the attempt its PaymentIntent, a token and a promise; returns it as a worker holds it."""
    token, attempt = uuid4(), listed.marks.attempt
    which: dict[str, object] = {"order": order_id, "attempt": attempt}
    held = {
        "intent": listed.intent.id,
        "created": listed.created,
        "token": token,
        "lease": timedelta(seconds=settings.charge_lease_s),
    }
    await tx.run(_ATTACH, which | held)
    await tx.run(_PROMISE, which | {"id": uuid7(), "hidden": timedelta(seconds=settings.outbox_lease_s)})
    return _open_charge(await tx.one(_READ, which), token, order_id, listed)


class _Adopted(Record):
    """A charge as `OpenCharge` names what it says."""

    id: UUID
    outbox_id: UUID
    account_id: UUID
    attempt: int
    idempotency_key: str
    amount: int
    currency: str
    capture: str
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
       o.capture, o.customer, c.stripe_version, c.status, c.life, o.created_at AS born_at, now() AS opened_at,
       c.first_sent_at, c.last_sent_at, x.deliveries, c.unclear_in_a_row AS unclear_answers,
       c.payment_intent_id, c.key_conflict
  FROM charges c
  JOIN orders o ON o.id = c.order_id
  JOIN {rows.ROWS} ON x.order_id = c.order_id AND x.kind = 'charge' AND x.attempt = c.attempt
 WHERE c.order_id = :order AND c.attempt = :attempt
""").returning(_Adopted)


def _open_charge(adopted: _Adopted, token: UUID, order_id: UUID, listed: Listed) -> OpenCharge:
    return OpenCharge(
        **dict(adopted.items()),
        order_id=order_id,
        request={},
        call="retrieve",
        first_send=False,
        token=token,
        marks=listed.marks,
    )
