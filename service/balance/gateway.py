"""What this room needs of the Stripe gateway; `service.stripe_gateway.client.StripeGateway` has it."""

from collections.abc import AsyncIterator
from typing import Protocol

from service.stripe_gateway.balance import Balance
from service.stripe_gateway.objects import BalanceTransaction


class BalanceLists(Protocol):
    """The movements of the balance."""

    def list_balance_transactions(
        self, created_gte: int, created_lt: int | None = None
    ) -> AsyncIterator[BalanceTransaction]:
        """Those created in [gte, lt) Unix seconds, newest first. Raises IncompleteListing."""
        ...

    async def retrieve_balance_transaction(self, transaction_id: str) -> BalanceTransaction | None:
        """One of them; None where Stripe has none. Raises IncompleteListing."""
        ...


class BalanceGateway(BalanceLists, Protocol):
    """The movements, and what they come to."""

    async def balance(self) -> Balance:
        """What the balance is now. Raises IncompleteListing."""
        ...
