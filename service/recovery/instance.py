"""Which installation this database is, among those at one Stripe account."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.sql import Record, Statement, connect


class _Instance(Record):
    uuid: UUID


_INSTANCE = Statement("SELECT uuid FROM instance WHERE id = 1").returning(_Instance)


async def instance_of(engine: AsyncEngine) -> UUID:
    """The name that its payments and refunds bear at Stripe."""
    async with connect(engine) as connection:
        return (await connection.one(_INSTANCE)).uuid
