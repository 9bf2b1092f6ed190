"""stripe-python with its aiohttp client: the asynchronous API, typed."""

import asyncio
from collections.abc import Sequence
from typing import assert_never

import aiohttp
import stripe
from stripe import RequestOptions, StripeClient, StripeError, StripeObject

from tests.conformance import calls
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
        self._v2 = client.v2.core

    def versions(self) -> Versions:
        return python.versions()

    def perform(self, wanted: Sequence[calls.Request]) -> list[Outcome]:
        return self._loop.run(self._all(wanted))

    def close(self) -> None:
        self._loop.run(self._session.close())
        self._loop.close()

    async def _all(self, wanted: Sequence[calls.Request]) -> list[Outcome]:
        return await asyncio.gather(*(self._outcome(request) for request in wanted))

    async def _outcome(self, request: calls.Request) -> Outcome:
        options = python.options(request.options)
        try:
            match request.call:
                case calls.AutoPage(listing, most):
                    return python.paged(await _first(await self._page(listing, options), most))
                case (
                    calls.ListIntents()
                    | calls.ListCharges()
                    | calls.ListRefunds()
                    | calls.ListDisputes()
                    | calls.ListWarnings()
                    | calls.ListPayouts()
                    | calls.ListMovements()
                    | calls.ListEvents()
                    | calls.ListEndpoints() as listing
                ):
                    return python.succeeded(await self._page(listing, options))
                case single:
                    return python.succeeded(await self._single(single, options))
        except StripeError as error:
            return python.failed(error)

    async def _page(self, call: calls.Listing, options: RequestOptions) -> python.Page:
        match call:
            case calls.ListIntents(params):
                return await self._v1.payment_intents.list_async(params, options)
            case calls.ListCharges(params):
                return await self._v1.charges.list_async(params, options)
            case calls.ListRefunds(params):
                return await self._v1.refunds.list_async(params, options)
            case calls.ListDisputes(params):
                return await self._v1.disputes.list_async(params, options)
            case calls.ListWarnings(params):
                return await self._v1.radar.early_fraud_warnings.list_async(params, options)
            case calls.ListPayouts(params):
                return await self._v1.payouts.list_async(params, options)
            case calls.ListMovements(params):
                return await self._v1.balance_transactions.list_async(params, options)
            case calls.ListEvents(params):
                return await self._v1.events.list_async(params, options)
            case calls.ListEndpoints(params):
                return await self._v1.webhook_endpoints.list_async(params, options)
        assert_never(call)

    async def _single(self, call: calls.Single, options: RequestOptions) -> StripeObject:
        match call:
            case calls.CreateIntent(params):
                return await self._v1.payment_intents.create_async(params, options)
            case calls.RetrieveIntent(intent, params):
                return await self._v1.payment_intents.retrieve_async(intent, params, options)
            case calls.ConfirmIntent(intent, params):
                return await self._v1.payment_intents.confirm_async(intent, params, options)
            case calls.CancelIntent(intent, params):
                return await self._v1.payment_intents.cancel_async(intent, params, options)
            case calls.CaptureIntent(intent, params):
                return await self._v1.payment_intents.capture_async(intent, params, options)
            case calls.CreateRefund(params):
                return await self._v1.refunds.create_async(params, options)
            case calls.RetrieveRefund(refund, params):
                return await self._v1.refunds.retrieve_async(refund, params, options)
            case calls.UpdateRefund(refund, params):
                return await self._v1.refunds.update_async(refund, params, options)
            case calls.CancelRefund(refund, params):
                return await self._v1.refunds.cancel_async(refund, params, options)
            case calls.RetrieveCharge(charge, params):
                return await self._v1.charges.retrieve_async(charge, params, options)
            case calls.RetrieveDispute(dispute, params):
                return await self._v1.disputes.retrieve_async(dispute, params, options)
            case calls.UpdateDispute(dispute, params):
                return await self._v1.disputes.update_async(dispute, params, options)
            case calls.CloseDispute(dispute, params):
                return await self._v1.disputes.close_async(dispute, params, options)
            case calls.RetrieveWarning(warning, params):
                return await self._v1.radar.early_fraud_warnings.retrieve_async(warning, params, options)
            case calls.CreatePayout(params):
                return await self._v1.payouts.create_async(params, options)
            case calls.RetrievePayout(payout, params):
                return await self._v1.payouts.retrieve_async(payout, params, options)
            case calls.UpdatePayout(payout, params):
                return await self._v1.payouts.update_async(payout, params, options)
            case calls.CancelPayout(payout, params):
                return await self._v1.payouts.cancel_async(payout, params, options)
            case calls.RetrieveMovement(movement, params):
                return await self._v1.balance_transactions.retrieve_async(movement, params, options)
            case calls.RetrieveEvent(event, params):
                return await self._v1.events.retrieve_async(event, params, options)
            case calls.RetrieveAccount(params):
                return await self._v1.accounts.retrieve_current_async(params, options)
            case calls.RetrieveBalance(params):
                return await self._v1.balance.retrieve_async(params, options)
            case telling:
                return await self._telling(telling, options)

    async def _telling(self, call: calls.Telling, options: RequestOptions) -> StripeObject:
        endpoints, destinations = self._v1.webhook_endpoints, self._v2.event_destinations
        match call:
            case calls.CreateEndpoint(params):
                return await endpoints.create_async(params, options)
            case calls.RetrieveEndpoint(endpoint, params):
                return await endpoints.retrieve_async(endpoint, params, options)
            case calls.UpdateEndpoint(endpoint, params):
                return await endpoints.update_async(endpoint, params, options)
            case calls.DeleteEndpoint(endpoint, params):
                return await endpoints.delete_async(endpoint, params, options)
            case calls.CreateDestination(params):
                return await destinations.create_async(params, options)
            case calls.RetrieveDestination(destination, params):
                return await destinations.retrieve_async(destination, params, options)
            case calls.UpdateDestination(destination, params):
                return await destinations.update_async(destination, params, options)
            case calls.DisableDestination(destination, params):
                return await destinations.disable_async(destination, params, options)
            case calls.EnableDestination(destination, params):
                return await destinations.enable_async(destination, params, options)
            case calls.DeleteDestination(destination, params):
                return await destinations.delete_async(destination, params, options)
            case calls.ListDestinations(params):
                return await destinations.list_async(params, options)
            case calls.RetrieveThinEvent(event, params):
                return await self._v2.events.retrieve_async(event, params, options)
            case calls.ListThinEvents(params):
                return await self._v2.events.list_async(params, options)
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
