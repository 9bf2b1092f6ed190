"""stripe-python with its requests client: the synchronous API, typed."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import assert_never

import requests
import stripe
from stripe import RequestOptions, StripeClient, StripeError, StripeObject

from tests.conformance import calls
from tests.conformance.drivers import python
from tests.conformance.drivers.outcome import TIMEOUT_S, Outcome, Target, Versions


class RequestsDriver:
    """One StripeClient; requests at once run in threads, as its users do it."""

    name = "stripe-python/requests"

    def __init__(self, target: Target) -> None:
        self._session = requests.Session()
        client = StripeClient(
            target.key,
            base_addresses={"api": target.address},
            http_client=stripe.RequestsClient(TIMEOUT_S, session=self._session),
            max_network_retries=0,
        )
        self._v1 = client.v1
        self._v2 = client.v2.core

    def versions(self) -> Versions:
        return python.versions()

    def perform(self, wanted: Sequence[calls.Request]) -> list[Outcome]:
        if len(wanted) == 1:
            return [self._outcome(wanted[0])]
        with ThreadPoolExecutor(len(wanted)) as threads:
            return list(threads.map(self._outcome, wanted))

    def close(self) -> None:
        self._session.close()

    def _outcome(self, request: calls.Request) -> Outcome:
        options = python.options(request.options)
        try:
            match request.call:
                case calls.AutoPage(listing, most):
                    return python.paged(islice(self._page(listing, options).auto_paging_iter(), most))
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
                    return python.succeeded(self._page(listing, options))
                case single:
                    return python.succeeded(self._single(single, options))
        except StripeError as error:
            return python.failed(error)

    def _page(self, call: calls.Listing, options: RequestOptions) -> python.Page:
        match call:
            case calls.ListIntents(params):
                return self._v1.payment_intents.list(params, options)
            case calls.ListCharges(params):
                return self._v1.charges.list(params, options)
            case calls.ListRefunds(params):
                return self._v1.refunds.list(params, options)
            case calls.ListDisputes(params):
                return self._v1.disputes.list(params, options)
            case calls.ListWarnings(params):
                return self._v1.radar.early_fraud_warnings.list(params, options)
            case calls.ListPayouts(params):
                return self._v1.payouts.list(params, options)
            case calls.ListMovements(params):
                return self._v1.balance_transactions.list(params, options)
            case calls.ListEvents(params):
                return self._v1.events.list(params, options)
            case calls.ListEndpoints(params):
                return self._v1.webhook_endpoints.list(params, options)
        assert_never(call)

    def _single(self, call: calls.Single, options: RequestOptions) -> StripeObject:
        match call:
            case calls.CreateIntent(params):
                return self._v1.payment_intents.create(params, options)
            case calls.RetrieveIntent(intent, params):
                return self._v1.payment_intents.retrieve(intent, params, options)
            case calls.ConfirmIntent(intent, params):
                return self._v1.payment_intents.confirm(intent, params, options)
            case calls.CancelIntent(intent, params):
                return self._v1.payment_intents.cancel(intent, params, options)
            case calls.CaptureIntent(intent, params):
                return self._v1.payment_intents.capture(intent, params, options)
            case calls.CreateRefund(params):
                return self._v1.refunds.create(params, options)
            case calls.RetrieveRefund(refund, params):
                return self._v1.refunds.retrieve(refund, params, options)
            case calls.UpdateRefund(refund, params):
                return self._v1.refunds.update(refund, params, options)
            case calls.CancelRefund(refund, params):
                return self._v1.refunds.cancel(refund, params, options)
            case calls.RetrieveCharge(charge, params):
                return self._v1.charges.retrieve(charge, params, options)
            case calls.RetrieveDispute(dispute, params):
                return self._v1.disputes.retrieve(dispute, params, options)
            case calls.UpdateDispute(dispute, params):
                return self._v1.disputes.update(dispute, params, options)
            case calls.CloseDispute(dispute, params):
                return self._v1.disputes.close(dispute, params, options)
            case calls.RetrieveWarning(warning, params):
                return self._v1.radar.early_fraud_warnings.retrieve(warning, params, options)
            case calls.CreatePayout(params):
                return self._v1.payouts.create(params, options)
            case calls.RetrievePayout(payout, params):
                return self._v1.payouts.retrieve(payout, params, options)
            case calls.UpdatePayout(payout, params):
                return self._v1.payouts.update(payout, params, options)
            case calls.CancelPayout(payout, params):
                return self._v1.payouts.cancel(payout, params, options)
            case calls.RetrieveMovement(movement, params):
                return self._v1.balance_transactions.retrieve(movement, params, options)
            case calls.RetrieveEvent(event, params):
                return self._v1.events.retrieve(event, params, options)
            case calls.RetrieveAccount(params):
                return self._v1.accounts.retrieve_current(params, options)
            case calls.RetrieveBalance(params):
                return self._v1.balance.retrieve(params, options)
            case telling:
                return self._telling(telling, options)

    def _telling(self, call: calls.Telling, options: RequestOptions) -> StripeObject:
        endpoints, destinations = self._v1.webhook_endpoints, self._v2.event_destinations
        match call:
            case calls.CreateEndpoint(params):
                return endpoints.create(params, options)
            case calls.RetrieveEndpoint(endpoint, params):
                return endpoints.retrieve(endpoint, params, options)
            case calls.UpdateEndpoint(endpoint, params):
                return endpoints.update(endpoint, params, options)
            case calls.DeleteEndpoint(endpoint, params):
                return endpoints.delete(endpoint, params, options)
            case calls.CreateDestination(params):
                return destinations.create(params, options)
            case calls.RetrieveDestination(destination, params):
                return destinations.retrieve(destination, params, options)
            case calls.UpdateDestination(destination, params):
                return destinations.update(destination, params, options)
            case calls.DisableDestination(destination, params):
                return destinations.disable(destination, params, options)
            case calls.EnableDestination(destination, params):
                return destinations.enable(destination, params, options)
            case calls.DeleteDestination(destination, params):
                return destinations.delete(destination, params, options)
            case calls.ListDestinations(params):
                return destinations.list(params, options)
            case calls.RetrieveThinEvent(event, params):
                return self._v2.events.retrieve(event, params, options)
            case calls.ListThinEvents(params):
                return self._v2.events.list(params, options)
        assert_never(call)
