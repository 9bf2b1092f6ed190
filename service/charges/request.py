"""The parameters of a charge at Stripe: made once when the charge is opened, stored, and re-sent from the store.

A rebuild could drift (a changed description, a new default of ours) and a re-send that differs is refused by Stripe.
"""

from collections.abc import Mapping
from typing import Any

from service.charges.marks import Marks

# Pinned with the parameters: the same request under another version of Stripe's API is another request.
STRIPE_VERSION = "2026-10-28.endive"


def payment_intent_request(
    *,
    marks: Marks,
    amount: int,
    currency: str,
    payment_method: str | None,
    customer: str | None,
    description: str | None,
    metadata: Mapping[str, str],
) -> dict[str, Any]:
    """Create-and-confirm parameters in sending order. On-session: a card that needs 3-D Secure answers requires_action.

    The metadata is the producer's own, and the names by which the attempt is known, and an order brought back (R31).
    """
    request: dict[str, Any] = {
        "amount": amount,
        "currency": currency,
        "payment_method": payment_method,
        "payment_method_types": ["card"],
        "confirm": True,
    }
    if customer is not None:
        request["customer"] = customer
    if description is not None:
        request["description"] = description
    request["metadata"] = marks.metadata(metadata)
    return request
