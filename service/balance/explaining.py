"""What explains a movement: that which moved the money is known here. Each kind of source has its own explainer."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from service.foundation.postgres.sql import Connection
from service.ledger import JournalEntry
from service.stripe_gateway.objects import BalanceTransaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """What moved the money is known. `entries`: what is to be on the books of it; some may be there already."""

    account_id: UUID
    order_id: UUID | None
    entries: tuple[JournalEntry, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unexplained:
    """It is not known yet, or contradicts what is known. `why`: for people.

    booked_minor: what of its net the books have all the same. read: the object of Stripe's to be read once more, which
    is known here and does not say so yet. is_contradiction: what is known says otherwise.
    """

    why: str
    account_id: UUID | None = None
    order_id: UUID | None = None
    booked_minor: int = 0
    read: str | None = None
    is_contradiction: bool = False


Explanation = Explained | Unexplained


class Explainer(ABC):
    """Explains the movements of one kind, all at once: the statements are few, however many movements there are."""

    @abstractmethod
    async def explain(
        self, tx: Connection, movements: Sequence[BalanceTransaction], default_account: UUID
    ) -> Mapping[str, Explanation]:
        """Each movement's explanation by its id. What explains one is locked until the transaction ends."""

    async def booked(  # noqa: B027  most have nothing to note
        self, tx: Connection, movements: Sequence[tuple[BalanceTransaction, Explained]]
    ) -> None:
        """These are on the books now: note it where it is looked for."""
