"""What this process has absorbed since the last flush. A duplicate costs it one entry of a dictionary.

The memory is bounded: beyond MOST orders a duplicate is counted without its order, and that is counted, too.
"""

import threading
import time
from dataclasses import dataclass, field
from uuid import UUID

from service.duplicates.guards import Guard

MOST = 1_000  # orders and guards that one batch names


@dataclass(slots=True)
class OfOrder:
    """How often a guard absorbed something of one order; `at` is the time.monotonic of the last one."""

    times: int = 0
    at: float = 0.0


@dataclass(slots=True)
class Counts:
    """Counts by guard; and by guard and order, of at most MOST. `unnamed`: how many of the first are not in these."""

    by_guard: dict[Guard, int] = field(default_factory=dict)
    by_order: dict[tuple[Guard, UUID], OfOrder] = field(default_factory=dict)
    unnamed: int = 0

    def add(self, guard: Guard, order_id: UUID | None, times: int) -> None:
        """Count."""
        self.by_guard[guard] = self.by_guard.get(guard, 0) + times
        if order_id is None:
            return
        one = self.by_order.get((guard, order_id))
        if one is None:
            if len(self.by_order) >= MOST:
                self.unnamed += times
                return
            one = self.by_order[guard, order_id] = OfOrder()
        one.times += times
        one.at = time.monotonic()


class Memory:
    """The counts of a process. It may be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = Counts()
        self.totals = dict.fromkeys(Guard, 0)  # since the process began

    def add(self, guard: Guard, order_id: UUID | None, times: int) -> None:
        """Count."""
        with self._lock:
            self._counts.add(guard, order_id, times)
            self.totals[guard] += times

    def take(self) -> Counts | None:
        """What was counted since the last call; None where nothing was."""
        with self._lock:
            if not self._counts.by_guard:
                return None
            taken, self._counts = self._counts, Counts()
            return taken


MEMORY = Memory()  # one per process


def absorbed(guard: Guard, order_id: UUID | None = None, *, times: int = 1) -> None:
    """Count that `guard` absorbed a duplicate, of this order where it is known. Call it after the commit."""
    MEMORY.add(guard, order_id, times)
