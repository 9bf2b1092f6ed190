"""Which interleaving it is, and which rule is off."""

from dataclasses import dataclass
from typing import Literal

from tests.model.effects.rows import Intent


@dataclass(frozen=True, slots=True)
class Setting:
    """The rule that is off, and which interleaving this is.

    start_at: what has happened already. asks: what the producer may ask for. ends: what can come of a charge.
    amounts: of the two refunds and the one past us; 2 was taken.
    """

    off: str | None = None
    start_at: Intent | Literal["pending"] = "pending"
    asks: frozenset[int] = frozenset()
    ends: tuple[Intent, ...] = ("succeeded", "declined")
    amounts: tuple[int, int, int] = (2, 2, 2)
    faults: int = 1
    workers: int = 2
    restores: int = 0
    past: bool = False
    unsettled: bool = False  # the backup was made before the charge's answer was settled
    copies: bool = False  # the backup may be made at any time, not only before everything
    pends: bool = False  # a refund may be pending at Stripe at first
    later: bool = False  # the customer tries once more, a bank takes its time, a refund fails days later

    def on(self, rule: str) -> bool:
        """Whether the rule holds in this run."""
        return rule != self.off

    @property
    def money(self) -> tuple[int, ...]:
        """The amount of each effect."""
        return (2, 2, 2, 2, 2, *self.amounts)
