"""Which objects are followed here, and what is decided about an event that made one dirty. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from service.inbox.reading import Kept

# The beginning of an object's id -> the list of Stripe's in which it is read: the name of a sweep. A charge is read as
# its PaymentIntent.
FOLLOWED: Mapping[str, str] = MappingProxyType(
    {
        "pi": "payment_intents",
        "ch": "payment_intents",
        "py": "payment_intents",
        "re": "refunds",
        "pyr": "refunds",
        "dp": "disputes",
        "du": "disputes",
        "po": "payouts",
        "txn": "balance_transactions",
        "issfr": "fraud_warnings",
    }
)
CHARGES = frozenset({"ch", "py"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of an event: `settled`, or looked at again. note: why, for people.

    counts: this look is one of those after which the next one waits longer. may_be_foreign: another program at the same
    Stripe account may have made its object, so that after a day nobody needs to know.
    """

    settled: bool
    note: str | None = None
    counts: bool = True
    may_be_foreign: bool = False


SETTLED = Verdict(settled=True)


def nothing(why: str) -> Verdict:
    """Nothing here follows from the event."""
    return Verdict(settled=True, note=why)


def again(why: str) -> Verdict:
    """The event is looked at again."""
    return Verdict(settled=False, note=why)


def unread(error: Exception) -> Verdict:
    """Stripe could not be asked; that says nothing of the object, so the next look comes as soon as this one did."""
    return Verdict(settled=False, note=f"Stripe could not be asked: {error}", counts=False)


IN_HAND = again("a worker is about to settle it")
UNKNOWN = again("its object is unknown here")
OF_AN_UNKNOWN_PAYMENT = Verdict(settled=False, note="it is of no payment that is known here", may_be_foreign=True)


@dataclass(slots=True)
class Dirty:
    """An object that events have made dirty. told: the states in which their snapshots show it; None: one shows none.

    created: Unix seconds at which Stripe made it, where an event or this database tells. order: the one its metadata
    names.
    """

    id: str
    told: set[str | None] = field(default_factory=set)
    created: int | None = None
    order: str | None = None

    def add(self, kept: Kept, *, is_its_own: bool) -> None:
        """What an event tells of it. One about its charge tells only which order's it is."""
        self.told.add(kept.status if is_its_own else None)
        self.created = self.created or (kept.object_created if is_its_own else None)
        self.order = self.order or kept.order

    def says_nothing_new(self, agreed: Sequence[str]) -> bool:
        """Whether each event shows a state in which this database and Stripe agree already."""
        return None not in self.told and self.told <= set(agreed)


def prefix_of(object_id: str) -> str:
    """The beginning of an id, by which Stripe tells what it is of."""
    return object_id.partition("_")[0]


def foreign(kept: Kept, account_id: str, *, livemode: bool) -> str | None:
    """Why an event is not about the Stripe that this database belongs to; None where it is."""
    if kept.account is not None and account_id not in kept.account.split("/"):
        return f"it is of another Stripe account ({kept.account})"
    if kept.livemode != livemode:
        return f"it is of Stripe's {'live' if kept.livemode else 'test'} mode, and this database is not"
    return None
