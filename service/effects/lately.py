"""The orders of the outbox rows that this process opened last: a row that is gone can no longer say whose it was."""

from collections.abc import Sequence
from uuid import UUID

from service.effects.model import Effect

_MOST = 10_000


class Lately:
    """A bounded memory of rows and their orders, of one process."""

    def __init__(self) -> None:
        self._orders: dict[UUID, UUID] = {}

    def note(self, effects: Sequence[Effect]) -> None:
        """Remember these; the oldest are forgotten."""
        for effect in effects:
            self._orders[effect.outbox_id] = effect.order_id
        while len(self._orders) > _MOST:
            del self._orders[next(iter(self._orders))]

    def order_of(self, outbox_id: UUID) -> UUID | None:
        """The order of this row, where it was opened here, lately."""
        return self._orders.get(outbox_id)


LATELY = Lately()  # one per process
