"""Stripe's events: a snapshot carries an object as it was then, a thin one only its id. Pure."""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from service.stripe_gateway.objects import Moment, ObjectId

EventId = Annotated[str, msgspec.Meta(pattern=r"^evt_[A-Za-z0-9_]{1,250}\Z")]
Word = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,255}\Z")]

# The events of which an endpoint at Stripe should send us one; of anything else nothing follows here.
EVENT_TYPES = (
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "payment_intent.canceled",
    "payment_intent.processing",
    "payment_intent.requires_action",
    "payment_intent.amount_capturable_updated",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
    "charge.dispute.closed",
    "radar.early_fraud_warning.created",
    "radar.early_fraud_warning.updated",
    "payout.created",
    "payout.updated",
    "payout.paid",
    "payout.failed",
    "payout.canceled",
    "payout.reconciliation_completed",
)


class Data(msgspec.Struct, frozen=True):
    """What a snapshot carries: any object of Stripe's."""

    object: dict[str, Any]


class Request(msgspec.Struct, frozen=True):
    """The request that made an event happen."""

    id: str | None = None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, tag_field="object", tag="event"):
    """An event of API v1. `account`, `context`: whose it is, where it is not the endpoint's own account."""

    id: EventId
    type: Word
    created: Moment
    livemode: bool
    data: Data
    account: str | None = None
    context: str | None = None
    request: Request | str | None = None


class Related(msgspec.Struct, frozen=True):
    """The object of a thin event. A singleton, such as the balance, has no id."""

    type: str
    id: ObjectId | None = None


class Reason(msgspec.Struct, frozen=True):
    """Why a thin event was made."""

    request: Request | None = None


class Thin(msgspec.Struct, frozen=True, kw_only=True, tag_field="object", tag="v2.core.event"):
    """A thin event. `snapshot_event`: the same fact's snapshot, while an endpoint is moved from one to the other."""

    id: EventId
    type: Word
    created: datetime
    livemode: bool = False
    related_object: Related | None = None
    context: str | None = None
    reason: Reason | None = None
    snapshot_event: str | None = None
