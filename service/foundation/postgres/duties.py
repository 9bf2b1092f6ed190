"""What one process of the fleet at a time should do: a lease in the database, renewed by whoever holds it.

A duty done twice is harmless; the lease saves the work and the calls.
"""

from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.sql import Record, Statement, connect

LEASE_S = 10.0  # after the death of its holder a duty rests so long; longer than a sweep commonly takes


class _Held(Record):
    name: str


_HOLD = Statement("""
INSERT INTO duties AS d (name, holder, until) VALUES (:name, :holder, now() + CAST(:lease AS interval))
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
 WHERE d.holder = excluded.holder OR d.until < now()
RETURNING name
""").returning(_Held)


async def hold(engine: AsyncEngine, name: str, holder: UUID) -> bool:
    """Whether `holder` has the duty for the next LEASE_S seconds, by having it already or because nobody does."""
    values = {"name": name, "holder": holder, "lease": timedelta(seconds=LEASE_S)}
    async with connect(engine) as connection:
        return await connection.row(_HOLD, values) is not None


class _Asked(Record):
    is_held: bool


_IS_HELD = Statement("""
SELECT EXISTS (SELECT FROM duties WHERE name = :name AND until >= now()) AS is_held
""").returning(_Asked)


async def is_held(engine: AsyncEngine, name: str) -> bool:
    """Whether somebody has the duty now."""
    async with connect(engine) as connection:
        return (await connection.one(_IS_HELD, {"name": name})).is_held


_GIVE_UP = Statement("UPDATE duties SET until = '-infinity' WHERE holder = :holder")


async def give_up(engine: AsyncEngine, holder: UUID) -> None:
    """Leave all duties of `holder` to the others, at once."""
    async with connect(engine) as connection:
        await connection.run(_GIVE_UP, {"holder": holder})
