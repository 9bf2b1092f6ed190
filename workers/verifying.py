"""Before the first send under a new life of the database, Stripe is asked what it may have forgotten (R31)."""

import asyncio

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation import log
from service.foundation.events import Event
from service.foundation.postgres.db import is_unreachable
from service.foundation.settings import Settings
from service.recovery import ANOTHER, verify
from service.stripe_gateway.client import StripeGateway

_LOOK_AGAIN_S = 0.1
_PATIENCE_S = 5.0  # an ordinary restart costs a listing or two; a restored backup may cost thousands


class Verification:
    """One listing for all messages of this process; it goes on in the background while they wait in the outbox."""

    def __init__(self, engine: AsyncEngine, gateway: StripeGateway, settings: Settings) -> None:
        self._engine = engine
        self._gateway = gateway
        self._settings = settings
        self._listing: asyncio.Task[str | None] | None = None

    async def why_not_yet(self) -> str | None:
        """None once orders may be sent in this life of the database, else the reason. Waits a few seconds at most."""
        listing = self._listing or asyncio.create_task(self._verified())
        self._listing = listing
        done, _ = await asyncio.wait({listing}, timeout=_PATIENCE_S)
        if not done:
            return "Stripe is being asked what this database may have forgotten"
        self._listing = None
        return _result(listing)

    async def _verified(self) -> str | None:
        """Where another process lists, wait for it."""
        while (reason := await verify(self._engine, self._gateway, self._settings)) == ANOTHER:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_AGAIN_S)
        return reason


def _result(listing: "asyncio.Task[str | None]") -> str | None:
    error = listing.exception()
    if error is None:
        return listing.result()
    log.event(Event.RECOVERY_FAILED, "warning" if is_unreachable(error) else "error", **log.of_error(error))
    return f"it could not be found out what this database may have forgotten ({type(error).__name__})"
