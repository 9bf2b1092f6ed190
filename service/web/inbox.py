"""POST /v1/stripe/events: what Stripe tells. It bears a signature in place of an API key."""

import time
from collections.abc import Iterable
from typing import Literal

from litestar.response.base import ASGIResponse
from msgspec import Struct

from service import inbox
from service.foundation.errors import NotFound, Problem
from service.inbox import NoEvent
from service.stripe_gateway import signature
from service.stripe_gateway.signature import NotSigned
from service.web import body, examples
from service.web.operation import Answer, AnyRequest, Body, Group, Parameter
from service.web.resources import Resources, resources_of

ROUTES = Group("stripe")

EVENT_BODY_MAX = 512 * 1024  # bytes; Stripe's own largest objects are far below
_SIGNATURE = Parameter(
    "Stripe-Signature",
    {"type": "string"},
    "header",
    required=True,
    text="Made by Stripe of the raw body, with the secret of the endpoint (`STRIPE_WEBHOOK_SECRET`).",
    example=f"t=1790000000,v1={'0' * 64}",
)


class NotStripes(Problem):
    """The request does not prove that Stripe sent it, or is no event. Which of both, and why, nobody is told."""

    code = "signature-invalid"


class StripeEvent(Struct, frozen=True):
    """An event as Stripe sends it: a snapshot, or a thin one."""

    object: Literal["event", "v2.core.event"]
    type: str


class Acknowledged(Struct, frozen=True):
    """The event is stored."""

    received: bool = True


@ROUTES.operation(
    "POST",
    "/v1/stripe/events",
    {200: Answer(Acknowledged, {"stored": examples.ACKNOWLEDGED})},
    body=Body(StripeEvent, examples.STRIPE_EVENT, max_bytes=EVENT_BODY_MAX),
    parameters=(_SIGNATURE,),
    problems=("signature-invalid", "not-found", "content-too-large", "not-confirmed", "internal-error"),
    signed=True,
)
async def receive_stripe_event(request: AnyRequest) -> ASGIResponse:
    """Take an event of Stripe's: 200 once it is durable.

    The body is read as bytes, whatever its type is said to be: its signature is over the bytes.
    """
    resources = resources_of(request)
    if not resources.webhook_secrets:
        raise NotFound("Webhooks are off here: STRIPE_WEBHOOK_SECRET is not set.")
    headers = request.scope["headers"]
    told = _checked(resources, headers, await request.body())
    await resources.inbox.take(told)
    return body.answer(Acknowledged())


def _checked(resources: Resources, headers: Iterable[tuple[bytes, bytes]], raw: bytes) -> inbox.Told:
    sent = [value.decode("latin-1") for name, value in headers if name == b"stripe-signature"]
    try:
        if len(sent) != 1:
            raise NotSigned  # noqa: TRY301  a repeated header is refused as a wrong one is
        signature.check(sent[0], raw, resources.webhook_secrets, time.time())
        return inbox.read(raw)
    except (NotSigned, NoEvent):
        raise NotStripes("This is no event that Stripe has signed with a secret of this endpoint, now.") from None
