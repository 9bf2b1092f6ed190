"""What can be asked of `eo up`, and the messages: one JSON line to its socket, and one back."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated

from msgspec import Meta, Struct, field


class Switch(StrEnum):
    """A fault that can be injected."""

    KILL_AFTER_CHARGE = "kill_after_charge"
    LOSE_REPLIES = "lose_replies"
    EMPTY_REDIS = "empty_redis"
    DOUBLE = "double"
    FREEZE = "freeze"
    KILL_WORKER = "kill_worker"
    KILL_RELAY = "kill_relay"
    KILL_API = "kill_api"
    KILL_POSTGRES = "kill_postgres"
    DAY = "day"
    KEEP_COPY = "keep_copy"
    FORGET = "forget"


# The parts of `eo up` that a fault handles. Two faults that handle one part are not at work at once.
TOUCHES: Mapping[Switch, frozenset[str]] = MappingProxyType(
    {
        Switch.KILL_AFTER_CHARGE: frozenset({"worker"}),
        Switch.LOSE_REPLIES: frozenset(),
        Switch.EMPTY_REDIS: frozenset(),
        Switch.DOUBLE: frozenset({"relay"}),
        Switch.FREEZE: frozenset({"worker"}),
        Switch.KILL_WORKER: frozenset({"worker"}),
        Switch.KILL_RELAY: frozenset({"relay"}),
        Switch.KILL_API: frozenset({"api"}),
        Switch.KILL_POSTGRES: frozenset({"postgres"}),
        Switch.DAY: frozenset({"worker", "relay", "postgres"}),
        Switch.KEEP_COPY: frozenset({"postgres"}),
        Switch.FORGET: frozenset({"postgres"}),
    }
)

TIMES_MAX, SECONDS_MAX = 100, 120


class Press(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One fault that is asked for. `order`: the order that it strikes, by the id that it is about to have."""

    switch: Switch
    order: Annotated[str, Meta(pattern=r"^[0-9a-f-]{0,36}\Z")] = ""
    times: Annotated[int, Meta(ge=1, le=TIMES_MAX)] = 1
    seconds: Annotated[int, Meta(ge=1, le=SECONDS_MAX)] = 20


class Ask(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A line to `eo up`: press a switch, or only look."""

    press: Press | None = None


class Step(Struct, frozen=True):
    """What happened, at seconds since 1970."""

    at: float
    said: str


class Fault(Struct):
    """One injected fault, from its begin to its end; seconds since 1970. `failed`: it could not be injected."""

    number: int
    switch: Switch
    order: str
    began: float
    ended: float | None = None
    failed: bool = False
    steps: list[Step] = field(default_factory=list)


class Board(Struct, frozen=True):
    """What `eo up` can do and has done since it started: the newest fault first.

    `copy_at`: when the copy of the database was taken, that can be put back. `sandbox` and `secret`: where the
    sandbox's control API is, and what it asks for; no page shows the secret.
    """

    switches: list[Switch]
    faults: list[Fault]
    injected: dict[str, int]
    copy_at: float | None
    sandbox: str
    secret: str


class Answer(Struct, frozen=True, omit_defaults=True):
    """A line from `eo up`. `refused`: why the switch was not pressed."""

    board: Board
    number: int = 0
    refused: str = ""
