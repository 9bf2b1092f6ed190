"""The sweep of payouts (R38): what no event told, and what changes long after a payout was made, is read from lists.

A payout may fail days after it was paid, and a list by `created` shows that to nobody who only reads what is new. So
each turn also lists from the oldest payout that may still change: as a rule one page of Stripe's and two questions that
prove it, because payouts are made once a day. A payout that stays on its way makes that list longer by each one made
after it.
"""

from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncEngine

from service.effects import Sweep, in_order
from service.foundation.settings import Settings
from service.payouts.contents import Lists, list_contents
from service.payouts.known import changing_since, known_payouts
from service.payouts.settling import PAGE, settle
from service.stripe_gateway.objects import MOMENT_MAX
from service.stripe_gateway.payouts import Payout


class Gateway(Lists, Protocol):
    """The calls to Stripe that this sweep makes; `service.stripe_gateway.client.StripeGateway` has them."""

    def list_payouts(self, created_gte: int, created_lt: int) -> AsyncIterator[Payout]:
        """Those made in [gte, lt) Unix seconds, newest first. Raises IncompleteListing."""
        ...

    async def retrieve_payout(self, payout_id: str) -> Payout | None:
        """One payout, or None where Stripe says that it has none. Raises IncompleteListing."""
        ...


class PayoutSweep(Sweep[Payout, Gateway]):
    """Payouts of the whole Stripe account."""

    name = "payouts"

    def ask(self, gateway: Gateway, created_gte: int, created_lt: int) -> AsyncIterator[Payout]:
        """Those of the account that the key is of."""
        return gateway.list_payouts(created_gte, created_lt)

    async def retrieve(self, gateway: Gateway, object_id: str) -> Payout | None:
        """One payout."""
        return await gateway.retrieve_payout(object_id)

    async def known(self, engine: AsyncEngine, gte: int, lt: int) -> set[str]:
        """Those of our table."""
        return await known_payouts(engine, gte, lt)

    async def settle(self, engine: AsyncEngine, shown: Sequence[Payout], settings: Settings) -> None:
        """Have the rows say what Stripe shows."""
        del settings
        await settle(engine, shown)

    async def beside(self, engine: AsyncEngine, gateway: Gateway, settings: Settings) -> None:
        """Read again what may still change, then list what is in payouts. Raises IncompleteListing."""
        del settings
        await self._read_again(engine, gateway)
        await list_contents(engine, gateway)

    async def _read_again(self, engine: AsyncEngine, gateway: Gateway) -> None:
        if (since := await changing_since(engine)) is None:
            return
        page: list[Payout] = []
        try:
            async for payout in in_order(partial(self.ask, gateway), since, MOMENT_MAX):
                page.append(payout)
                if len(page) == PAGE:
                    await settle(engine, page)
                    page.clear()
        finally:  # also what a listing showed before it broke off
            await settle(engine, page)
