"""A call of Stripe in a span of its own, whose traceparent Stripe is sent."""

from typing import Any

import stripe

from service.foundation import tracing
from service.stripe_gateway import paths


async def traced(client: stripe.StripeClient, method: str, path: str, **given: Any) -> Any:
    """The SDK's raw request, in a span. Traces are on."""
    if tracing.spans is None:
        raise RuntimeError("traces are off")
    name = f"{method.upper()} {paths.endpoint(method, path).partition('_')[2]}"
    attributes = {"http.request.method": method.upper(), "server.address": "stripe"}
    with tracing.spans.calling(name, attributes) as span:
        headers = {"traceparent": tracing.spans.traceparent()}
        try:
            response = await client.raw_request_async(method, path, **given, headers=headers)
        except stripe.StripeError as error:
            span.set_attribute("http.response.status_code", error.http_status or 0)
            raise
        span.set_attribute("http.response.status_code", response.code)
        return response
