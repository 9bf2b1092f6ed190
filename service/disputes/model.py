"""The shapes of a dispute as it is shown."""

from typing import Annotated

from msgspec import Meta, Struct

from service.foundation.fields import Id, Instant, MinorUnits


class Dispute(Struct, frozen=True):
    """A dispute as it is now, under Stripe's id. `created_at` is when it was opened."""

    id: Annotated[str, Meta(description="Stripe's id")]
    order_id: Id
    status: str
    reason: str | None
    amount: MinorUnits
    currency: str
    payment_intent: str | None
    evidence_due_by: Instant | None
    is_charge_refundable: bool
    created_at: Instant
    updated_at: Instant


class DisputePage(Struct, frozen=True):
    """One page of disputes, newest first. `next_cursor` is null on the last page."""

    data: list[Dispute]
    next_cursor: str | None
