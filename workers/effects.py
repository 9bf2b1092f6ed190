"""The kinds of effects that a worker carries out."""

from collections.abc import Iterable, Iterator
from typing import Any

from service.changes import CHANGE, OpenChange
from service.charges import CHARGE, OpenCharge
from service.effects import Effect, Kind, Kinds
from service.refunds import REFUND, OpenRefund

# By the word of the outbox.
KINDS: Kinds = {"charge": CHARGE, "capture": CHANGE, "cancel": CHANGE, "refund": REFUND}
_OF: dict[type[Effect], Kind[Any]] = {OpenCharge: CHARGE, OpenChange: CHANGE, OpenRefund: REFUND}


def kind_of(effect: Effect) -> Kind[Any]:
    """The kind of an effect in hand."""
    return _OF[type(effect)]


def words_of(effects: Iterable[Effect]) -> Iterator[str]:
    """What effects in hand are called at the crash points.

    `charge`, `again` (a further attempt), `capture`, `refund`; a cancellation by who wants it: `cancel` (its producer),
    `pay`, `expiry`.
    """
    for effect in effects:
        match effect:
            case OpenCharge():
                yield "charge" if effect.attempt == 1 else "again"
            case OpenChange():
                yield effect.kind if effect.wanted_by == "producer" else effect.wanted_by
            case _:
                yield "refund"
