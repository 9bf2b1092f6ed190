"""A charge between opening and settling: one attempt to take an order's money. Pure data."""

from dataclasses import dataclass
from typing import ClassVar

from service.effects.model import Effect
from service.states import CHARGE_WAITS_AT_STRIPE, NextCall
from service.stripe_gateway.marks import Marks, read_marks
from service.stripe_gateway.objects import Intent


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCharge(Effect):
    """A charge this worker may act on. `marks` is what the metadata of this attempt's PaymentIntent must say.

    Amounts in minor units; `capture` is "manual" where the money is only to be held at first.
    """

    unsent: ClassVar[str] = "sending"

    attempt: int
    amount: int
    currency: str
    customer: str | None
    marks: Marks
    capture: str = "automatic"
    payment_intent_id: str | None = None

    @property
    def undecided(self) -> str:
        """Its state while nothing new is known about it."""
        return self.status if self.status in CHARGE_WAITS_AT_STRIPE else "unknown"

    @property
    def has_run(self) -> bool:
        """Whether its PaymentIntent is known."""
        return self.payment_intent_id is not None

    @property
    def found_by(self) -> NextCall:
        """Its PaymentIntent is asked for, or searched in Stripe's list."""
        return "retrieve" if self.has_run else "lookup"

    def matches(self, intent: Intent) -> bool:
        """Whether `intent` is this attempt: our metadata and amount and currency (R15, R19, R32).

        What was adopted without a key may name the order that was forgotten: then its known id speaks for it (R31).
        """
        if (intent.amount, intent.currency) != (self.amount, self.currency):
            return False
        if self.payment_intent_id not in (None, intent.id):
            return False
        if self.marks.are_named_by(intent.metadata):
            return True
        found = read_marks(intent.metadata)
        if found is None or self.payment_intent_id is None:
            return found is not None and self.marks.match(found)
        same_attempt = (found.account_id, found.attempt) == (self.account_id, self.attempt)
        return self.marks.match(found) or (same_attempt and found.key is None)
