"""Telling: a notice for each endpoint that listens, written in the transaction that makes the fact true (R39)."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from uuid_utils.compat import uuid7

from service.foundation.postgres.sql import Batch, Connection, Record, Statement
from service.notices.model import NOTICE_TYPES, Fact, NoticeType, body_of, webhook_id
from service.orders.model import MADE_AGAIN, NEVER_EXECUTED, Failure
from service.orders.reading import COLUMNS, OrderRow, order_of
from service.states import ORDER_COMES_ONCE, ORDER_TOLD, in_sql

_LISTENS = "deleted_at IS NULL AND gone_at IS NULL"


def is_heard(account_id: str) -> str:
    """Whether anybody of this account listens: for the statements of the hot path, which then need no question more."""
    return f"EXISTS (SELECT FROM webhook_endpoints e WHERE e.account_id = {account_id} AND e.{_LISTENS})"


class _Listener(Record):
    id: UUID
    account_id: UUID
    events: list[str]
    at: datetime


_LISTENERS = Statement(f"""
SELECT id, account_id, events, now() AS at FROM webhook_endpoints
 WHERE account_id = ANY(CAST(:accounts AS uuid[])) AND {_LISTENS}
""").returning(_Listener)


class _Notices(Batch, frozen=True):
    """Notices that are owed from now on."""

    alias = "i"
    id: Sequence[UUID]
    account_id: Sequence[UUID]
    endpoint_id: Sequence[UUID]
    webhook_id: Sequence[str]
    type: Sequence[str]
    object_id: Sequence[str]
    order_id: Sequence[UUID | None]
    body: Sequence[str]


_PROMISE = Statement(f"""
INSERT INTO notices ({_Notices.columns()})
SELECT {_Notices.columns()} FROM {_Notices.unnest()}
ON CONFLICT (account_id, endpoint_id, webhook_id) DO NOTHING
""")


async def tell(tx: Connection, facts: Sequence[Fact]) -> None:
    """Owe a notice of each fact to whoever listens. Told twice, a fact is owed once.

    Called in the transaction that makes the facts true. Where nobody listens it costs one question.
    """
    if not facts:
        return
    listeners = await tx.rows(_LISTENERS, {"accounts": list({fact.account_id for fact in facts})})
    owed = {
        (listener.account_id, listener.id, webhook_id(fact)): (fact, body_of(fact, listener.at))
        for fact in facts
        for listener in listeners
        if listener.account_id == fact.account_id and fact.type in listener.events
    }
    if owed:
        keys = sorted(owed, key=lambda key: (key[0].bytes, key[1].bytes, key[2]))  # by the unique key (R5)
        rows = [owed[key] for key in keys]
        batch = _Notices(
            id=[uuid7() for _ in keys],
            account_id=[key[0] for key in keys],
            endpoint_id=[key[1] for key in keys],
            webhook_id=[key[2] for key in keys],
            type=[fact.type for fact, _ in rows],
            object_id=[fact.object_id for fact, _ in rows],
            order_id=[fact.order_id for fact, _ in rows],
            body=[body for _, body in rows],
        )
        await tx.run(_PROMISE, batch.bound())


class _Told(OrderRow):
    """`made_again`: how often its attempt was made again under its own number, because nothing of it had run."""

    made_again: int


_ORDERS = Statement(f"""
SELECT {COLUMNS}, CASE WHEN failure ->> 'code' = '{NEVER_EXECUTED}' THEN (
    SELECT count(*)::int FROM charges c CROSS JOIN jsonb_array_elements(c.history) AS h
     WHERE c.account_id = o.account_id AND c.order_id = o.id AND c.attempt = o.attempt
       AND h ->> 'reason' = '{MADE_AGAIN}'
  ) ELSE 0 END AS made_again
  FROM orders o WHERE id = ANY(CAST(:ids AS uuid[])) AND status IN {in_sql(ORDER_TOLD)}
""").returning(_Told)
_TYPES: Mapping[str, NoticeType] = {kind.removeprefix("order."): kind for kind in NOTICE_TYPES}


async def tell_of_orders(tx: Connection, order_ids: Collection[UUID]) -> None:
    """Tell of these orders, which `tx` has just moved."""
    if order_ids:
        await tell(tx, [_of_order(row) for row in await tx.rows(_ORDERS, {"ids": list(order_ids)})])


def _of_order(row: _Told) -> Fact:
    data = order_of(row)
    return Fact(row.account_id, _TYPES[row.status], data.id, _which(row, data.failure), row.id, data)


def _which(row: _Told, failure: Failure | None) -> str:
    """Each attempt may fail, wait for its customer, or hold the money; it may fail again for another reason.

    For the same reason it fails again only where it never ran and was made again. What is counted is what its producer
    asked for, so that a database which has forgotten it counts the same once that is asked again.
    """
    if row.status in ORDER_COMES_ONCE:
        return ""
    again = str(row.made_again) if row.made_again else None
    code = str(failure.code) if failure else None
    return ":".join(part for part in (str(row.attempt), code, again) if part)
