"""Tries every schedule of the model, breadth first, so that the first broken promise comes with a shortest schedule."""

import gc
from array import array
from dataclasses import dataclass

from tests.model.protocol import Model, broken_promise, is_final
from tests.model.state import State, canonical


@dataclass(frozen=True, slots=True)
class Result:
    """What a search found. `schedule`: the steps to a broken promise, empty when none can be broken."""

    states: int
    schedule: tuple[str, ...] = ()
    broken: str | None = None
    stuck: State | None = None  # a state from which, without any further fault, no end is reached

    @property
    def holds(self) -> bool:
        """Whether every promise is kept in every schedule, and every state has a way to an end."""
        return self.broken is None and self.stuck is None

    def __str__(self) -> str:
        steps = [f"{n:>3}. {step}" for n, step in enumerate(self.schedule, 1)]
        return "\n".join([*steps, f"  => {self.broken or self.stuck or 'holds'} ({self.states:,} states)"])


def check(model: Model) -> Result:
    """Visit every reachable state once."""
    gc.disable()  # a million tuples without a circle: looking for one takes half of the time
    try:
        return _search(model)
    finally:
        gc.enable()


def _search(model: Model) -> Result:
    spent = model.forgets_what_is_spent
    start = canonical(model.start(), spent=spent)
    number: dict[State, int] = {start: 0}
    states: list[State] = [start]
    parents = array("i", [-1])
    works_from, works_to = array("i"), array("i")  # steps that need no fault and no outside help
    here = 0
    while here < len(states):
        for move in model.moves(states[here]):
            after = canonical(move.after, spent=spent)
            there = number.setdefault(after, len(states))
            if there == len(states):
                states.append(after)
                parents.append(here)
                broken = move.broken or broken_promise(after, model)
            else:
                broken = move.broken
            if broken:
                return Result(len(states), _schedule(model, states, parents, here, move.name), broken)
            if move.works and there != here:
                works_from.append(here)
                works_to.append(there)
        here += 1
    return Result(len(states), stuck=_stuck(states, works_from, works_to))


def _schedule(model: Model, states: list[State], parents: "array[int]", last: int, name: str) -> tuple[str, ...]:
    """The names of the steps to `last`, and the one after it."""
    spent, steps = model.forgets_what_is_spent, [name]
    while parents[last] >= 0:
        before = states[parents[last]]
        steps.append(next(m.name for m in model.moves(before) if canonical(m.after, spent=spent) == states[last]))
        last = parents[last]
    return tuple(reversed(steps))


def _stuck(states: list[State], works_from: "array[int]", works_to: "array[int]") -> State | None:
    """Liveness: backwards from the ends, along the steps that need no fault."""
    before: list[list[int]] = [[] for _ in states]
    for source, target in zip(works_from, works_to, strict=True):
        before[target].append(source)
    reaches = bytearray(len(states))
    todo = [n for n, s in enumerate(states) if is_final(s)]
    for n in todo:
        reaches[n] = 1
    while todo:
        for source in before[todo.pop()]:
            if not reaches[source]:
                reaches[source] = 1
                todo.append(source)
    return next((s for n, s in enumerate(states) if not reaches[n]), None)
