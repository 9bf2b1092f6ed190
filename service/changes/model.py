"""The requests to change a payment, as producers send them."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from service.foundation.money import AMOUNT_MAX
from service.foundation.text.screening import screen
from service.orders.model import PaymentMethodId


class CaptureRequest(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How much of the money that is held is taken. Without an amount: all of it."""

    amount: (
        Annotated[int, Meta(ge=1, le=AMOUNT_MAX, description="in the order's minor unit; the rest is released")]
        | UnsetType
    ) = UNSET


class CancelRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A cancellation says nothing more."""


class PayRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Another try to take the money, with this payment method."""

    payment_method: PaymentMethodId


def check_change(request: CaptureRequest | CancelRequest | PayRequest, key: str) -> None:
    """What no shape can say: what may be stored. Raises BadRequest."""
    screen([key, request.payment_method] if isinstance(request, PayRequest) else [key])
