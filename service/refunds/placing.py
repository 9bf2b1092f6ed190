"""Refunds that are asked for at the same time, stored by one statement: those of which nothing is to be said but yes.

It waits for no order and tells no reason. What it leaves out (a replay, a conflict, an alias, an order that somebody
holds, a second refund of one order) is judged one by one by `asking`, which is the rule; this is its fast case.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import msgspec
import uuid_utils
from msgspec import UNSET
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from service.foundation import log, tracing
from service.foundation.broker_keys import CHARGE_QUEUE
from service.foundation.crash import CrashPoint, crash_point
from service.foundation.deadlines import DOOR_BATCH_S
from service.foundation.errors import Problem
from service.foundation.events import Event
from service.foundation.money import CURRENCIES
from service.foundation.postgres import pools
from service.foundation.postgres.db import BY_KEY, close, create_engine
from service.foundation.postgres.sql import Batch, SmallInt, Statement, UuidText, begin, connect
from service.foundation.settings import Settings
from service.orders.identity import REFUND, fingerprint
from service.orders.operations import Operations, Wish
from service.orders.together import Together
from service.outbox.rows import promise
from service.outbox.tracing import carry_trace
from service.refunds import asking
from service.refunds.asking import CREATED, Refunded
from service.refunds.model import RefundRequest
from service.refunds.reading import COLUMNS, RefundRow, refund_of


@dataclass(frozen=True, slots=True)
class Wanted:
    """A refund that is asked for, with the ids that it and its outbox row will have, and the trace it belongs to."""

    id: str
    wish: Wish
    request: RefundRequest
    promise_id: UUID = field(default_factory=uuid7)
    traceparent: str = ""


class RefundDoor:
    """Accepts the refunds of one process. Lives in one event loop; `close` it before that ends."""

    def __init__(self, settings: Settings, operations: Operations) -> None:
        self._operations = operations
        self._engine = create_engine(
            settings, name="refunds", pool=pools.REFUNDS, session=BY_KEY, statement_s=DOOR_BATCH_S
        )
        self._together = Together(self._store)

    async def refund(self, wish: Wish, request: RefundRequest) -> Refunded:
        """Give money back. Durable when it returns. Raises as `asking.refund` does."""
        traceparent = "" if tracing.spans is None else tracing.spans.created(CHARGE_QUEUE)
        wanted = Wanted(str(uuid_utils.uuid7()), wish, request, traceparent=traceparent)
        made = await self._together.submit(wanted)
        return made or await asking.refund(self._operations, wish, request)

    async def close(self) -> None:
        """Drop the connection."""
        await close(self._engine)

    async def _store(self, wanted: Sequence[Wanted]) -> Sequence[Refunded | None]:
        try:
            return await self._operations.commit(lambda: place(self._engine, wanted))
        except Problem:
            raise
        except Exception as error:  # noqa: BLE001  each is tried by itself, and meets its own error
            log.event(Event.DOOR_BATCH_SPLIT, orders=len(wanted), **log.of_error(error))
            return [None] * len(wanted)


async def place(engine: AsyncEngine, wanted: Sequence[Wanted]) -> list[Refunded | None]:
    """Store those that nothing speaks against; None for each of the others, of which nothing is stored."""
    first = {w.wish.order_id: w for w in reversed(wanted)}  # one statement changes a row of `orders` once
    crash_point(CrashPoint.API_BEFORE_COMMIT, [REFUND])
    async with connect(engine) if tracing.spans is None else begin(engine) as connection:
        rows = await connection.rows(_PLACE, _bound(list(first.values())))
        if tracing.spans is not None:
            for one in first.values():
                await carry_trace(connection, one.promise_id, one.traceparent)
    crash_point(CrashPoint.API_AFTER_COMMIT, [REFUND])
    made = {str(row.id): Refunded(refund_of(row), replayed=False) for row in rows}
    return [made.get(w.id) for w in wanted]


class _Wanted(Batch, frozen=True):
    """Refunds that may be made, with the rows that go with each. `metadata` is JSON."""

    alias = "i"
    id: Sequence[UuidText]
    operation_id: Sequence[UUID]
    promise_id: Sequence[UUID]
    account_id: Sequence[UUID]
    order_id: Sequence[UUID]
    key: Sequence[str]
    fingerprint: Sequence[bytes]
    answered: Sequence[SmallInt]
    amount_wanted: Sequence[int | None]
    currency_wanted: Sequence[str | None]
    reason: Sequence[str | None]
    metadata: Sequence[str]


# Amounts of these keep a step, which is judged one by one.
_STEPPED = sorted(code for code, rules in CURRENCIES.items() if rules.step > 1)

# An order with a dispute is judged one by one, because it is told what the dispute says. Of an order that is held the
# newest version is judged, as a lock that did not wait for anybody finds it. A charge or refund that was committed
# after this statement began is not seen by it: then it stores nothing.
_PLACE = Statement(f"""
WITH held AS MATERIALIZED (
  SELECT i.*, o.currency, o.left_minor, c.id AS charge_id
    FROM {_Wanted.unnest()},
   LATERAL (
     SELECT currency, coalesce(amount_captured_minor, amount_minor) - amount_refunded_minor - amount_refunding_minor
            AS left_minor
       FROM orders
      WHERE id = i.order_id AND account_id = i.account_id AND status = 'paid' AND amount_disputed_minor = 0
        FOR NO KEY UPDATE SKIP LOCKED) AS o,
   LATERAL (
     SELECT id FROM charges
      WHERE account_id = i.account_id AND order_id = i.order_id AND status = 'succeeded' LIMIT 1) AS c
), allowed AS MATERIALIZED (
  SELECT h.*, coalesce(h.amount_wanted, h.left_minor) AS amount_minor
    FROM held h
   WHERE h.left_minor > 0 AND coalesce(h.amount_wanted, h.left_minor) <= h.left_minor
     AND coalesce(h.currency_wanted, h.currency) = h.currency AND h.currency <> ALL(CAST(:stepped AS text[]))
     AND NOT EXISTS (SELECT FROM refunds r WHERE r.account_id = h.account_id AND r.producer_key = h.key)
), remembered AS (
  INSERT INTO operations (id, account_id, operation, idempotency_key, order_id, fingerprint, answered)
  SELECT operation_id, account_id, '{REFUND}', key, order_id, fingerprint, answered
    FROM allowed ORDER BY account_id, key COLLATE "C"
  ON CONFLICT (account_id, operation, idempotency_key) DO NOTHING
  RETURNING id
), made AS (
  INSERT INTO refunds (id, account_id, order_id, charge_id, producer_key, amount_minor, currency, reason, metadata,
                       request, stripe_version)
  SELECT a.id, a.account_id, a.order_id, a.charge_id, a.key, a.amount_minor, a.currency, a.reason, a.metadata::jsonb,
         '{{}}', ''
    FROM allowed a JOIN remembered r ON r.id = a.operation_id
  RETURNING {COLUMNS}, account_id
), counted AS (
  UPDATE orders o SET amount_refunding_minor = o.amount_refunding_minor + m.amount_minor, updated_at = now()
    FROM made m WHERE o.id = m.order_id
), promised AS (
  {
    promise(
        "a.promise_id",
        "made.account_id",
        "made.order_id",
        source="made JOIN allowed a USING (id)",
        kind="'refund'",
        payload="jsonb_build_object('effect', made.id)",
    )
}
)
SELECT {RefundRow.columns()} FROM made
""").returning(RefundRow)


def _bound(wanted: Sequence[Wanted]) -> dict[str, object]:
    requests = [w.request for w in wanted]
    batch = _Wanted(
        id=[w.id for w in wanted],
        operation_id=[uuid7() for _ in wanted],
        promise_id=[w.promise_id for w in wanted],
        account_id=[w.wish.account_id for w in wanted],
        order_id=[w.wish.order_id for w in wanted],
        key=[w.wish.key for w in wanted],
        fingerprint=[fingerprint(r) for r in requests],
        answered=[CREATED] * len(wanted),
        amount_wanted=[None if r.amount is UNSET else r.amount for r in requests],
        currency_wanted=[None if r.currency is UNSET else r.currency for r in requests],
        reason=[None if r.reason is UNSET else r.reason for r in requests],
        metadata=[msgspec.json.encode(r.metadata).decode() for r in requests],
    )
    return batch.bound() | {"stepped": _STEPPED}
