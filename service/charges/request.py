"""A charge that may be called, made of a locked outbox row and its order; and the request that is sent for it.

The parameters are made once, when the charge is opened, stored, and re-sent from the store: a rebuild could drift (a
changed description, a new default of ours) and Stripe refuses a re-send that differs. Only what is proven not to have
run is built anew, so that newer code can mend what Stripe refused (R33).
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID, uuid4

import msgspec

from service.charges.model import OpenCharge
from service.foundation.postgres.sql import Record
from service.orders.identity import wire_key
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


class LockedRow(Record):
    """An outbox row and its order, which is locked; `metadata` is JSON.

    life: the verified life of the database, where `is_verified` says that it is in one. now: the database's clock.
    """

    outbox_id: UUID
    attempt: int
    deliveries: int
    opens_unsettled: int
    opens_alone: int
    is_early: bool
    order_id: UUID
    account_id: UUID
    is_default: bool
    idempotency_key: str
    amount_minor: int
    currency: str
    payment_method: str | None
    customer: str | None
    description: str | None
    metadata: str
    fingerprint: bytes
    status: str
    created_at: datetime
    now: datetime
    is_verified: bool
    life: int
    instance: UUID


def open_charge(row: LockedRow, **of_charge: Any) -> OpenCharge:
    """A charge with a fresh token, of a locked row and what is said of it besides."""
    return OpenCharge(
        outbox_id=row.outbox_id,
        account_id=row.account_id,
        order_id=row.order_id,
        attempt=row.attempt,
        amount=row.amount_minor,
        currency=row.currency,
        customer=row.customer,
        token=uuid4(),
        marks=marks_of(row),
        life=row.life,
        order_created_at=row.created_at,
        opened_at=row.now,
        deliveries=row.deliveries + 1,
        **of_charge,
    )


def key_of(row: LockedRow, operation: str, nth: int | None = None) -> str:
    """The key that Stripe is sent for this row (R1)."""
    return wire_key(
        account_id=row.account_id,
        is_default=row.is_default,
        operation=operation,
        order_key=row.idempotency_key,
        attempt=row.attempt,
        nth=nth,
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
    )
    return Request(params, STRIPE_VERSION)


def marks_of(row: LockedRow) -> Marks:
    """Our names for this row at Stripe."""
    return Marks(
        account_id=row.account_id,
        order_id=row.order_id,
        attempt=row.attempt,
        key=row.idempotency_key,
        fingerprint=row.fingerprint,
        instance=row.instance,
    )
