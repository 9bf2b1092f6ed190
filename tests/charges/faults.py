"""Faults of Stripe that strike one order's charge, for the tests of the worker."""

from collections.abc import Awaitable, Callable
from typing import Any

from tests.charges.world import POST, Promise

LIST = {"method": "GET", "path": "^/v1/payment_intents$"}
STALL = {"stripe_timeout_s": 0.3, "stripe_connect_timeout_s": 0.2}  # settings under which a stall soon ends
Passes = Callable[[float], Awaitable[None]]


def once(fault: str, promise: Promise, **how: Any) -> dict[str, Any]:
    """A rule that strikes this order's next charge, once."""
    return {"fault": fault, **POST, "metadata_order": str(promise.order_id), "times": 1, **how}
