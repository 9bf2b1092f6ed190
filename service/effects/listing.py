"""A listing proves itself (R35): Stripe's `has_more: false` is not believed alone.

Pages must agree with each other, the rest of the window is asked for once more, and what this database knew of the
window must have been shown. A listing that fails one of these is incomplete: what it showed is true, no more.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation import log
from service.foundation.events import Event
from service.foundation.postgres.sql import Record, Statement, begin
from service.stripe_gateway.objects import ContradictoryListing, IncompleteListing, Intent

List = Callable[[int, int], AsyncIterator[Intent]]  # PaymentIntents created in [gte, lt) Unix seconds, newest first


async def in_order(ask: List, gte: int, lt: int) -> AsyncIterator[Intent]:
    """All that `ask` lists of [gte, lt), each once. Raises IncompleteListing, also after the last one was yielded."""
    seen = _Seen(gte, lt)
    async for intent in ask(gte, lt):
        seen.add(intent)
        yield intent
    # Two asks: a page that ends early would end within a busy second, and an answer that is always empty shows nothing.
    async for intent in ask(gte, seen.oldest):
        raise ContradictoryListing(f"the listing ended, and asked for what is older it shows {intent.id}")
    if seen.ids:
        again = {intent.id async for intent in ask(seen.oldest, seen.oldest + 1)}
        if seen.ids != again:
            raise ContradictoryListing(f"of its oldest second the listing does not always show {min(seen.ids ^ again)}")


class _Seen:
    """What a listing has shown: it goes back in time, so only the ids of its oldest second need to be kept."""

    def __init__(self, gte: int, lt: int) -> None:
        self._gte = gte
        self.oldest = lt
        self.ids: set[str] = set()

    def add(self, intent: Intent) -> None:
        """Raises ContradictoryListing where `intent` cannot follow what was shown before it."""
        if not self._gte <= intent.created <= self.oldest:
            raise ContradictoryListing(f"the listing shows {intent.id} out of its order")
        if intent.id in self.ids:
            raise ContradictoryListing(f"the listing shows {intent.id} twice")
        if intent.created < self.oldest:
            self.oldest = intent.created
            self.ids.clear()
        self.ids.add(intent.id)


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


async def prove_complete(missing: Collection[str], retrieve: Callable[[str], Awaitable[Intent | None]]) -> None:
    """Raises IncompleteListing where one of the known PaymentIntents that no page showed is there all the same.

    One that Stripe does not have at all (test data was deleted) says nothing about the pages; it is reported.
    """
    for intent_id in missing:
        if await retrieve(intent_id) is not None:
            raise IncompleteListing(f"the listing did not show {intent_id}, which exists")
        log.event(Event.STRIPE_OBJECT_GONE, payment_intent=intent_id)
