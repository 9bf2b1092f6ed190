"""Stripe's lists, a hundred objects a call, each page in its turn of the rate that the fleet shares."""

from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import msgspec
import stripe

from service.stripe_gateway import headers as stripe_headers
from service.stripe_gateway import paths
from service.stripe_gateway.balance import Balance
from service.stripe_gateway.calls import Calls
from service.stripe_gateway.disputes import Dispute, EarlyFraudWarning
from service.stripe_gateway.events import EventDestination, Snapshot, WebhookEndpoint
from service.stripe_gateway.objects import (
    REFUND_FAILURE,
    BalanceTransaction,
    ContradictoryListing,
    Event,
    IncompleteListing,
    Intent,
    Refund,
)
from service.stripe_gateway.pacing import AskAgain, may_pass, patiently
from service.stripe_gateway.payouts import Payout
from service.stripe_gateway.permissions import lacking

if TYPE_CHECKING:
    from stripe.params import (
        BalanceTransactionListParams,
        BalanceTransactionListParamsCreated,
        DisputeListParams,
        EventListParams,
        PaymentIntentListParams,
        PayoutListParams,
        RefundListParams,
        RefundListParamsCreated,
        WebhookEndpointListParams,
    )
    from stripe.params.radar import EarlyFraudWarningListParams
    from stripe.params.v2.core import EventDestinationListParams

PAGE = 100  # Stripe's maximum per list call
_EVENT_MAY_BE_OFF_S = 60  # between an object's moment and its event's
_EXPAND_INTENTS = ["data.latest_charge.balance_transaction"]
_EXPAND_REFUNDS = ["data.balance_transaction", "data.failure_balance_transaction"]
_EXPAND_PAYOUTS = ["data.balance_transaction", "data.failure_balance_transaction"]

T = TypeVar("T")


class _Page(msgspec.Struct):
    data: list[msgspec.Raw]
    has_more: bool


class _Destinations(msgspec.Struct):
    data: list[EventDestination]


class Listings(Calls):
    """The lists of Stripe's API. Each raises IncompleteListing where a page could not be read."""

    def list_payment_intents(
        self, created_gte: int, created_lt: int, customer: str | None = None
    ) -> AsyncIterator[Intent]:
        """PaymentIntents created in [gte, lt) Unix seconds, newest first, charges expanded. Raises IncompleteListing.

        Lists are immediately consistent at Stripe, its search is not; metadata cannot be filtered on.
        """
        params: PaymentIntentListParams = {
            "created": {"gte": created_gte, "lt": created_lt},
            "expand": _EXPAND_INTENTS,
            "limit": PAGE,
        }
        if customer:
            params["customer"] = customer
        return self._pages(paths.PAYMENT_INTENTS, params, Intent)

    def list_refunds(
        self, *, payment_intent: str | None = None, created_gte: int | None = None, created_lt: int | None = None
    ) -> AsyncIterator[Refund]:
        """Refunds of one PaymentIntent, or created in [gte, lt) Unix seconds, or both; newest first.

        Both balance transactions are expanded. Raises IncompleteListing.
        """
        params: RefundListParams = {"expand": _EXPAND_REFUNDS, "limit": PAGE}
        created: RefundListParamsCreated = {}
        if created_gte is not None:
            created["gte"] = created_gte
        if created_lt is not None:
            created["lt"] = created_lt
        if created:
            params["created"] = created
        if payment_intent is not None:
            params["payment_intent"] = payment_intent
        return self._pages(paths.REFUNDS, params, Refund)

    async def key_of(self, intent: Intent) -> str | None:
        """The idempotency key that `intent` was created under, as Stripe's event tells it; None where it tells none.

        Raises IncompleteListing.
        """
        params: EventListParams = {
            "type": "payment_intent.created",
            "created": {"gte": intent.created - _EVENT_MAY_BE_OFF_S, "lt": intent.created + _EVENT_MAY_BE_OFF_S},
            "limit": PAGE,
        }
        async for event in self._pages(paths.EVENTS, params, Event):
            if event.data.object.id == intent.id:
                return event.request.idempotency_key if event.request else None
        return None

    def list_undelivered_events(self, created_gte: int) -> AsyncIterator[Snapshot]:
        """Events created at `created_gte` (Unix seconds) or later that an endpoint did not acknowledge, newest first.

        Stripe keeps them for 30 days. Raises IncompleteListing.
        """
        params: EventListParams = {"created": {"gte": created_gte}, "delivery_success": False, "limit": PAGE}
        return self._pages(paths.EVENTS, params, Snapshot)

    def list_webhook_endpoints(self) -> AsyncIterator[WebhookEndpoint]:
        """The account's webhook endpoints, newest first. Raises IncompleteListing."""
        params: WebhookEndpointListParams = {"limit": PAGE}
        return self._pages(paths.WEBHOOK_ENDPOINTS, params, WebhookEndpoint)

    async def event_destinations(self) -> list[EventDestination]:
        """Where Stripe's second API sends events; one page holds all. Raises IncompleteListing."""
        params: EventDestinationListParams = {"include": ["webhook_endpoint.url"], "limit": PAGE}
        found = await self._one(paths.EVENT_DESTINATIONS, params, _Destinations)
        return found.data if found else []

    def list_balance_transactions(
        self, created_gte: int, created_lt: int | None = None
    ) -> AsyncIterator[BalanceTransaction]:
        """Balance transactions created in [gte, lt) Unix seconds, newest first, of every type.

        Stripe filters by one type, and what takes a customer's money has one for cards and another for all else. Raises
        IncompleteListing.
        """
        created: BalanceTransactionListParamsCreated = {"gte": created_gte}
        if created_lt is not None:
            created["lt"] = created_lt
        params: BalanceTransactionListParams = {"created": created, "limit": PAGE}
        return self._pages(paths.BALANCE_TRANSACTIONS, params, BalanceTransaction)

    def list_refund_failures(self, created_gte: int, created_lt: int) -> AsyncIterator[BalanceTransaction]:
        """What refunds that failed brought back in [gte, lt) Unix seconds, newest first. Raises IncompleteListing.

        The source of each is the refund, which may have been made a month before.
        """
        created: BalanceTransactionListParamsCreated = {"gte": created_gte, "lt": created_lt}
        params: BalanceTransactionListParams = {"created": created, "type": REFUND_FAILURE, "limit": PAGE}
        return self._pages(paths.BALANCE_TRANSACTIONS, params, BalanceTransaction)

    async def retrieve_balance_transaction(self, transaction_id: str) -> BalanceTransaction | None:
        """One balance transaction; None where Stripe has none. Raises IncompleteListing."""
        return await self._one(paths.balance_transaction(transaction_id), {}, BalanceTransaction)

    async def balance(self) -> Balance:
        """What Stripe's balance is now, per currency. Raises IncompleteListing."""
        found = await self._one(paths.BALANCE, {}, Balance)
        if found is None:
            raise IncompleteListing("Stripe shows no balance")
        return found

    async def _one(self, path: str, params: Mapping[str, object], kind: type[T]) -> T | None:
        """One object as it is now; None where Stripe has none. Raises IncompleteListing."""

        async def once() -> T | None:
            await self._pace.turn(paths.endpoint("get", path))
            body = await self._body(path, params, path)
            return None if body is None else decode_item(body, kind)

        return await patiently(once, self._patience)

    def list_disputes(self, created_gte: int, created_lt: int) -> AsyncIterator[Dispute]:
        """Disputes opened in [gte, lt) Unix seconds as they are now, newest first. Raises IncompleteListing."""
        params: DisputeListParams = {"created": {"gte": created_gte, "lt": created_lt}, "limit": PAGE}
        return self._pages(paths.DISPUTES, params, Dispute)

    def list_fraud_warnings(self, created_gte: int, created_lt: int) -> AsyncIterator[EarlyFraudWarning]:
        """Early fraud warnings made in [gte, lt) Unix seconds, newest first. Raises IncompleteListing."""
        params: EarlyFraudWarningListParams = {"created": {"gte": created_gte, "lt": created_lt}, "limit": PAGE}
        return self._pages(paths.FRAUD_WARNINGS, params, EarlyFraudWarning)

    def list_payouts(self, created_gte: int, created_lt: int) -> AsyncIterator[Payout]:
        """Payouts made in [gte, lt) Unix seconds as they are now, newest first. Raises IncompleteListing."""
        params: PayoutListParams = {
            "created": {"gte": created_gte, "lt": created_lt},
            "expand": _EXPAND_PAYOUTS,
            "limit": PAGE,
        }
        return self._pages(paths.PAYOUTS, params, Payout)

    def list_payout_transactions(
        self, payout_id: str, created_gte: int, created_lt: int
    ) -> AsyncIterator[BalanceTransaction]:
        """What is in a payout, and the payout's own movements, of [gte, lt) Unix seconds, newest first.

        Stripe lists it for automatic payouts whose reconciliation is completed. Raises IncompleteListing.
        """
        created: BalanceTransactionListParamsCreated = {"gte": created_gte, "lt": created_lt}
        params: BalanceTransactionListParams = {"created": created, "payout": payout_id, "limit": PAGE}
        return self._pages(paths.BALANCE_TRANSACTIONS, params, BalanceTransaction)

    async def _pages(self, path: str, params: Mapping[str, object], kind: type[T]) -> AsyncIterator[T]:
        cursor: dict[str, str] = {}
        while True:
            page = await patiently(partial(self._page, path, {**params, **cursor}), self._patience)
            items = [decode_item(raw, kind) for raw in page.data]
            for item in items:
                yield item
            if not page.has_more:
                return
            if not items:
                raise IncompleteListing(f"an empty page of {path} says that there are more")
            after = {"starting_after": items[-1].id}  # type: ignore[attr-defined]
            if after == cursor:
                raise ContradictoryListing(f"a page of {path} is the page before once more")
            cursor = after

    async def _page(self, path: str, params: Mapping[str, object]) -> _Page:
        await self._pace.turn(paths.endpoint("get", path))
        body = await self._body(path, params, f"a page of {path}")
        if body is None:
            raise IncompleteListing(f"a page of {path} could not be read: Stripe has no such list")
        try:
            return msgspec.json.decode(body, type=_Page)
        except msgspec.DecodeError as error:
            raise unread(f"a page of {path}", reason_of(error), None, None) from error

    async def _body(self, path: str, params: Mapping[str, object], what: str) -> str | None:
        """What Stripe answers, once; None where it has no such object. Raises IncompleteListing."""
        try:
            response = await self._raw("get", path, params)
            body = str(response.body)
        except stripe.StripeError as error:
            if error.http_status == 404 and (error.headers or {}).get("request-id"):  # R15
                return None
            wait_s = stripe_headers.retry_after_s(error.headers or {})
            raise unread(what, reason_of(error), error.http_status, wait_s) from error
        except Exception as error:
            raise unread(what, reason_of(error), None, None) from error
        if response.headers.get("request-id") is None:
            raise AskAgain(f"{what} is not Stripe's: it has no Request-Id")  # R15
        return body


def decode_item(raw: msgspec.Raw | str, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.DecodeError as error:
        raise IncompleteListing(f"what Stripe shows is not a {kind.__name__}: {error}") from error


def unread(what: str, why: str, http_status: int | None, retry_after_s: float | None) -> IncompleteListing:
    words = f"{what} could not be read: {why}"
    return AskAgain(words, retry_after_s) if may_pass(http_status) else IncompleteListing(words)


def reason_of(error: BaseException) -> str:
    if isinstance(error, stripe.StripeError):
        names = lacking(error.http_status, error.user_message)
        lacks = f", it lacks {', '.join(names)}" if names else ""
        return f"{error.http_status or type(error.__cause__).__name__} {error.code or type(error).__name__}{lacks}"
    return type(error).__name__
