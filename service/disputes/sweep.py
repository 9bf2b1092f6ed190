"""The sweeps of disputes and of early fraud warnings: what was opened and no event told of."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncEngine

from service.disputes.known import known_disputes, known_warnings
from service.disputes.seen import Seen, clock, seen
from service.disputes.settling import settle
from service.disputes.warnings import settle_warnings
from service.effects import Sweep
from service.foundation.settings import Settings
from service.stripe_gateway.disputes import Dispute, EarlyFraudWarning


class Gateway(Protocol):
    """What is asked of Stripe about disputes and warnings."""

    def list_disputes(self, created_gte: int, created_lt: int) -> AsyncIterator[Dispute]:
        """Disputes opened in [gte, lt) Unix seconds as they are now, newest first. Raises IncompleteListing."""
        ...

    async def retrieve_dispute(self, dispute_id: str) -> Dispute | None:
        """One dispute; None where Stripe has none. Raises IncompleteListing."""
        ...

    def list_fraud_warnings(self, created_gte: int, created_lt: int) -> AsyncIterator[EarlyFraudWarning]:
        """Early fraud warnings made in [gte, lt) Unix seconds, newest first. Raises IncompleteListing."""
        ...

    async def retrieve_fraud_warning(self, warning_id: str) -> EarlyFraudWarning | None:
        """One warning; None where Stripe has none. Raises IncompleteListing."""
        ...


class DisputeSweep(Sweep[Seen[Dispute], Gateway]):
    """Disputes by the moment at which they were opened."""

    name = "disputes"

    def ask(self, gateway: Gateway, created_gte: int, created_lt: int) -> AsyncIterator[Seen[Dispute]]:
        """Those opened in [gte, lt) Unix seconds."""
        return seen(gateway.list_disputes(created_gte, created_lt))

    async def retrieve(self, gateway: Gateway, object_id: str) -> Seen[Dispute] | None:
        """One dispute."""
        asked_at = clock()
        shown = await gateway.retrieve_dispute(object_id)
        return None if shown is None else Seen(shown, asked_at)

    async def known(self, engine: AsyncEngine, gte: int, lt: int) -> set[str]:
        """Those that are known here."""
        return await known_disputes(engine, gte, lt)

    async def settle(self, engine: AsyncEngine, shown: Sequence[Seen[Dispute]], settings: Settings) -> None:  # noqa: ARG002  not needed here
        """Store what Stripe shows of them."""
        await settle(engine, shown)


class WarningSweep(Sweep[Seen[EarlyFraudWarning], Gateway]):
    """Early fraud warnings by the moment at which they were made."""

    name = "fraud_warnings"

    def ask(self, gateway: Gateway, created_gte: int, created_lt: int) -> AsyncIterator[Seen[EarlyFraudWarning]]:
        """Those made in [gte, lt) Unix seconds."""
        return seen(gateway.list_fraud_warnings(created_gte, created_lt))

    async def retrieve(self, gateway: Gateway, object_id: str) -> Seen[EarlyFraudWarning] | None:
        """One warning."""
        asked_at = clock()
        shown = await gateway.retrieve_fraud_warning(object_id)
        return None if shown is None else Seen(shown, asked_at)

    async def known(self, engine: AsyncEngine, gte: int, lt: int) -> set[str]:
        """Those that are known here."""
        return await known_warnings(engine, gte, lt)

    async def settle(self, engine: AsyncEngine, shown: Sequence[Seen[EarlyFraudWarning]], settings: Settings) -> None:  # noqa: ARG002  not needed here
        """Store what Stripe shows of them."""
        await settle_warnings(engine, shown)
