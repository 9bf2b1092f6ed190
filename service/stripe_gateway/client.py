"""All that is asked of Stripe: what `calls` sends, the `listings`, one object by its id, and whose key it is.

What they send is built as the SDK's parameter types, so that the type checker finds a name that Stripe does not have.
"""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import stripe

from service.foundation.errors import Unavailable
from service.stripe_gateway import headers as stripe_headers
from service.stripe_gateway import paths
from service.stripe_gateway.disputes import Dispute, EarlyFraudWarning
from service.stripe_gateway.listings import Listings, reason_of, unread
from service.stripe_gateway.objects import Answer, Charge, Confirmable, Intent, Refund
from service.stripe_gateway.pacing import patiently
from service.stripe_gateway.payouts import Payout
from service.stripe_gateway.permissions import NEEDED, lacking

if TYPE_CHECKING:
    from stripe.params import (
        AccountRetrieveCurrentParams,
        ChargeRetrieveParams,
        DisputeRetrieveParams,
        PaymentIntentRetrieveParams,
        PayoutRetrieveParams,
        RefundRetrieveParams,
    )
    from stripe.params.radar import EarlyFraudWarningRetrieveParams

_EXPAND_INTENT = ["latest_charge.balance_transaction"]
_EXPAND_REFUND = ["balance_transaction", "failure_balance_transaction"]
_EXPAND_PAYOUT = ["balance_transaction", "failure_balance_transaction"]

T = TypeVar("T")


class StripeGateway(Listings):
    """Stripe's API for one process. Use as `async with StripeGateway(settings) as gateway`."""

    async def get_payment_intent(self, intent_id: str) -> Answer:
        """The PaymentIntent as it is now, charge and balance transaction expanded, as an Answer. Never raises."""
        params: PaymentIntentRetrieveParams = {"expand": _EXPAND_INTENT}
        return await self._get(paths.payment_intent(intent_id), params)

    async def get_refund(self, refund_id: str) -> Answer:
        """The refund as it is now, both balance transactions expanded, as an Answer. Never raises."""
        params: RefundRetrieveParams = {"expand": _EXPAND_REFUND}
        return await self._get(paths.refund(refund_id), params)

    async def retrieve_payment_intent(self, intent_id: str) -> Intent | None:
        """The PaymentIntent, charge and fee expanded; None where Stripe has none. Raises IncompleteListing."""

        async def once() -> Intent | None:
            answer = await self.get_payment_intent(intent_id)
            return _shown(answer, answer.intent, f"PaymentIntent {intent_id}")

        return await patiently(once, self._patience)

    async def retrieve_refund(self, refund_id: str) -> Refund | None:
        """The refund, both balance transactions expanded; None where Stripe has none. Raises IncompleteListing."""

        async def once() -> Refund | None:
            answer = await self.get_refund(refund_id)
            return _shown(answer, answer.refund, f"refund {refund_id}")

        return await patiently(once, self._patience)

    async def retrieve_charge(self, charge_id: str) -> Charge | None:
        """The charge as it is now; None where Stripe has none. Raises IncompleteListing."""
        params: ChargeRetrieveParams = {}
        return await self._one(paths.charge(charge_id), params, Charge)

    async def retrieve_dispute(self, dispute_id: str) -> Dispute | None:
        """The dispute as it is now; None where Stripe has none. Raises IncompleteListing."""
        params: DisputeRetrieveParams = {}
        return await self._one(paths.dispute(dispute_id), params, Dispute)

    async def retrieve_fraud_warning(self, warning_id: str) -> EarlyFraudWarning | None:
        """The early fraud warning as it is now; None where Stripe has none. Raises IncompleteListing."""
        params: EarlyFraudWarningRetrieveParams = {}
        return await self._one(paths.fraud_warning(warning_id), params, EarlyFraudWarning)

    async def retrieve_payout(self, payout_id: str) -> Payout | None:
        """The payout, both balance transactions expanded; None where Stripe has none. Raises IncompleteListing."""
        params: PayoutRetrieveParams = {"expand": _EXPAND_PAYOUT}
        return await self._one(paths.payout(payout_id), params, Payout)

    async def confirmable(self, intent_id: str) -> Confirmable:
        """The PaymentIntent as its customer's browser needs it. Raises Unavailable, after one try."""
        params: PaymentIntentRetrieveParams = {}
        try:
            await self._pace.turn("get_payment_intent")
            response = await self._raw("get", paths.payment_intent(intent_id), params)
            found = msgspec.json.decode(response.body, type=Confirmable)
        except Exception as error:
            raise Unavailable(f"Stripe did not show the payment ({reason_of(error)}).") from error
        if response.headers.get("request-id") is None or found.id != intent_id:
            raise Unavailable("Stripe did not show the payment (what came is not Stripe's).")
        return found

    async def account_id(self) -> tuple[str, float | None]:
        """(`acct_…`, Stripe's clock in Unix seconds) of the configured key. A call that charges nobody.

        Raises Unavailable with Stripe's reason (unreachable, wrong or revoked key).
        """
        try:
            params: AccountRetrieveCurrentParams = {}
            response = await self._raw("get", "/v1/account", params)
            body = msgspec.json.decode(response.body, type=dict[str, Any])
            return str(body["id"]), stripe_headers.date(response.headers)
        except Exception as error:
            raise Unavailable(f"Stripe did not answer for this API key ({reason_of(error)}).") from error

    async def clock(self) -> float | None:
        """Stripe's clock in Unix seconds; None where it does not answer now. Never raises."""
        try:
            return (await self.account_id())[1]
        except Unavailable:
            return None

    async def lacking_permissions(self) -> list[str]:
        """What the key may not do of what we need, each with Stripe's name for the permission. Never raises.

        What Stripe does not answer now is not told.
        """
        found = await asyncio.gather(*(self._lacking(*needed) for needed in NEEDED))
        return [words for words in found if words]

    async def _get(self, path: str, params: Mapping[str, object]) -> Answer:
        await self._pace.turn(paths.endpoint("get", path))
        return await self._call("get", path, params)

    async def _lacking(self, method: str, path: str, params: Mapping[str, object], permission: str) -> str:
        try:
            await self._raw(method, path, params)
        except stripe.PermissionError as error:
            if names := lacking(error.http_status, error.user_message, permission):
                return f"{method.upper()} {path} needs {', '.join(names)}"
        except Exception:  # noqa: BLE001  anything else says nothing about permissions
            return ""
        return ""


def _shown(answer: Answer, thing: T | None, what: str) -> T | None:
    if answer.http_status == 404:
        return None
    if answer.http_status == 200 and thing is not None:
        return thing
    raise unread(what, answer.word, answer.http_status, answer.retry_after_s)
