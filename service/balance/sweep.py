"""The list of Stripe's balance transactions: each movement of its balance, stored and booked."""

from collections.abc import AsyncIterator, Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from service.balance import movements
from service.balance.booking import book_shown
from service.balance.gateway import BalanceGateway
from service.balance.opening import Opening
from service.effects import Sweep
from service.foundation import log
from service.foundation.events import Event
from service.foundation.postgres.sql import begin
from service.foundation.settings import Settings
from service.stripe_gateway.objects import BalanceTransaction


class BalanceSweep(Sweep[BalanceTransaction, BalanceGateway]):
    """Movements of the whole account, also of what is none of ours: they move the same balance."""

    name = "balance_transactions"

    def __init__(self) -> None:
        self._opening = Opening()

    async def ask(
        self, gateway: BalanceGateway, created_gte: int, created_lt: int
    ) -> AsyncIterator[BalanceTransaction]:
        """Those that books can hold; any other is said, and spoils no listing."""
        async for movement in gateway.list_balance_transactions(created_gte, created_lt):
            if is_readable(movement):
                yield movement

    async def retrieve(self, gateway: BalanceGateway, object_id: str) -> BalanceTransaction | None:
        """One movement."""
        return await gateway.retrieve_balance_transaction(object_id)

    async def known(self, engine: AsyncEngine, gte: int, lt: int) -> set[str]:
        """Those of our table."""
        async with begin(engine) as tx:
            return await movements.known(tx, gte, lt)

    async def settle(
        self,
        engine: AsyncEngine,
        shown: Sequence[BalanceTransaction],
        settings: Settings,  # noqa: ARG002  what is new waits for its source at first
    ) -> None:
        """Store what is new, and book what is known of it."""
        await book_shown(engine, shown)

    async def beside(
        self,
        engine: AsyncEngine,
        gateway: BalanceGateway,
        settings: Settings,  # noqa: ARG002  what was there before has no settings
    ) -> None:
        """Open the books with what the balance was before, where that is not done yet."""
        await self._opening.once(engine, gateway)


def is_readable(movement: BalanceTransaction) -> bool:
    """Whether books can hold it; one that they cannot is said."""
    if movement.flaw:
        log.event(Event.BALANCE_UNREADABLE, movement=movement.id, reason=movement.flaw)
    return movement.flaw is None
