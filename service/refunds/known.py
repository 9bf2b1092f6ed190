"""Which refunds this database knows of a time: a listing of it must show them (R35)."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.sql import Record, Statement, begin, connect


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


_KNOWN_OF_PAYMENT = Statement("""
SELECT r.stripe_refund_id FROM refunds r JOIN charges c ON c.id = r.charge_id
 WHERE r.order_id = :order_id AND c.payment_intent_id = :payment_intent AND r.stripe_refund_id IS NOT NULL
""").returning(_Known)


async def known_refunds_of(engine: AsyncEngine, order_id: UUID, payment_intent_id: str) -> set[str]:
    """The same for the refunds of one payment, whenever they were made."""
    async with connect(engine) as connection:
        known = await connection.rows(_KNOWN_OF_PAYMENT, {"order_id": order_id, "payment_intent": payment_intent_id})
    return {row.stripe_refund_id for row in known}
