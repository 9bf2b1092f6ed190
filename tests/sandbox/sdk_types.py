"""Answers held against the object types that Stripe's SDKs ship.

The Python SDK says which fields an object may have, of which type and with which words; it writes `Optional` for "may
be null" and for "may be absent" alike. Which of both is meant stands in the Node SDK's types (`field?:` may be absent,
`field: X | null` is always sent); `always_sent.json` holds what they say about the types that the sandbox answers with
(`derive_always_sent.py` writes it).
"""

import json
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ForwardRef, NamedTuple

import stripe
from stripe import ListObject, StripeObject

_TOLD = json.loads(Path(__file__).with_name("always_sent.json").read_text())
ALWAYS_SENT: dict[str, dict[str, list[str]]] = _TOLD["types"]
ALWAYS_SENT_IN: str = _TOLD["api_version"]
# Hashes of the user's own, or of Stripe's own that have no documented fields.
FREE_FORM = ("UntypedStripeObject",)


class Fault(NamedTuple):
    """One thing that Stripe's types do not allow, and where."""

    path: str
    what: str


def faults(answer: Any, expected: Any, path: str = "") -> Iterator[Fault]:
    """Everything in `answer` that is not as the SDK's type `expected` says."""
    options = _options(expected)
    if answer is None:
        if type(None) not in options and Any not in options:
            yield Fault(path, "null")
        return
    words = {word for option in options if typing.get_origin(option) is typing.Literal for word in option.__args__}
    # Stripe's enumerations are open (`Literal[…] | str`): a word the type does not know is a mistake of ours.
    if words and isinstance(answer, str) and not any(_is_object(option) for option in options):
        if answer not in words:
            yield Fault(path, f"unknown word {answer!r}")
        return
    # One of several objects is told by its `object`.
    named = [option for option in options if isinstance(answer, dict) and _name(option) == answer.get("object")]
    found = [list(_of_one(answer, option, path)) for option in named or options if option is not type(None)]
    if [] not in found:
        yield from min(found, key=len)


def _of_one(answer: Any, expected: Any, path: str) -> Iterator[Fault]:
    origin = typing.get_origin(expected) or expected
    if expected is Any:
        return
    if isinstance(expected, ForwardRef):
        yield Fault(path, f"not known to be a {expected.__forward_arg__}")
    elif origin is typing.Literal:
        if answer not in expected.__args__:
            yield Fault(path, f"unknown word {answer!r}")
    elif origin in (list, ListObject):
        yield from _of_list(answer, expected, path)
    elif origin.__name__ in FREE_FORM:
        yield from _of_free_form(answer, expected, path)
    elif _is_object(origin):
        yield from _of_object(answer, origin, path)
    elif type(answer) is not origin and not (origin is float and type(answer) is int):
        yield Fault(path, f"{type(answer).__name__} instead of {origin.__name__}")


def _of_free_form(answer: Any, expected: Any, path: str) -> Iterator[Fault]:
    if not isinstance(answer, dict):
        yield Fault(path, "no hash")
        return
    (inner,) = typing.get_args(expected)
    for name, value in answer.items():
        yield from faults(value, inner, f"{path}.{name}")


def _of_list(answer: Any, expected: Any, path: str) -> Iterator[Fault]:
    (inner,) = typing.get_args(expected)
    if typing.get_origin(expected) is ListObject:
        if not isinstance(answer, dict) or answer.get("object") != "list":
            yield Fault(path, "no list object")
            return
        answer = answer["data"]
    if not isinstance(answer, list):
        yield Fault(path, "no array")
        return
    for index, item in enumerate(answer):
        yield from faults(item, inner, f"{path}[{index}]")


def _of_object(answer: Any, expected: type[StripeObject], path: str) -> Iterator[Fault]:
    if not isinstance(answer, dict):
        yield Fault(path, "no hash")
        return
    known = fields_of(expected)
    told = ALWAYS_SENT.get(expected.__qualname__)
    if told is None:
        yield Fault(path, f"nothing is known about {expected.__qualname__}")
        return
    for name in told["always"]:
        if name not in answer:
            yield Fault(f"{path}.{name}", "missing")
    for name, value in answer.items():
        where = f"{path}.{name}"
        if name not in known:
            yield Fault(where, f"not a field of {expected.__qualname__}")
        elif value is None and name in told["never_null"]:
            yield Fault(where, "null, where Stripe leaves the field out")
        else:
            yield from faults(value, known[name], where)


def fields_of(expected: type[StripeObject]) -> dict[str, Any]:
    """The fields that the type names, those of its bases included."""
    found: dict[str, Any] = {}
    for base in reversed(expected.__mro__):
        if base is not StripeObject and issubclass(base, StripeObject):
            found |= {name: hint for name, hint in vars(base).get("__annotations__", {}).items() if name[0] != "_"}
    return {name: hint for name, hint in found.items() if typing.get_origin(hint) is not typing.ClassVar}


def _options(expected: Any) -> list[Any]:
    """The alternatives of a union, names of other classes resolved."""
    if isinstance(expected, ForwardRef):
        # A few names are private to the SDK's modules; the sandbox answers with none of them.
        expected = getattr(stripe, expected.__forward_arg__, expected)
    if typing.get_origin(expected) in (typing.Union, types.UnionType):
        return [option for inner in expected.__args__ for option in _options(inner)]
    return [expected]


def _is_object(expected: Any) -> bool:
    return isinstance(expected, type) and issubclass(expected, StripeObject)


def _name(expected: Any) -> str | None:
    return getattr(expected, "OBJECT_NAME", None)
