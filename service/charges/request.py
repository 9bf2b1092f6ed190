"""The request that charges: a PaymentIntent is created and confirmed by one call."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from service.effects.request import STRIPE_VERSION, LockedRow, Request
from service.orders.identity import CHARGE, wire_key
from service.stripe_gateway.marks import Marks

if TYPE_CHECKING:
    from stripe.params import PaymentIntentCreateParams


def payment_intent_request(
    *,
    marks: Marks,
    amount: int,
    currency: str,
    payment_method: str | None,
    customer: str | None,
    description: str | None,
    metadata: Mapping[str, str],
    capture: str = "automatic",
) -> "PaymentIntentCreateParams":
    """Create-and-confirm parameters in sending order. On-session: a card that needs 3-D Secure answers requires_action.

    Nobody is there to be redirected when the server confirms: Stripe filters out the methods that need it.
    The metadata is the producer's own, and the names by which the attempt is known, and an order brought back (R31).
    """
    request: PaymentIntentCreateParams = {"amount": amount, "currency": currency}
    if payment_method is not None:
        request["payment_method"] = payment_method
    request["automatic_payment_methods"] = {"enabled": True, "allow_redirects": "never"}
    if capture == "manual":
        request["capture_method"] = "manual"
    request["confirm"] = True
    if customer is not None:
        request["customer"] = customer
    if description is not None:
        request["description"] = description
    request["metadata"] = marks.metadata(metadata)
    return request


def key_of(row: LockedRow) -> str:
    """The key that Stripe is sent for the charge of this row (R1)."""
    return wire_key(
        account_id=row.account_id,
        is_default=row.is_default,
        operation=CHARGE,
        order_key=row.idempotency_key,
        attempt=row.attempt,
    )


def request_of(row: LockedRow) -> Request:
    """The request of an order and attempt, as this version of ours makes it."""
    params = payment_intent_request(
        marks=marks_of(row),
        amount=row.amount_minor,
        currency=row.currency,
        payment_method=row.payment_method,
        customer=row.customer,
        description=row.description,
        metadata=msgspec.json.decode(row.metadata),
        capture=row.capture,
    )
    return Request(params, STRIPE_VERSION)


def marks_of(row: LockedRow, attempt: int | None = None) -> Marks:
    """Our names at Stripe for an attempt of this row's order; unsaid: the one that the row owes."""
    return Marks(
        account_id=row.account_id,
        order_id=row.order_id,
        attempt=row.attempt if attempt is None else attempt,
        key=row.idempotency_key,
        fingerprint=row.fingerprint,
        instance=row.instance,
    )
