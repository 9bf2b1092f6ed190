"""The proof of the balance once more, in plain Python, from docs/explanation/reconciliation.md and no statement."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


@dataclass(frozen=True)
class Moved:
    """A movement as one side has it."""

    id: str
    category: str
    amount: int
    fee: int
    currency: str
    at: datetime
    balance: str = "payments"

    @property
    def net(self) -> int:
        """What the balance moved by."""
        return self.amount - self.fee


class Pair(NamedTuple):
    """A movement of both sides. `status`: where ours stands; one that waits is not on the books."""

    ours: Moved | None
    status: str
    theirs: Moved | None


def judge(pairs: Iterable[Pair], had: dict[str, int], cut_off: datetime) -> list[tuple[str, str, str, int]]:
    """Class, movement, currency and amount of each discrepancy, sorted; `had`: what only Stripe's balance has."""
    found, beyond = [], Counter(had)
    for ours, status, theirs in pairs:
        one = ours or theirs
        assert one is not None
        if ours is not None and status == "suspense":
            found.append(("unknown_category", ours.id, ours.currency, abs(ours.net)))
        if (amount := _differs_by(ours, theirs, cut_off)) is not None:
            found.append(("balance_drift", one.id, one.currency, amount))
        for side, sign in ((theirs, 1), (ours, -1)):
            if side is not None and side.balance == "payments" and not _is_in_flight(side, ours, theirs, cut_off):
                beyond[side.currency] += sign * side.net
    found += [("balance_drift", "", currency, abs(minor)) for currency, minor in beyond.items() if minor]
    return sorted(found)


def _differs_by(ours: Moved | None, theirs: Moved | None, cut_off: datetime) -> int | None:
    """None: they agree, or one that is missing here is young."""
    if ours is None:
        assert theirs is not None
        return None if theirs.at >= cut_off else abs(theirs.net)
    if theirs is None or ours.currency != theirs.currency:
        return abs(ours.net)
    deltas = [abs(ours.amount - theirs.amount), abs(ours.fee - theirs.fee), abs(ours.net - theirs.net)]
    return max(deltas) if ours != theirs else None


def _is_in_flight(side: Moved, ours: Moved | None, theirs: Moved | None, newest: datetime) -> bool:
    """Of the newest movements: one that is not stored yet is expected, one that Stripe does not show yet is later."""
    return side.at >= newest and (ours is None or theirs is None)
