"""The row that brings a forgotten order back, and the other ids it is found by."""

from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.sql import Connection, Record, Statement, connect
from service.recovery.adoption import placed_at
from service.recovery.knowing import Listed
from service.stripe_gateway.marks import producers_own


class _Inserted(Record):
    id: UUID


_INSERT_ORDER = Statement("""
INSERT INTO orders (id, account_id, idempotency_key, fingerprint, amount_minor, currency, payment_method, customer,
                    description, metadata, capture, status, created_at)
VALUES (:id, :account, :key, :fingerprint, :amount, :currency, :method, :customer, :description,
        CAST(:metadata AS jsonb), :capture, 'processing', :created)
ON CONFLICT DO NOTHING RETURNING id
""").returning(_Inserted)


async def insert_order(tx: Connection, listed: Listed) -> bool:
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
        "capture": "manual" if intent.capture_method == "manual" else "automatic",
        "created": placed_at(marks.order_id, listed.created),
    }
    return await tx.row(_INSERT_ORDER, values) is not None


_INSERT_ALIAS = Statement("""
INSERT INTO order_aliases (id, account_id, order_id)
SELECT :id, :account, :order WHERE NOT EXISTS (SELECT FROM orders WHERE id = :id)
ON CONFLICT DO NOTHING
""")


async def insert_alias(tx: Connection, account_id: UUID, forgotten: UUID, order_id: UUID) -> None:
    """The order is also found by the id it had before it was forgotten and repeated."""
    await tx.run(_INSERT_ALIAS, {"id": forgotten, "account": account_id, "order": order_id})


async def note_alias(engine: AsyncEngine, account_id: UUID, forgotten: UUID, order_id: UUID) -> None:
    """The same in a transaction of its own."""
    async with connect(engine) as connection:
        await insert_alias(connection, account_id, forgotten, order_id)


# An attempt after the newest one here was forgotten together with the request that asked for it.
_TO_PROCESSING = Statement("""
UPDATE orders SET status = CASE WHEN status = 'pending' OR (status = 'failed' AND :attempt > attempt)
                                THEN 'processing' ELSE status END,
    failure = CASE WHEN :attempt > attempt THEN NULL ELSE failure END,
    payment_method = CASE WHEN :attempt > attempt THEN CAST(:method AS text) ELSE payment_method END,
    attempt = greatest(attempt, CAST(:attempt AS smallint)), updated_at = now()
 WHERE id = :id AND (status = 'pending' OR :attempt > attempt)
""")


async def to_processing(tx: Connection, order_id: UUID, listed: Listed) -> None:
    """The order was sent, as far as the listed attempt."""
    values = {"id": order_id, "attempt": listed.marks.attempt, "method": listed.intent.payment_method}
    await tx.run(_TO_PROCESSING, values)
