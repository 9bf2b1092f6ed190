"""The shapes of a dispute and of an early fraud warning, as they are shown."""

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


class FraudWarning(Struct, frozen=True):
    """An early fraud warning, under Stripe's id. `actionable`: a full refund now would still prevent a dispute."""

    id: Annotated[str, Meta(description="Stripe's id")]
    order_id: Id
    payment_intent: str | None
    fraud_type: str
    actionable: bool
    created_at: Instant


class DisputePage(Struct, frozen=True):
    """One page of disputes, newest first. `next_cursor` is null on the last page."""

    data: list[Dispute]
    next_cursor: str | None
