"""What a room says of a list of Stripe's, so that `service.sweeps` finds in it what no event told (R38)."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import Generic, TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

from service.effects.listing import Listed
from service.foundation.settings import Settings

T = TypeVar("T", bound=Listed)
G_contra = TypeVar("G_contra", contravariant=True)


class Sweep(ABC, Generic[T, G_contra]):
    """One of Stripe's lists: T is what it lists, G_contra what of the gateway is asked for it.

    Everything here may be done again, late, and by two processes at once.
    """

    name: str  # the kind in the table `sweeps`, and the word for it in logs: "disputes"

    @abstractmethod
    def ask(self, gateway: G_contra, created_gte: int, created_lt: int) -> AsyncIterator[T]:
        """Those created in [gte, lt) Unix seconds, newest first. Raises IncompleteListing."""

    @abstractmethod
    async def retrieve(self, gateway: G_contra, object_id: str) -> T | None:
        """One that is known and was not listed; None where Stripe has none. Raises IncompleteListing."""

    @abstractmethod
    async def known(self, engine: AsyncEngine, gte: int, lt: int) -> set[str]:
        """Ids that a listing of [gte, lt) must show (R35)."""

    @abstractmethod
    async def settle(self, engine: AsyncEngine, shown: Sequence[T], settings: Settings) -> None:
        """Have the database say what Stripe shows of these, at most 100, the newest first.

        What cannot be stored is said and left out: it must not keep its neighbours from being settled.
        """

    async def beside(self, engine: AsyncEngine, gateway: G_contra, settings: Settings) -> None:
        """Read what this kind has beside its list, such as what changes long after it was made; as a rule nothing.

        Called when the list is read to the present. Raises IncompleteListing.
        """
        del engine, gateway, settings
