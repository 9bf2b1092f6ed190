"""Tries every schedule of the model, breadth first, so that the first broken promise comes with a shortest schedule."""

import gc
from array import array
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

S = TypeVar("S", bound=Hashable)


class Move(NamedTuple, Generic[S]):
    """A step: what happens, and the state after it. `works`: the system's own doing, without any fault."""

    name: str
    after: S
    works: bool = False
    broken: str | None = None  # a promise that this very step breaks


class Checkable(Protocol[S]):
    """What a model shows of itself."""

    def start(self) -> S:
        """The state in which everything begins."""

    def moves(self, s: S) -> Iterator[Move[S]]:
        """Every step that can come next."""

    def canonical(self, s: S) -> S:
        """One state for all that can only behave alike, so that fewer are visited."""

    def is_final(self, s: S) -> bool:
        """Whether all is quiet: an end that every state has a way to."""

    def broken_promise(self, s: S) -> str | None:
        """What is wrong with this state, in one sentence; None when nothing is."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a search found. `schedule`: the steps to a broken promise or to a state without an end, else empty."""

    states: int
    schedule: tuple[str, ...] = ()
    broken: str | None = None
    stuck: Hashable | None = None  # a state from which, without any further fault, no end is reached

    @property
    def holds(self) -> bool:
        """Whether every promise is kept in every schedule, and every state has a way to an end."""
        return self.broken is None and self.stuck is None

    @property
    def wrong(self) -> str | None:
        """What the schedule ends in, in one sentence; None when every promise is kept."""
        return self.broken or (None if self.holds else "without any further fault, this comes to no end")

    def __str__(self) -> str:
        steps = [f"{n:>3}. {step}" for n, step in enumerate(self.schedule, 1)]
        at = "" if self.stuck is None else f"\n{self.stuck}"
        return "\n".join([*steps, f"  => {self.wrong or 'holds'} ({self.states:,} states){at}"])


def check(model: Checkable[S]) -> Result:
    """Visit every reachable state once."""
    gc.disable()  # a million tuples without a circle: looking for one takes half of the time
    try:
        return _search(model)
    finally:
        gc.enable()


def _search(model: Checkable[S]) -> Result:
    start = model.canonical(model.start())
    number: dict[S, int] = {start: 0}
    met: dict[S, int] = {}  # the same for states as they came: most come again, and are not made canonical again
    states: list[S] = [start]
    parents = array("i", [-1])
    works_from, works_to = array("i"), array("i")  # steps that need no fault and no outside help
    here = 0
    while here < len(states):
        for move in model.moves(states[here]):
            broken = move.broken
            if (there := met.get(move.after, -1)) < 0:
                after = model.canonical(move.after)
                there = met[move.after] = number.setdefault(after, len(states))
                if there == len(states):
                    states.append(after)
                    parents.append(here)
                    broken = broken or model.broken_promise(after)
            if broken:
                return Result(len(states), (*_schedule(model, states, parents, here), move.name), broken)
            if move.works and there != here:
                works_from.append(here)
                works_to.append(there)
        here += 1
    stuck = _stuck(model, states, works_from, works_to)
    if stuck is None:
        return Result(len(states))
    return Result(len(states), _schedule(model, states, parents, stuck), stuck=states[stuck])


def _schedule(model: Checkable[S], states: list[S], parents: "array[int]", last: int) -> tuple[str, ...]:
    """The names of the steps to state number `last`."""
    steps: list[str] = []
    while parents[last] >= 0:
        before = states[parents[last]]
        steps.append(next(m.name for m in model.moves(before) if model.canonical(m.after) == states[last]))
        last = parents[last]
    return tuple(reversed(steps))


def _stuck(model: Checkable[S], states: list[S], works_from: "array[int]", works_to: "array[int]") -> int | None:
    """Liveness: backwards from the ends, along the steps that need no fault. Returns the first state without an end."""
    before: list[list[int]] = [[] for _ in states]
    for source, target in zip(works_from, works_to, strict=True):
        before[target].append(source)
    reaches = bytearray(len(states))
    todo = [n for n, s in enumerate(states) if model.is_final(s)]
    for n in todo:
        reaches[n] = 1
    while todo:
        for source in before[todo.pop()]:
            if not reaches[source]:
                reaches[source] = 1
                todo.append(source)
    return next((n for n in range(len(states)) if not reaches[n]), None)
