"""The kinds of effects that a worker carries out."""

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
