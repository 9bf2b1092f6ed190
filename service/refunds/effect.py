"""A refund between opening and settling. Pure data."""

from dataclasses import dataclass
from typing import ClassVar

from service.effects.model import Effect
from service.states import NextCall
from service.stripe_gateway.marks import RefundMarks, read_refund_marks
from service.stripe_gateway.objects import Refund


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRefund(Effect):
    """A refund this worker may act on. `amount` in minor units; `marks` is what its metadata at Stripe must say."""

    unsent: ClassVar[str] = "processing"

    amount: int
    currency: str
    payment_intent_id: str
    marks: RefundMarks
    stripe_refund_id: str | None = None

    @property
    def undecided(self) -> str:
        """Its state while nothing new is known about it."""
        return "processing"

    @property
    def has_run(self) -> bool:
        """Whether its object at Stripe is known."""
        return self.stripe_refund_id is not None

    @property
    def found_by(self) -> NextCall:
        """Its object is asked for, or searched among the refunds of its payment."""
        return "retrieve" if self.has_run else "lookup"

    def matches(self, shown: Refund) -> bool:
        """Whether `shown` is this refund: our metadata, its payment, amount and currency (R15, R19).

        One that was made at Stripe past us bears no marks: then its known id speaks for it.
        """
        same_money = (shown.amount, shown.currency) == (self.amount, self.currency)
        if not same_money or shown.payment_intent != self.payment_intent_id:
            return False
        if self.stripe_refund_id is not None:
            return shown.id == self.stripe_refund_id
        return self.is_named_by(shown)

    def is_named_by(self, shown: Refund) -> bool:
        """Whether the metadata of `shown` names this refund: its id, or its key where the refund was forgotten here and
        its producer repeated it.
        """
        found = read_refund_marks(shown.metadata)
        if found is None or found.account_id != self.account_id:
            return False
        same_key = self.marks.key is not None and found.key == self.marks.key
        return found.refund_id == self.id or (same_key and found.order_id == self.order_id)
