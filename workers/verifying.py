"""Asks Stripe, before the first send under a new life of the database, what the database may have forgotten (R31)."""

import asyncio

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation import log
from service.foundation.events import Event
from service.foundation.postgres.db import is_unreachable
from service.foundation.settings import Settings
from service.recovery import ANOTHER, verify
from service.stripe_gateway.client import StripeGateway

_LOOK_AGAIN_S = 0.1
_PATIENCE_S = 5.0  # seconds that a message waits: enough after a restart, not after a restore


class Verification:
    """One verification for all messages of this process; it runs on in the background while they wait in the outbox."""

    def __init__(self, engine: AsyncEngine, gateway: StripeGateway, settings: Settings) -> None:
        self._engine = engine
        self._gateway = gateway
        self._settings = settings
        self._listing: asyncio.Task[str | None] | None = None

    async def why_not_yet(self) -> str | None:
        """None where orders may be sent in this life of the database, else the reason. Waits at most 5 seconds."""
        listing = self._listing or asyncio.create_task(self._verified())
        self._listing = listing
        done, _ = await asyncio.wait({listing}, timeout=_PATIENCE_S)
        if not done:
            return "Stripe is being asked what this database may have forgotten"
        self._listing = None
        return _result(listing)

    async def _verified(self) -> str | None:
        """Verify, or wait while another process does; returns None, or the reason why nothing may be sent."""
        while (reason := await verify(self._engine, self._gateway, self._settings)) == ANOTHER:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_AGAIN_S)
        return reason


def _result(listing: "asyncio.Task[str | None]") -> str | None:
    error = listing.exception()
    if error is None:
        return listing.result()
    log.event(Event.RECOVERY_FAILED, "warning" if is_unreachable(error) else "error", **log.of_error(error))
    return f"it could not be found out what this database may have forgotten ({type(error).__name__})"
