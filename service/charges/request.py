"""The parameters of a charge at Stripe: made once when the charge is opened, stored, and re-sent from the store.

A rebuild could drift (a changed description, a new default of ours) and a re-send that differs is refused by Stripe.
Only what is proven not to have run is built anew, so that newer code can mend what Stripe refused (R33).
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from service.stripe_gateway.marks import Marks

if TYPE_CHECKING:
    from stripe.params import PaymentIntentCreateParams

# Pinned with the parameters: the same request under another version of Stripe's API is another request.
STRIPE_VERSION = "2026-10-28.endive"


class Request(NamedTuple):
    """What is sent: the parameters, and the version of Stripe's API that they are meant for."""

    params: Mapping[str, Any]
    version: str


def request_to_send(stored: Request, build: Callable[[], Request], *, maybe_executed: bool) -> Request:
    """Of a charge that is met again: as stored where it may have run, for Stripe compares; else built now (R33)."""
    return stored if maybe_executed else build()


def payment_intent_request(
    *,
    marks: Marks,
    amount: int,
    currency: str,
    payment_method: str | None,
    customer: str | None,
    description: str | None,
    metadata: Mapping[str, str],
) -> "PaymentIntentCreateParams":
    """Create-and-confirm parameters in sending order. On-session: a card that needs 3-D Secure answers requires_action.

    Nobody is there to be redirected when the server confirms: Stripe filters out the methods that need it.
    The metadata is the producer's own, and the names by which the attempt is known, and an order brought back (R31).
    """
    request: PaymentIntentCreateParams = {"amount": amount, "currency": currency}
    if payment_method is not None:
        request["payment_method"] = payment_method
    request["automatic_payment_methods"] = {"enabled": True, "allow_redirects": "never"}
    request["confirm"] = True
    if customer is not None:
        request["customer"] = customer
    if description is not None:
        request["description"] = description
    request["metadata"] = marks.metadata(metadata)
    return request
