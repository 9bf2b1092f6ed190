"""What only Stripe can say, asked for by a request: the page at which a customer confirms a payment."""

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING

from service.foundation.errors import Problem, Unavailable
from service.foundation.settings import Settings

if TYPE_CHECKING:
    from service.stripe_gateway.client import StripeGateway
    from service.stripe_gateway.objects import Confirmable

_RETRY_AFTER_S = 2


class StripeSilent(Problem):
    """Stripe could not be asked for what only Stripe knows."""

    code = "unavailable"


class PaymentPages:
    """Asks Stripe on behalf of a request. The client is imported and connected when it is first needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connecting = asyncio.Lock()
        self._gateway: StripeGateway | None = None

    async def read(self, intent_id: str) -> "Confirmable":
        """The PaymentIntent as it is now. Raises StripeSilent."""
        try:
            async with asyncio.timeout(self._settings.stripe_timeout_s):
                return await (await self._connected()).confirmable(intent_id)
        except (Unavailable, TimeoutError) as error:
            reason = str(error) or "Stripe did not answer in time."
            raise StripeSilent(f"{reason} Ask again.", retry_after_s=_RETRY_AFTER_S) from error

    async def close(self) -> None:
        """Disconnect."""
        if self._gateway is not None:
            await self._gateway.__aexit__(None, None, None)

    async def _connected(self) -> "StripeGateway":
        async with self._connecting:
            if self._gateway is None:
                # In a thread: the import takes half a second, and other requests are being served.
                client = await asyncio.to_thread(import_module, "service.stripe_gateway.client")
                gateway: StripeGateway = client.StripeGateway(self._settings)
                self._gateway = await gateway.__aenter__()
            return self._gateway
