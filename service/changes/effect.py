"""A change of a known payment between opening and settling: its capture or its cancellation. Pure data."""

from dataclasses import dataclass
from typing import ClassVar

from service.charges import OpenCharge
from service.effects.model import Effect
from service.states import ChangeKind, NextCall


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenChange(Effect):
    """A change this worker may act on. `charge` is the one whose PaymentIntent it changes; nobody settles by its token.

    amount: of a capture, in minor units. wanted_by: "pay" where the next attempt is owed after the cancellation (R25).
    """

    unsent: ClassVar[str] = "sending"

    kind: ChangeKind
    charge: OpenCharge
    amount: int | None
    wanted_by: str

    @property
    def payment_intent_id(self) -> str:
        """The PaymentIntent; only a known one can be changed."""
        return self.charge.payment_intent_id or ""

    @property
    def undecided(self) -> str:
        """Its state while nothing new is known about it."""
        return "sending"

    @property
    def found_by(self) -> NextCall:
        """It makes no object of its own: the PaymentIntent's state shows what became of it."""
        return "retrieve"
