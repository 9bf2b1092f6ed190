"""Movements without a booking of their own, for people: each with its age."""

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.sql import Integer, Record, Statement, connect
from service.states import MOVEMENT_OPEN, in_sql

SHOWN_MAX = 1_000


class OpenMovement(Record):
    """One that waits for its source, or stands in suspense. `age_s`: for so long, in seconds."""

    id: str
    status: str
    category: str
    source: str | None
    net_minor: int
    currency: str
    age_s: Integer
    why: str | None


_OPEN = Statement(f"""
SELECT id, status, category, source, net_minor, currency, CAST(extract(epoch FROM now() - seen_at) AS integer) AS age_s,
       why
  FROM balance_transactions WHERE status IN {in_sql(MOVEMENT_OPEN)} ORDER BY seen_at LIMIT {SHOWN_MAX}
""").returning(OpenMovement)


async def open_movements(engine: AsyncEngine) -> list[OpenMovement]:
    """At most SHOWN_MAX of them, the oldest first."""
    async with connect(engine) as connection:
        return await connection.rows(_OPEN)
