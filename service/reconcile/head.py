"""What a report says beside its findings: the window, the verdict, the sums, and the proof of the balance.

A run stores it, so that its report can be read again.
"""

from dataclasses import dataclass
from uuid import UUID

from service.reconcile.balance import Proof
from service.reconcile.classes import OWED
from service.reconcile.compare import Comparison
from service.reconcile.window import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassSum:
    """The discrepancies of one class in one currency: their number, their sum, and the age of the oldest.

    is_open: whether they count; what is in flight, or acknowledged, does not.
    """

    name: str
    is_open: bool
    currency: str | None
    count: int
    amount: int | None
    oldest_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """All of a report but its findings. incomplete: what could not be read, in words."""

    run_id: UUID
    window: Window
    verdict: str
    comparison: Comparison
    classes: tuple[ClassSum, ...]
    incomplete: str | None
    proofs: tuple[Proof, ...] = ()

    @property
    def money_at_stake(self) -> dict[str, int]:
        """The sum of all open discrepancies by currency, in minor units."""
        sums: dict[str, int] = {}
        for line in self.classes:
            if line.is_open and line.currency is not None:
                sums[line.currency] = sums.get(line.currency, 0) + (line.amount or 0)
        return dict(sorted(sums.items()))

    @property
    def owed(self) -> dict[str, int]:
        """What customers are owed after refunds that failed, by currency, in minor units."""
        sums = {line.currency: line.amount or 0 for line in self.classes if line.name == OWED and line.currency}
        return dict(sorted(sums.items()))
