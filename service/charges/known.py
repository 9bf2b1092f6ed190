"""Which PaymentIntents this database knows of a time: a listing of it must show them (R35)."""

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.sql import Record, Statement, begin


class _Known(Record):
    payment_intent_id: str


# Workers forbid bitmaps, and a block-range index has no other plan: without this the table would be read whole.
_BY_TIME = Statement("SET LOCAL enable_bitmapscan = on")

_KNOWN = Statement("""
SELECT payment_intent_id FROM charges
 WHERE stripe_created >= to_timestamp(:gte) AND stripe_created < to_timestamp(:lt) AND payment_intent_id IS NOT NULL
""").returning(_Known)

_KNOWN_OF_CUSTOMER = Statement("""
SELECT c.payment_intent_id FROM charges c JOIN orders o ON o.id = c.order_id
 WHERE c.stripe_created >= to_timestamp(:gte) AND c.stripe_created < to_timestamp(:lt)
   AND c.payment_intent_id IS NOT NULL AND o.customer = :customer
""").returning(_Known)


async def known_intents(engine: AsyncEngine, gte: int, lt: int, customer: str | None = None) -> set[str]:
    """Ids of the PaymentIntents known here that a listing of [gte, lt) Unix seconds must show.

    Asked before the listing begins: what is made meanwhile may be on it, and need not.
    """
    span: dict[str, object] = {"gte": gte, "lt": lt}
    async with begin(engine) as tx:
        await tx.run(_BY_TIME)
        if customer:
            known = await tx.rows(_KNOWN_OF_CUSTOMER, span | {"customer": customer})
        else:
            known = await tx.rows(_KNOWN, span)
    return {row.payment_intent_id for row in known}
