"""The sweeps of payments and refunds (R38): what this database forgot, or what no event told, is brought back.

They go on where the listings of a new life end (R31 f): what is known needs nothing and is passed over by one statement
a page; anything else is settled or adopted as there.
"""

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from sqlalchemy.ext.asyncio import AsyncEngine

from service.charges import known_intents
from service.effects import Sweep
from service.foundation import log
from service.foundation.events import Event
from service.foundation.settings import Settings
from service.recovery import lives
from service.recovery.adoption import Step, Verdict, judge
from service.recovery.instance import instance_of
from service.recovery.knowing import what_is_known
from service.recovery.refund_adoption import ListedRefund, judge_listed
from service.recovery.refund_knowing import what_is_known as what_is_known_of_refunds
from service.recovery.refund_verification import refund_brought_back
from service.recovery.verification import brought_back, of_this_installation
from service.refunds import known_refunds
from service.stripe_gateway.objects import IncompleteListing, Intent, Refund

if TYPE_CHECKING:  # the SDK costs half a second
    from service.stripe_gateway.client import StripeGateway


class PaymentSweep(Sweep[Intent, "StripeGateway"]):
    """PaymentIntents of this installation."""

    name = "payment_intents"

    def ask(self, gateway: "StripeGateway", created_gte: int, created_lt: int) -> AsyncIterator[Intent]:
        """Those of the whole account; what is not ours is passed over."""
        return gateway.list_payment_intents(created_gte, created_lt)

    async def retrieve(self, gateway: "StripeGateway", object_id: str) -> Intent | None:
        """One PaymentIntent."""
        return await gateway.retrieve_payment_intent(object_id)

    async def known(self, engine: AsyncEngine, gte: int, lt: int) -> set[str]:
        """Those of our charges."""
        return await known_intents(engine, gte, lt)

    async def settle(self, engine: AsyncEngine, shown: Sequence[Intent], settings: Settings) -> None:
        """Settle or adopt what Stripe shows otherwise than this database."""
        ours = of_this_installation(shown, await instance_of(engine))
        if not ours:
            return
        known = zip(ours, await what_is_known(engine, ours), strict=True)
        news = [one for one, knows in known if judge(one.intent, one.marks, knows).step is not Step.NOTHING]
        if not news:
            return
        life = await _verified_life(engine, settings)
        for listed in news:
            _say(listed.intent.id, await brought_back(engine, listed, life, settings))


class RefundSweep(Sweep[Refund, "StripeGateway"]):
    """Refunds of this installation's payments, also those that were made at Stripe past us."""

    name = "refunds"

    def ask(self, gateway: "StripeGateway", created_gte: int, created_lt: int) -> AsyncIterator[Refund]:
        """Those of the whole account; what is of none of our payments is passed over."""
        return gateway.list_refunds(created_gte=created_gte, created_lt=created_lt)

    async def retrieve(self, gateway: "StripeGateway", object_id: str) -> Refund | None:
        """One refund."""
        return await gateway.retrieve_refund(object_id)

    async def known(self, engine: AsyncEngine, gte: int, lt: int) -> set[str]:
        """Those of our table."""
        return await known_refunds(engine, gte, lt)

    async def settle(self, engine: AsyncEngine, shown: Sequence[Refund], settings: Settings) -> None:
        """Settle or adopt, the oldest first: a refund draws on what an earlier one that failed has left owed."""
        instance = await instance_of(engine)
        ours = [one for refund in reversed(shown) if (one := ListedRefund.of(refund, instance)) is not None]
        if not ours:
            return
        known = zip(ours, await what_is_known_of_refunds(engine, ours), strict=True)
        news = [one for one, knows in known if judge_listed(one, knows).step is not Step.NOTHING]
        if not news:
            return
        life = await _verified_life(engine, settings)
        for listed in news:
            _say(listed.shown.id, await refund_brought_back(engine, listed, life, settings))


async def _verified_life(engine: AsyncEngine, settings: Settings) -> lives.Life:
    """The present life. Raises IncompleteListing until its verification, which finds the same and counts the loss."""
    if not await lives.is_verified(engine):
        raise IncompleteListing("what this database may have forgotten is still being looked for")
    return await lives.current(engine, settings)


def _say(stripe_object: str, verdict: Verdict) -> None:
    """What a sweep adopts was forgotten here: an operator should know. What it settles is its daily work."""
    if verdict.step is Step.ADOPT:
        log.event(Event.SWEEP_ADOPTED, stripe_object=stripe_object)
