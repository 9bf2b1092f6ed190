"""The shapes of a payout, and of what is in it, as they are shown."""

from datetime import date
from typing import Annotated

from msgspec import Meta, Struct

from service.foundation.fields import Id, Instant, MinorUnits

StripeId = Annotated[str, Meta(description="Stripe's id")]


class PayoutFailure(Struct, frozen=True):
    """Why a payout did not reach the bank, in Stripe's words."""

    code: str | None = None
    message: str | None = None


class Payout(Struct, frozen=True):
    """A payout as it is now. A negative amount comes from the bank; `trace_id` is null until the bank tells one."""

    id: StripeId
    status: str
    amount: MinorUnits
    currency: str
    arrival_date: date
    trace_id: str | None
    failure: PayoutFailure | None
    created_at: Instant


class PayoutPage(Struct, frozen=True):
    """One page of payouts, newest first. `next_cursor` is null on the last page."""

    data: list[Payout]
    next_cursor: str | None


class PayoutEntry(Struct, frozen=True):
    """A movement of Stripe's balance that a payout pays out. `kind` is Stripe's reporting category.

    `order_id` is null where it is of no order: a fee of Stripe's, a reserve.
    """

    order_id: Id | None
    kind: str
    amount: MinorUnits
    fee: MinorUnits
    net: MinorUnits
    currency: str
    balance_transaction: StripeId


class PayoutEntryPage(Struct, frozen=True):
    """One page of what is in a payout, newest first. `next_cursor` is null on the last page."""

    data: list[PayoutEntry]
    next_cursor: str | None
