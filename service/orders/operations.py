"""What is asked of an order after it was placed: one key, one operation, for ever.

An operation is one transaction of its own: the order's row is locked, the key is inserted first, then the state is
judged. Where the state forbids it, all of it is rolled back, so that nothing of it is remembered. The lock is the one
that opening and settling take, so a cancellation and a worker have one winner (R12), and refunds one sum (R26).
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from service.duplicates import Guard, absorbed
from service.foundation.crash import CrashPoint, crash_point
from service.foundation.deadlines import DOOR_BATCH_S
from service.foundation.errors import NotConfirmed, NotFound, UnprocessableKey
from service.foundation.postgres.db import is_unreachable, repeat_on_deadlock
from service.foundation.postgres.durability import Durability
from service.foundation.postgres.sql import Connection, Record, Statement, begin, connect
from service.orders.identity import fingerprint, same_request
from service.orders.reading import COLUMNS, OrderRow
from service.outbox import Waker

T = TypeVar("T")

PAY = "pay"  # the others have the names of `identity`


@dataclass(frozen=True, slots=True)
class Wish:
    """An operation that a producer asks for: on which order, under which key. `order_id` may be an alias."""

    operation: str
    account_id: UUID
    order_id: UUID
    key: str
    request: msgspec.Struct


@dataclass(frozen=True, slots=True)
class Repeat:
    """The key has asked for this before; `answered` is the status of the first answer."""

    answered: int


_IS_KNOWN = Statement("""
SELECT FROM operations WHERE account_id = :account AND operation = :operation AND idempotency_key = :key
""")


async def is_known(engine: AsyncEngine, wish: Wish) -> bool:
    """Whether the key was used before; asked before a rate limit refuses what would only be a replay (R7)."""
    async with connect(engine) as connection:
        return await connection.row(_IS_KNOWN, _names(wish)) is not None


@dataclass(frozen=True, slots=True)
class Operations:
    """The operations of one process. They share what the door of its orders has to know and to tell."""

    engine: AsyncEngine
    durability: Durability
    waker: Waker

    async def carry_out(self, wish: Wish, work: Callable[[Connection], Awaitable[T]]) -> T:
        """What `work` returns, run in one transaction that is committed by then; `work` may be run more than once.

        Raises NotConfirmed where PostgreSQL is away or its answer was lost: then nothing, or everything, is stored
        (R6); and where PostgreSQL may forget what it commits (R30).
        """
        return await self.commit(lambda: self._transact(wish, work))

    async def commit(self, store: Callable[[], Awaitable[T]]) -> T:
        """What `store` returns, which commits by itself; it may be run more than once. Raises as `carry_out`."""
        self.durability.check()
        try:
            async with asyncio.timeout(DOOR_BATCH_S):
                done = await repeat_on_deadlock(store)
        except Exception as error:
            if not is_unreachable(error):
                raise
            raise NotConfirmed(
                "PostgreSQL is away, or its answer was lost; this is not confirmed. "
                "Repeat the request with the same key.",
                retry_after_s=1,
            ) from error
        self.waker.wake()
        return done

    async def _transact(self, wish: Wish, work: Callable[[Connection], Awaitable[T]]) -> T:
        async with begin(self.engine) as tx:
            done = await work(tx)
            crash_point(CrashPoint.API_BEFORE_COMMIT, [wish.operation])
        crash_point(CrashPoint.API_AFTER_COMMIT, [wish.operation])
        return done


# A row that another transaction has changed meanwhile is read again once it is locked, so it is never an old one.
_LOCK = Statement(f"""
SELECT {COLUMNS} FROM orders
 WHERE account_id = :account AND id = coalesce(
   (SELECT order_id FROM order_aliases WHERE id = :id AND account_id = :account), CAST(:id AS uuid))
   FOR NO KEY UPDATE
""").returning(OrderRow)


async def locked(tx: Connection, wish: Wish) -> OrderRow:
    """The order, held until `tx` ends. Raises NotFound, also where it is another account's."""
    row = await tx.row(_LOCK, {"account": wish.account_id, "id": wish.order_id})
    if row is None:
        raise NotFound("There is no such order.")
    return row


class _Remembered(Record):
    order_id: UUID


_REMEMBER = Statement("""
INSERT INTO operations (id, account_id, operation, idempotency_key, order_id, fingerprint, answered)
VALUES (:id, :account, :operation, :key, :order, :fingerprint, :answered)
    ON CONFLICT (account_id, operation, idempotency_key) DO NOTHING
RETURNING order_id
""").returning(_Remembered)


class _Known(Record):
    order_id: UUID
    fingerprint: bytes
    answered: int


_KNOWN = Statement("""
SELECT order_id, fingerprint, answered FROM operations
 WHERE account_id = :account AND operation = :operation AND idempotency_key = :key
""").returning(_Known)


async def remember(tx: Connection, wish: Wish, order: OrderRow, *, answered: int) -> Repeat | None:
    """Insert the key. None where it is new; the first answer where it repeats. Raises UnprocessableKey."""
    new = {
        "id": uuid7(),
        "order": order.id,
        "fingerprint": fingerprint(wish.request),
        "answered": answered,
    }
    if await tx.row(_REMEMBER, _names(wish) | new) is not None:
        return None
    known = await tx.one(_KNOWN, _names(wish))  # a second statement: the first sees no row of a racing commit (R4)
    if known.order_id != order.id or not same_request(known.fingerprint, wish.request):
        raise UnprocessableKey(
            f"This idempotency key was used for another {wish.operation}: of another order, or with another body. "
            "Use a new key."
        )
    absorb_after(tx, order)
    return Repeat(known.answered)


def absorb_after(tx: Connection, order: OrderRow) -> None:
    """Once `tx` is committed: count that what was asked of this order was asked before."""
    tx.after_commit(partial(absorbed, Guard.OPERATION_KEY, order.id))


_ORDER = Statement(f"SELECT {COLUMNS} FROM orders WHERE id = :id").returning(OrderRow)


async def read_back(tx: Connection, order_id: UUID) -> OrderRow:
    """The order as `tx` leaves it."""
    return await tx.one(_ORDER, {"id": order_id})


def _names(wish: Wish) -> dict[str, object]:
    return {"account": wish.account_id, "operation": wish.operation, "key": wish.key}
