"""Charges whose fee is not booked yet: read, put off, and marked when it is."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.sql import Batch, Connection, Record, Statement, connect
from service.states import CHARGE_MONEY_MOVED, in_sql


class Due(Record):
    """A charge whose fee is looked for.

    `charged_at`: the moment at which the money was taken, by Stripe's clock; of a payment that was authorized first,
    that of its capture. `captured_minor`: what was taken, where that is less than the amount.
    """

    id: UUID
    account_id: UUID
    order_id: UUID
    payment_intent_id: str | None
    stripe_charge_id: str
    amount_minor: int
    captured_minor: int | None
    currency: str
    charged_at: datetime

    @property
    def taken_minor(self) -> int:
        """What is booked as taken, in minor units."""
        return self.amount_minor if self.captured_minor is None else self.captured_minor


_IS_DUE = f"status IN {in_sql(CHARGE_MONEY_MOVED)} AND balance_transaction_id IS NULL AND stripe_charge_id IS NOT NULL"

_YOUNG = Statement(f"""
SELECT {Due.columns()} FROM charges WHERE {_IS_DUE} AND fee_look_at IS NULL AND charged_at >= :since
 ORDER BY charged_at DESC LIMIT :most
""").returning(Due)


async def young(engine: AsyncEngine, since: datetime, most: int) -> list[Due]:
    """Those charged at `since` or later, the newest first."""
    return await _read(engine, _YOUNG, {"since": since, "most": most})


_OLDEST = Statement(f"""
SELECT {Due.columns()} FROM charges WHERE {_IS_DUE} AND fee_look_at IS NULL AND charged_at < :since
 ORDER BY charged_at LIMIT :most
""").returning(Due)


async def oldest(engine: AsyncEngine, since: datetime, most: int) -> list[Due]:
    """Those charged before `since` and never put off, the oldest first."""
    return await _read(engine, _OLDEST, {"since": since, "most": most})


_YOUNGEST = Statement(f"""
SELECT {Due.columns()} FROM charges WHERE {_IS_DUE} AND fee_look_at IS NULL AND charged_at < :since
 ORDER BY charged_at DESC LIMIT :most
""").returning(Due)


async def youngest(engine: AsyncEngine, since: datetime, most: int) -> list[Due]:
    """Those charged before `since` and never put off, the newest first."""
    return await _read(engine, _YOUNGEST, {"since": since, "most": most})


_AGAIN = Statement(f"""
SELECT {Due.columns()} FROM charges WHERE {_IS_DUE} AND fee_look_at IS NOT NULL AND fee_look_at <= :now
 ORDER BY fee_look_at LIMIT :most
""").returning(Due)


async def again(engine: AsyncEngine, now: datetime, most: int) -> list[Due]:
    """Those that were put off until now."""
    return await _read(engine, _AGAIN, {"now": now, "most": most})


class _Later(Batch, frozen=True):
    """Charges and when to look for their fee again."""

    alias = "later"
    id: Sequence[UUID]
    look_at: Sequence[datetime]


_PUT_OFF = Statement(f"""
UPDATE charges c SET fee_look_at = later.look_at
  FROM {_Later.unnest()}
 WHERE c.id = later.id AND c.balance_transaction_id IS NULL
""")


async def put_off(engine: AsyncEngine, look_at: Mapping[UUID, datetime]) -> None:
    """Have these charges looked for again then."""
    later = _Later(id=list(look_at), look_at=list(look_at.values()))
    async with connect(engine) as connection:
        await connection.run(_PUT_OFF, later.bound())


class _Locked(Record):
    id: UUID


# Locked in the order of their ids (R5). Another sweep may have booked some meanwhile: those are not returned.
_LOCK = Statement("""
SELECT id FROM charges
 WHERE id = ANY (CAST(:ids AS uuid[])) AND balance_transaction_id IS NULL
 ORDER BY id
   FOR NO KEY UPDATE
""").returning(_Locked)


async def lock(connection: Connection, ids: Sequence[UUID]) -> set[UUID]:
    """Those of `ids` that are still due; nobody else changes them until the transaction ends."""
    return {row.id for row in await connection.rows(_LOCK, {"ids": ids})}


class Marks(Batch, frozen=True):
    """Charges and the balance transaction of each; its currency where it is another than the charge's."""

    alias = "marks"
    id: Sequence[UUID]
    balance_transaction_id: Sequence[str]
    settlement_currency: Sequence[str | None]


_MARK = Statement(f"""
UPDATE charges c SET balance_transaction_id = marks.balance_transaction_id,
    settlement_currency = marks.settlement_currency, updated_at = now()
  FROM {Marks.unnest()}
 WHERE c.id = marks.id
""")


async def mark(connection: Connection, marks: Marks) -> None:
    """Note that these are due no more."""
    await connection.run(_MARK, marks.bound())


async def _read(engine: AsyncEngine, statement: Statement[Due], values: Mapping[str, object]) -> list[Due]:
    async with connect(engine) as connection:
        return await connection.rows(statement, values)
