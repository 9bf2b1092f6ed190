"""The shapes of a refund, as producers send it and as they are shown it."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from service.foundation.fields import Id, Instant, MinorUnits
from service.foundation.money import AMOUNT_MAX
from service.foundation.text.screening import screen
from service.orders.model import METADATA_MAX, CurrencyCode, MetadataName, MetadataValue, strings_of

# Stripe's words, of which a producer may give one.
Reason = Literal["duplicate", "fraudulent", "requested_by_customer"]


class RefundRequest(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A refund as a producer asks for it. Without an amount: all that is left."""

    amount: (
        Annotated[int, Meta(ge=1, le=AMOUNT_MAX, description="integer, in the order's currency and minor unit")]
        | UnsetType
    ) = UNSET
    currency: CurrencyCode | UnsetType = UNSET
    reason: Reason | UnsetType = UNSET
    metadata: Annotated[dict[MetadataName, MetadataValue], Meta(max_length=METADATA_MAX)] = {}


class RefundFailure(Struct, frozen=True):
    """Why Stripe gave nothing back, in Stripe's words."""

    code: str | None = None
    message: str | None = None


class Refund(Struct, frozen=True):
    """A refund as it is now. `idempotency_key` is null where it was made at Stripe past this service."""

    id: Id
    order_id: Id
    status: str
    amount: MinorUnits
    currency: str
    reason: str | None
    metadata: dict[str, str]
    idempotency_key: str | None
    stripe_refund: str | None
    failure: RefundFailure | None
    created_at: Instant
    updated_at: Instant


class RefundPage(Struct, frozen=True):
    """One page of refunds, newest first. `next_cursor` is null on the last page."""

    data: list[Refund]
    next_cursor: str | None


def check_refund(request: RefundRequest, key: str) -> None:
    """What no shape can say: what may be stored. Raises BadRequest."""
    screen([key, *strings_of(request.metadata)])
