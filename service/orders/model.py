"""The shapes of an order, as producers send it and as they are shown it, and the rules that no shape can say."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from service.foundation.fields import Id, Instant, MinorUnits
from service.foundation.money import AMOUNT_MAX, validate
from service.foundation.text.screening import screen
from service.stripe_gateway.marks import PREFIX, SIX, STRIPE_NAMES_MAX, THREE

METADATA_MAX = STRIPE_NAMES_MAX - len(SIX)
# An order of before 0.2, when three were ours, may be repeated; under a new key this many are refused.
METADATA_REPEATED_MAX = STRIPE_NAMES_MAX - len(THREE)

# `$` alone also matches before a final newline.
_END = r"$(?!\n)"
MetadataName = Annotated[str, Meta(min_length=1, max_length=40, pattern=rf"^(?!{PREFIX})[^\[\]]*" + _END)]
MetadataValue = Annotated[str, Meta(max_length=500)]


PaymentMethodId = Annotated[str, Meta(max_length=255, pattern=r"^pm_[A-Za-z0-9_]+" + _END)]
CurrencyCode = Annotated[str, Meta(pattern=r"^[a-z]{3}" + _END, description="lower-case ISO code")]
Capture = Literal["automatic", "manual"]


class OrderRequest(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An order as a producer asks for it. Optional fields are left out, never null."""

    amount: Annotated[int, Meta(ge=1, le=AMOUNT_MAX, description="integer, in the currency's minor unit")]
    currency: CurrencyCode
    payment_method: PaymentMethodId
    customer: Annotated[str, Meta(max_length=255, pattern=r"^cus_[A-Za-z0-9_]+" + _END)] | UnsetType = UNSET
    description: Annotated[str, Meta(min_length=1, max_length=1000)] | UnsetType = UNSET
    metadata: Annotated[
        dict[MetadataName, MetadataValue],
        Meta(max_length=METADATA_REPEATED_MAX, extra_json_schema={"maxProperties": METADATA_MAX}),
    ] = {}
    capture: Annotated[
        Capture, Meta(description="`manual` holds the money until it is captured; without it, `automatic`")
    ] = "automatic"


NEVER_EXECUTED = "never_executed"  # the code of an attempt that Stripe never received: it may be made again
# Noted in the history of such an attempt each time that it is.
MADE_AGAIN = "nothing of it had run: paid again"


class Failure(Struct, frozen=True):
    """The last definitive decline, in Stripe's words."""

    code: str | None = None
    decline_code: str | None = None
    message: str | None = None


class Order(Struct, frozen=True):
    """An order as it is now."""

    id: Id
    status: str
    amount: MinorUnits
    currency: str
    payment_method: str | None
    customer: str | None
    description: str | None
    metadata: dict[str, str]
    idempotency_key: str
    capture: Capture
    amount_captured: Annotated[int, Meta(description="taken, in the currency's minor unit; 0 until the order is paid")]
    amount_refunded: Annotated[int, Meta(description="given back or about to be, in the currency's minor unit")]
    amount_disputed: Annotated[int, Meta(description="held or taken by disputes, in the currency's minor unit")]
    payment_intent: str | None
    failure: Failure | None
    created_at: Instant
    updated_at: Instant


class OrderPage(Struct, frozen=True):
    """One page of orders, newest first. `next_cursor` is null on the last page."""

    data: list[Order]
    next_cursor: str | None


def check_order(order: OrderRequest, key: str) -> None:
    """The rules no schema can say: the currency's own, and what may be stored. Raises BadRequest."""
    validate(order.amount, order.currency)
    screen(_strings(order, key))


def _strings(order: OrderRequest, key: str) -> Iterator[str]:
    yield key
    yield order.payment_method
    if order.customer is not UNSET:
        yield order.customer
    if order.description is not UNSET:
        yield order.description
    yield from strings_of(order.metadata)


def strings_of(metadata: Mapping[str, str]) -> Iterator[str]:
    """Every name and every value of metadata."""
    for name, value in metadata.items():
        yield name
        yield value
