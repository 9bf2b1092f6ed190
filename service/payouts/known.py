"""Which payouts this database knows of a time, and since when some of them may still change."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.sql import Record, Statement, begin, connect
from service.states import PAYOUT_CAME_BACK, PAYOUT_OPEN, in_sql

# So long after its arrival a payout is read again: it may still fail (five business days), and the bank may tell by
# what it finds it (ten days).
MAY_CHANGE = timedelta(days=10)


class _Known(Record):
    id: str


# Workers forbid bitmaps, and a block-range index has no other plan.
_BY_TIME = Statement("SET LOCAL enable_bitmapscan = on")

_KNOWN = Statement("""
SELECT id FROM payouts WHERE stripe_created >= to_timestamp(:gte) AND stripe_created < to_timestamp(:lt)
""").returning(_Known)


async def known_payouts(engine: AsyncEngine, gte: int, lt: int) -> set[str]:
    """Ids of the payouts known here that a listing of [gte, lt) Unix seconds must show (R35)."""
    async with begin(engine) as tx:
        await tx.run(_BY_TIME)
        return {row.id for row in await tx.rows(_KNOWN, {"gte": gte, "lt": lt})}


class _Since(Record):
    since: datetime | None


_CHANGING = Statement(f"""
SELECT min(stripe_created) AS since FROM payouts
 WHERE status IN {in_sql(PAYOUT_OPEN)}
    OR arrival_date > CAST(now() - CAST(:may_change AS interval) AS date)
       AND (status = 'paid' OR status IN {in_sql(PAYOUT_CAME_BACK)} AND failure_transaction_id IS NULL
            OR automatic AND listed_at IS NULL)
""").returning(_Since)


async def changing_since(engine: AsyncEngine) -> int | None:
    """The Unix second in which the oldest payout was made that may still change; None where there is none."""
    async with connect(engine) as connection:
        found = await connection.one(_CHANGING, {"may_change": MAY_CHANGE})
    return None if found.since is None else int(found.since.timestamp())
