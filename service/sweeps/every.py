"""Every list that is swept, in one place. A new kind is one more line."""

from typing import TYPE_CHECKING, Any

from service.balance import BalanceSweep
from service.disputes import DisputeSweep, WarningSweep
from service.payouts import PayoutSweep
from service.recovery import PaymentSweep, RefundSweep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.effects import Sweep
    from service.stripe_gateway.client import StripeGateway


def every_sweep() -> "Sequence[Sweep[Any, StripeGateway]]":
    """A payment is settled before what is of it, and a dispute before what it moved."""
    return (PaymentSweep(), RefundSweep(), DisputeSweep(), WarningSweep(), BalanceSweep(), PayoutSweep())
