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


class WebhookEndpoint(msgspec.Struct, frozen=True):
    """Where Stripe sends events. status: `enabled` or `disabled`; api_version: null where it is the account's."""

    id: str
    url: str
    status: str
    enabled_events: list[str]
    api_version: str | None = None


class Place(msgspec.Struct, frozen=True):
    """The address of an event destination."""

    url: str | None = None


class EventDestination(msgspec.Struct, frozen=True):
    """What Stripe's second API calls an endpoint; the name of a thin event begins with `v1.`"""

    id: str
    status: str
    enabled_events: list[str]
    snapshot_api_version: str | None = None
    webhook_endpoint: Place | None = None

    def as_endpoint(self) -> WebhookEndpoint:
        """The same as the first API would show it."""
        url = self.webhook_endpoint.url if self.webhook_endpoint else None
        types = [name.removeprefix("v1.") for name in self.enabled_events]
        return WebhookEndpoint(self.id, url or "", self.status, types, self.snapshot_api_version)


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
