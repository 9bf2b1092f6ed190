"""A guard that is broken on purpose."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutation:
    """`old`, found once in `path`, becomes `new`; `tests` (files, or file::start of a name) must go red."""

    name: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]
