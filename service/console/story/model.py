"""What a story is made of: scenes, one per event of the timeline, and the arrows between who takes part. Pure data."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

Event = Mapping[str, Any]  # one line of `service.orders.timeline`


class Lane(StrEnum):
    """Who takes part, from left to right."""

    PRODUCER = "producer"
    API = "api"
    OUTBOX = "outbox"
    BROKER = "broker"
    WORKER = "worker"
    STRIPE = "Stripe"
    LEDGER = "ledger"


class Kind(StrEnum):
    """What an arrow is; the picture has a colour and a sign for each."""

    ASK = "ask"
    ANSWER = "answer"
    REFUSAL = "refusal"
    LOST = "lost"
    ABSORBED = "absorbed"
    BOOKED = "booked"
    TOLD = "told"
    WAITS = "waits"
    PARKED = "parked"
    HUMAN = "human"
    GOOD = "good"
    BAD = "bad"
    STATE = "state"
    FOLD = "fold"


@dataclass(frozen=True, slots=True)
class Arrow:
    """One arrow; a note where it ends at the lane at which it begins, a band where it is true for all of them.

    via: a lane that it passes through. small: ids and the like, in a line beneath.
    """

    kind: Kind
    source: Lane
    target: Lane
    text: str
    small: str = ""
    via: Lane | None = None

    @property
    def is_band(self) -> bool:
        """Whether it is drawn across all lanes."""
        return (self.source, self.target) == (Lane.PRODUCER, Lane.LEDGER)


class Bar(StrEnum):
    """What a scene does to the bar that shows how long a worker has an effect in hand."""

    BEGINS = "begins"
    ENDS = "ends"
    BREAKS = "breaks"  # the one before has ended without an answer, and another begins


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What one event is in the picture and in the text; of a fold, what its events are.

    events: their places in the timeline. tells: a sentence. of: the id of the effect. like: scenes of which this is
    the same tell the same, apart from times and ids.
    """

    at: datetime
    events: tuple[int, ...]
    name: str
    tells: str
    arrows: tuple[Arrow, ...]
    of: str = ""
    bar: Bar | None = None
    like: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """Which order the story is about; amounts are spelled."""

    id: str
    key: str
    amount: str
    currency: str
    account: str = ""


def note(kind: Kind, lane: Lane, text: str, small: str = "") -> Arrow:
    """What one lane does by itself."""
    return Arrow(kind, lane, lane, text, small)


def band(kind: Kind, text: str, small: str = "") -> Arrow:
    """What is true for all."""
    return Arrow(kind, Lane.PRODUCER, Lane.LEDGER, text, small)
