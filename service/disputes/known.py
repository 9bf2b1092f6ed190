"""Which disputes and warnings this database knows of a time: a listing of it must show them (R35)."""

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.sql import Record, Statement, begin


class _Known(Record):
    id: str


# Workers forbid bitmaps, and a block-range index has no other plan: without this the table would be read whole.
_BY_TIME = Statement("SET LOCAL enable_bitmapscan = on")
_OF_TIME = "WHERE stripe_created >= to_timestamp(:gte) AND stripe_created < to_timestamp(:lt)"
_DISPUTES = Statement(f"SELECT id FROM disputes {_OF_TIME}").returning(_Known)
_WARNINGS = Statement(f"SELECT id FROM fraud_warnings {_OF_TIME}").returning(_Known)


async def known_disputes(engine: AsyncEngine, gte: int, lt: int) -> set[str]:
    """Stripe's ids of the disputes known here that a listing of [gte, lt) Unix seconds must show."""
    return await _known(engine, _DISPUTES, gte, lt)


async def known_warnings(engine: AsyncEngine, gte: int, lt: int) -> set[str]:
    """The same for early fraud warnings."""
    return await _known(engine, _WARNINGS, gte, lt)


async def _known(engine: AsyncEngine, statement: Statement[_Known], gte: int, lt: int) -> set[str]:
    async with begin(engine) as tx:
        await tx.run(_BY_TIME)
        return {row.id for row in await tx.rows(statement, {"gte": gte, "lt": lt})}
