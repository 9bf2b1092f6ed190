"""A listing proves itself: what this database knew of the window must have been on a page (R35)."""

from collections.abc import Awaitable, Callable, Collection

from sqlalchemy.ext.asyncio import AsyncEngine

from service.log import event
from service.sql import Statement, begin
from service.stripe_objects import IncompleteListing, Intent


async def known_intents(engine: AsyncEngine, gte: int, lt: int, customer: str | None = None) -> set[str]:
    """Ids of the PaymentIntents known here that a listing of [gte, lt) Unix seconds must show.

    Asked before the listing begins: what is made meanwhile may be on it, and need not.
    """
    values = {"gte": gte, "lt": lt, "customer": customer}
    async with begin(engine) as tx:
        await tx.rows(_BY_TIME, {})
        return set(await tx.column(_KNOWN_OF_CUSTOMER if customer else _KNOWN, values))


async def prove_complete(missing: Collection[str], retrieve: Callable[[str], Awaitable[Intent | None]]) -> None:
    """Raises IncompleteListing where one of the known PaymentIntents that no page showed is there all the same.

    One that Stripe does not have at all (test data was deleted) says nothing about the pages; it is reported.
    """
    for intent_id in missing:
        if await retrieve(intent_id) is not None:
            raise IncompleteListing(f"the listing did not show {intent_id}, which exists")
        event("stripe.object_gone", level="warning", payment_intent=intent_id)


# Workers forbid bitmaps, and a block-range index has no other plan: without this the table would be read whole.
_BY_TIME = Statement("SELECT set_config('enable_bitmapscan', 'on', true)")

_KNOWN = Statement("""
SELECT payment_intent_id FROM charges
 WHERE stripe_created >= to_timestamp(:gte) AND stripe_created < to_timestamp(:lt) AND payment_intent_id IS NOT NULL
""")

_KNOWN_OF_CUSTOMER = Statement("""
SELECT c.payment_intent_id FROM charges c JOIN orders o ON o.id = c.order_id
 WHERE c.stripe_created >= to_timestamp(:gte) AND c.stripe_created < to_timestamp(:lt)
   AND c.payment_intent_id IS NOT NULL AND o.customer = :customer
""")
