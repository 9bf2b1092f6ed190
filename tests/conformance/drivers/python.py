"""What both Python clients share: how an object and an error of stripe-python become an outcome."""

import platform
from collections.abc import Iterable
from typing import Any

import stripe
from stripe import (
    BalanceTransaction,
    Charge,
    Dispute,
    Event,
    ListObject,
    PaymentIntent,
    Payout,
    Refund,
    RequestOptions,
    StripeError,
    StripeObject,
    WebhookEndpoint,
)
from stripe.radar import EarlyFraudWarning

from tests.conformance.calls import Options
from tests.conformance.drivers.outcome import Outcome, Versions

Page = (
    ListObject[PaymentIntent]
    | ListObject[Charge]
    | ListObject[Refund]
    | ListObject[Dispute]
    | ListObject[EarlyFraudWarning]
    | ListObject[Payout]
    | ListObject[BalanceTransaction]
    | ListObject[Event]
    | ListObject[WebhookEndpoint]
)


def versions() -> Versions:
    """The installed SDK's own word."""
    return Versions(stripe.VERSION, str(stripe.api_version), f"Python {platform.python_version()}")


def options(wanted: Options) -> RequestOptions:
    """The SDK's spelling of the options."""
    return {
        "idempotency_key": wanted.idempotency_key,
        "api_key": wanted.api_key,
        "stripe_version": wanted.stripe_version,
    }


def succeeded(answer: StripeObject) -> Outcome:
    """A 200."""
    response = answer.last_response
    assert response is not None, "an answer without a response"
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Outcome(response.code, answer.to_dict(for_json=True), headers, response.request_id, None)


def paged(items: Iterable[StripeObject]) -> Outcome:
    """Many pages, joined by the SDK, which shows no headers for them."""
    return Outcome(200, {"data": [item.to_dict(for_json=True) for item in items]}, {}, None, None)


def failed(error: StripeError) -> Outcome:
    """An error, by what its attributes say."""
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    body: Any = error.json_body
    told = body.get("error", {}) if isinstance(body, dict) else {}
    said = {
        "kind": type(error).__name__,
        "status": error.http_status,
        "code": error.code or (error.error and error.error.code),
        "decline_code": error.error and error.error.decline_code,
        "param": error.error and error.error.param,
        "message": error.user_message,
    }
    return Outcome(error.http_status or 0, told, headers, error.request_id, said)
