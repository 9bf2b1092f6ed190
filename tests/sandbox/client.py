"""stripe-python as the tests use it: one target, one client, the parameters that most tests share."""

import asyncio
import uuid
from collections.abc import Awaitable
from typing import Any, NamedTuple, Self

import pytest
import stripe
from stripe import StripeClient

# Stripe's own word for a confirm on the server without a `return_url`.
NO_REDIRECTS = {"enabled": True, "allow_redirects": "never"}


class Target(NamedTuple):
    """An implementation of Stripe's API."""

    base_address: str
    key: str


class Api:
    """An async client, closed with `async with`."""

    def __init__(self, target: Target) -> None:
        self._http: Any = stripe.AIOHTTPClient()
        self.base = target.base_address
        self.client = StripeClient(
            target.key,
            base_addresses={"api": target.base_address},
            http_client=self._http,
            max_network_retries=0,
        )
        # Any: the tests read optional fields as present; that they are is what is tested.
        self.v1: Any = self.client.v1
        self.intents: Any = self.v1.payment_intents

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close_async()

    async def pay(self, card: str = "pm_card_visa", key: str | None = None, **params: Any) -> Any:
        """Create and confirm in one call."""
        return await self.create(key, **({"payment_method": card, "confirm": True} | params))

    async def create(self, key: str | None = None, **params: Any) -> Any:
        """Create only. A parameter of None is not sent."""
        wanted = {"amount": 1999, "currency": "usd", "automatic_payment_methods": NO_REDIRECTS} | params
        sent: Any = {name: value for name, value in wanted.items() if value is not None}
        return await self.intents.create_async(sent, {"idempotency_key": key or new_key()})


def new_key() -> str:
    """An idempotency key nobody has used."""
    return f"conformance-{uuid.uuid4()}"


def order(name: str) -> dict[str, str]:
    """Metadata as the service sends it."""
    return {"eo_account": "acc", "eo_order": name, "eo_attempt": "1"}


async def failure(work: Awaitable[object], error: type[Exception]) -> Any:
    """The error that the work ends with; Any, because what an error may lack is what the tests look for."""
    with pytest.raises(error) as failed:
        await asyncio.wait_for(work, 60)
    return failed.value
