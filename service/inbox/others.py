"""Events about what is Stripe's own: disputes, warnings, payouts, balance transactions. Their rooms store them."""

from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from service.effects.listing import Listed
from service.foundation.postgres.sql import Record, Statement, connect
from service.inbox.following import OF_AN_UNKNOWN_PAYMENT, SETTLED, UNKNOWN, Verdict


class _Stored(Record):
    id: str


# Each list of Stripe's is stored in the table of its name.
_STORED = {
    name: Statement(f"SELECT id FROM {name} WHERE id = ANY(CAST(:ids AS text[]))").returning(_Stored)
    for name in ("disputes", "fraud_warnings", "payouts", "balance_transactions")
}
_OF_PAYMENTS = ("disputes", "fraud_warnings")  # stored only where the payment is known


async def after(engine: AsyncEngine, kind: str, shown: Mapping[str, Listed]) -> dict[str, Verdict]:
    """What became of these once their room has seen them."""
    ids: Sequence[str] = list(shown)
    async with connect(engine) as connection:
        stored = {row.id for row in await connection.rows(_STORED[kind], {"ids": ids})}
    missing = OF_AN_UNKNOWN_PAYMENT if kind in _OF_PAYMENTS else UNKNOWN
    return {object_id: SETTLED if object_id in stored else missing for object_id in ids}
