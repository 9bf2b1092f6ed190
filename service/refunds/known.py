"""Which refunds this database knows of a time: a listing of it must show them (R35)."""

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.sql import Record, Statement, begin


class _Known(Record):
    stripe_refund_id: str


# Workers forbid bitmaps, and a block-range index has no other plan: without this the table would be read whole.
_BY_TIME = Statement("SET LOCAL enable_bitmapscan = on")

_KNOWN = Statement("""
SELECT stripe_refund_id FROM refunds
 WHERE stripe_created >= to_timestamp(:gte) AND stripe_created < to_timestamp(:lt) AND stripe_refund_id IS NOT NULL
""").returning(_Known)


async def known_refunds(engine: AsyncEngine, gte: int, lt: int) -> set[str]:
    """Stripe's ids of the refunds known here that a listing of [gte, lt) Unix seconds must show.

    Asked before the listing begins: what is made meanwhile may be on it, and need not.
    """
    async with begin(engine) as tx:
        await tx.run(_BY_TIME)
        return {row.stripe_refund_id for row in await tx.rows(_KNOWN, {"gte": gte, "lt": lt})}
