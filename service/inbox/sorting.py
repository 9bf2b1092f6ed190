"""Events that are due, sorted: what follows from an event alone, and which object is to be read for the others."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.sql import Record, Statement, connect
from service.inbox.due import Due
from service.inbox.following import CHARGES, FOLLOWED, SETTLED, Dirty, Verdict, foreign, nothing, prefix_of, unread
from service.inbox.payments import booked
from service.inbox.reading import Kept
from service.stripe_gateway.objects import Charge, IncompleteListing

_NO_OBJECT = nothing("it names no object")
_NOT_FOLLOWED = nothing("nothing here follows such objects")
_NO_PAYMENT = nothing("a charge without a PaymentIntent is none of ours")
GONE = nothing("Stripe has no such object")


class Charges(Protocol):
    """What is needed of the Stripe gateway."""

    async def retrieve_charge(self, charge_id: str) -> Charge | None:
        """The charge; None where Stripe has none. Raises IncompleteListing."""
        ...


class _Bound(Record):
    """The Stripe that this database belongs to."""

    account_id: str
    livemode: bool


_BOUND = Statement("""
SELECT stripe_account_id AS account_id, stripe_livemode AS livemode
  FROM instance WHERE stripe_account_id IS NOT NULL AND stripe_livemode IS NOT NULL
""").returning(_Bound)


@dataclass(frozen=True, slots=True)
class Sorted:
    """Events and what is kept of each; verdicts by the id of the event, or the object that each is about."""

    events: Mapping[str, tuple[Due, Kept]]
    verdicts: dict[str, Verdict]
    about: dict[str, str]

    def dirty(self) -> Iterator[tuple[str, list[Dirty]]]:
        """The objects that are to be read, by the list of Stripe's in which they are."""
        objects: dict[str, Dirty] = {}
        for event_id, object_id in self.about.items():
            event, kept = self.events[event_id]
            one = objects.setdefault(object_id, Dirty(object_id))
            one.add(kept, is_its_own=event.object_id == object_id)
        for name in dict.fromkeys(FOLLOWED.values()):
            if of_list := [one for one in objects.values() if FOLLOWED[prefix_of(one.id)] == name]:
                yield name, of_list

    def told(self, by_object: Mapping[str, Verdict]) -> dict[str, Verdict]:
        """What became of each event, given what became of each object."""
        return self.verdicts | {event_id: by_object[object_id] for event_id, object_id in self.about.items()}


async def sort(engine: AsyncEngine, gateway: Charges, events: Sequence[Due], lists: Mapping[str, object]) -> Sorted:
    """Sort these; `lists` are the lists of Stripe's that are followed here."""
    async with connect(engine) as connection:
        bound = await connection.row(_BOUND)
    read = {event.id: (event, msgspec.json.decode(event.kept, type=Kept)) for event in events}
    found = Sorted(read, {}, {})
    charges: list[tuple[Due, Kept]] = []
    for event, kept in read.values():
        why = None if bound is None else foreign(kept, bound.account_id, livemode=bound.livemode)
        if why is not None:
            found.verdicts[event.id] = nothing(why)
        elif event.object_id is None:
            found.verdicts[event.id] = _NO_OBJECT
        elif FOLLOWED.get(prefix_of(event.object_id)) not in lists:
            found.verdicts[event.id] = _NOT_FOLLOWED
        elif prefix_of(event.object_id) in CHARGES:
            charges.append((event, kept))
        else:
            found.about[event.id] = event.object_id
    await _sort_charges(engine, gateway, charges, found)
    return found


async def _sort_charges(
    engine: AsyncEngine, gateway: Charges, charges: Sequence[tuple[Due, Kept]], found: Sorted
) -> None:
    """A charge is read as its PaymentIntent, which a snapshot names; of a thin event it is asked for, if not booked."""
    nameless = []
    for event, kept in charges:
        if kept.payment_intent is not None:
            found.about[event.id] = kept.payment_intent
        elif event.thin:
            nameless.append(event)
        else:
            found.verdicts[event.id] = _NO_PAYMENT
    known = await booked(engine, [event.object_id or "" for event in nameless]) if nameless else set()
    for event in nameless:
        if event.object_id in known:
            found.verdicts[event.id] = SETTLED
            continue
        try:
            charge = await gateway.retrieve_charge(event.object_id or "")
        except IncompleteListing as error:
            found.verdicts[event.id] = unread(error)
            continue
        if charge is None:
            found.verdicts[event.id] = GONE
        elif charge.payment_intent is None:
            found.verdicts[event.id] = _NO_PAYMENT
        else:
            found.about[event.id] = charge.payment_intent
