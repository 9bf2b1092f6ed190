"""What a case says about an answer: `path → value or matcher`, and references to earlier answers.

A path is names and indices with dots (`data.0.id`); `*` stands for every item (`data.*.id`); the empty path is the
whole. A text `"{first.id}"` means the `id` in the answer of the step called `first`, inside calls and expectations.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar, cast

_REFERENCE = re.compile(r"\{(\w+)(?:\.([\w.*]+))?\}")


class _Missing:
    """What is not there; not the same as null."""

    def __repr__(self) -> str:
        return "missing"


MISSING: Any = _Missing()


class UnknownReferenceError(LookupError):
    """A case names something that no earlier answer of it has."""


@dataclass(frozen=True)
class Starts:
    """A text with this beginning."""

    beginning: str

    def holds(self, seen: Any) -> bool:
        return isinstance(seen, str) and seen.startswith(self.beginning)


@dataclass(frozen=True)
class Says:
    """A text that contains this."""

    part: str

    def holds(self, seen: Any) -> bool:
        return isinstance(seen, str) and self.part in seen


@dataclass(frozen=True)
class OneOf:
    """One of these values."""

    values: tuple[Any, ...]

    def holds(self, seen: Any) -> bool:
        return seen in self.values


@dataclass(frozen=True)
class Present:
    """There, null or not."""

    def holds(self, seen: Any) -> bool:
        return seen is not MISSING


@dataclass(frozen=True)
class Filled:
    """There, neither null nor empty. A number may be 0."""

    def holds(self, seen: Any) -> bool:
        return seen is not MISSING and seen not in (None, "", [], {})


@dataclass(frozen=True)
class Whole:
    """An integer, at least this large."""

    least: int

    def holds(self, seen: Any) -> bool:
        return type(seen) is int and seen >= self.least


@dataclass(frozen=True)
class Includes:
    """A list with all these among its items."""

    items: tuple[Any, ...]

    def holds(self, seen: Any) -> bool:
        return isinstance(seen, list) and all(item in seen for item in self.items)


@dataclass(frozen=True)
class Lacks:
    """A list without this item."""

    item: Any

    def holds(self, seen: Any) -> bool:
        return isinstance(seen, list) and self.item not in seen


@dataclass(frozen=True)
class Only:
    """A list that is not empty and has no other items than these."""

    items: tuple[Any, ...]

    def holds(self, seen: Any) -> bool:
        return isinstance(seen, list) and seen != [] and all(item in self.items for item in seen)


@dataclass(frozen=True)
class Distinct:
    """A list of `count` items; None: of any number. No item comes twice."""

    count: int | None = None

    def holds(self, seen: Any) -> bool:
        return _all_there(seen) and len(set(seen)) == len(seen) and self.count in (None, len(seen))


@dataclass(frozen=True)
class Same:
    """A list with one value, once or many times."""

    def holds(self, seen: Any) -> bool:
        return _all_there(seen) and len(set(seen)) == 1


@dataclass(frozen=True)
class Other:
    """Any value but this one."""

    than: Any

    def holds(self, seen: Any) -> bool:
        return seen is not MISSING and seen != self.than


Matcher = Starts | Says | OneOf | Present | Filled | Whole | Includes | Lacks | Only | Distinct | Same | Other
Expectations = Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """Where an answer is not as expected."""

    step: str
    path: str
    expected: str
    seen: str

    def __str__(self) -> str:
        return f"{self.step}: {self.path} should be {self.expected}, is {self.seen}"


def differences(step: str, expected: Expectations, answer: Any) -> list[Difference]:
    """Everything in which the answer departs from the expectations."""
    found = []
    for path, wanted in expected.items():
        seen = read(answer, path)
        if not (wanted.holds(seen) if isinstance(wanted, Matcher) else _equal(wanted, seen)):
            found.append(Difference(step, path or "(all)", repr(wanted), repr(seen)))
    return found


def read(value: Any, path: str) -> Any:
    """What stands at the path; MISSING where nothing does."""
    if not path:
        return value
    name, _, rest = path.partition(".")
    if name == "*":
        items = value if isinstance(value, list) else []
        return [read(item, rest) for item in items]
    if isinstance(value, dict) and name in value:
        return read(value[name], rest)
    if isinstance(value, list) and name.isdecimal() and int(name) < len(value):
        return read(value[int(name)], rest)
    return MISSING


T = TypeVar("T")


def resolve(thing: T, memory: Mapping[str, Any]) -> T:
    """The same thing with every reference replaced by what it names. A reference to nothing is an error of the case."""
    return cast("T", _resolved(thing, memory))


def _resolved(thing: Any, memory: Mapping[str, Any]) -> Any:
    if isinstance(thing, str):
        return _text(thing, memory)
    if is_dataclass(thing) and not isinstance(thing, type):
        return replace(thing, **{part.name: _resolved(getattr(thing, part.name), memory) for part in fields(thing)})
    if isinstance(thing, dict):
        return {name: _resolved(value, memory) for name, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return type(thing)(_resolved(value, memory) for value in thing)
    return thing


def _text(text: str, memory: Mapping[str, Any]) -> Any:
    whole = _REFERENCE.fullmatch(text)
    if whole:
        return _named(whole, memory)
    return _REFERENCE.sub(lambda found: str(_named(found, memory)), text)


def _named(found: re.Match[str], memory: Mapping[str, Any]) -> Any:
    value = read(memory, ".".join(filter(None, found.groups())))
    if value is MISSING:
        raise UnknownReferenceError(found[0])
    return value


def _all_there(seen: Any) -> bool:
    return isinstance(seen, list) and MISSING not in seen


def _equal(wanted: Any, seen: Any) -> bool:
    """Equal and of one type: `True` is not 1."""
    return type(wanted) is type(seen) and bool(wanted == seen)
