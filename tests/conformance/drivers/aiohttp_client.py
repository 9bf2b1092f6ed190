"""stripe-python with its aiohttp client: the asynchronous API, typed."""

import asyncio
from collections.abc import Sequence
from typing import assert_never

import aiohttp
import stripe
from stripe import RequestOptions, StripeClient, StripeError, StripeObject

from tests.conformance.calls import (
    AutoPage,
    CancelIntent,
    ConfirmIntent,
    CreateIntent,
    ListCharges,
    ListEvents,
    Listing,
    ListIntents,
    ListMovements,
    Request,
    RetrieveAccount,
    RetrieveBalance,
    RetrieveCharge,
    RetrieveEvent,
    RetrieveIntent,
    RetrieveMovement,
    Single,
)
from tests.conformance.drivers import python
from tests.conformance.drivers.outcome import TIMEOUT_S, Outcome, Target, Versions


class AiohttpDriver:
    """One StripeClient on an event loop of its own."""

    name = "stripe-python/aiohttp"

    def __init__(self, target: Target) -> None:
        self._loop = asyncio.Runner()
        self._session = self._loop.run(_session())
        client = StripeClient(
            target.key,
            base_addresses={"api": target.address},
            http_client=stripe.AIOHTTPClient(TIMEOUT_S, session=self._session),
            max_network_retries=0,
        )
        self._v1 = client.v1

    def versions(self) -> Versions:
        return python.versions()

    def perform(self, wanted: Sequence[Request]) -> list[Outcome]:
        return self._loop.run(self._all(wanted))

    def close(self) -> None:
        self._loop.run(self._session.close())
        self._loop.close()

    async def _all(self, wanted: Sequence[Request]) -> list[Outcome]:
        return await asyncio.gather(*(self._outcome(request) for request in wanted))

    async def _outcome(self, request: Request) -> Outcome:
        options = python.options(request.options)
        try:
            match request.call:
                case AutoPage(listing, most):
                    return python.paged(await _first(await self._page(listing, options), most))
                case ListIntents() | ListCharges() | ListMovements() | ListEvents() as listing:
                    return python.succeeded(await self._page(listing, options))
                case single:
                    return python.succeeded(await self._single(single, options))
        except StripeError as error:
            return python.failed(error)

    async def _page(self, call: Listing, options: RequestOptions) -> python.Page:
        match call:
            case ListIntents(params):
                return await self._v1.payment_intents.list_async(params, options)
            case ListCharges(params):
                return await self._v1.charges.list_async(params, options)
            case ListMovements(params):
                return await self._v1.balance_transactions.list_async(params, options)
            case ListEvents(params):
                return await self._v1.events.list_async(params, options)
        assert_never(call)

    async def _single(self, call: Single, options: RequestOptions) -> StripeObject:
        match call:
            case CreateIntent(params):
                return await self._v1.payment_intents.create_async(params, options)
            case RetrieveIntent(intent, params):
                return await self._v1.payment_intents.retrieve_async(intent, params, options)
            case ConfirmIntent(intent, params):
                return await self._v1.payment_intents.confirm_async(intent, params, options)
            case CancelIntent(intent, params):
                return await self._v1.payment_intents.cancel_async(intent, params, options)
            case RetrieveCharge(charge, params):
                return await self._v1.charges.retrieve_async(charge, params, options)
            case RetrieveMovement(movement, params):
                return await self._v1.balance_transactions.retrieve_async(movement, params, options)
            case RetrieveEvent(event, params):
                return await self._v1.events.retrieve_async(event, params, options)
            case RetrieveAccount(params):
                return await self._v1.accounts.retrieve_current_async(params, options)
            case RetrieveBalance(params):
                return await self._v1.balance.retrieve_async(params, options)
        assert_never(call)


async def _session() -> aiohttp.ClientSession:
    """A session, made where a loop is running."""
    return aiohttp.ClientSession()


async def _first(page: python.Page, most: int) -> list[StripeObject]:
    """The first objects of all pages."""
    found: list[StripeObject] = []
    async for item in page.auto_paging_iter():
        found.append(item)
        if len(found) == most:
            break
    return found
