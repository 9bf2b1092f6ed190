"""What Stripe documents, as data: its routes, the parameters of those that the sandbox has, what may be expanded.

`stripe.json` is written from the types of Stripe's own SDK (tests/sandbox/documented.py), and a test holds it to them.
So the sandbox refuses what Stripe refuses, at any depth, without a hand-made list of names that somebody forgets.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from sandbox.errors import ApiError, invalid, missing_param, not_done, unknown_params
from sandbox.undone import undone
from sandbox.words import words

FILE = Path(__file__).with_name("stripe.json")
# Taken away in 2026-09-30.endive. Source: docs.stripe.com/changelog/endive/2026-09-30/
# removes-the-payment-method-types-parameter-from-payment-intents-and-setup-intents
REMOVED = "payment_method_types"
REMOVED_FROM = words("payment_intents payment_intents/:id/confirm")
TEXT_LONGEST = 5000
INTEGER_DIGITS_MAX = 18  # larger integers would not fit into SQLite; Stripe refuses smaller ones already


class Parameter(msgspec.Struct):
    """One parameter. `unset`: an empty value is taken; `integer`: a number in place of a hash is.

    The last four are the sandbox's: what it does not do, and (derived) whether any text and which words it takes.
    """

    kind: Literal["text", "integer", "word", "map", "list", "hash"]
    required: bool = False
    unset: bool = False
    integer: bool = False
    words: frozenset[str] = frozenset()
    item: "Parameter | None" = None
    fields: "dict[str, Parameter]" = {}
    undone: bool = False
    undone_words: frozenset[str] = frozenset()
    free: bool = False
    taken: frozenset[str] = frozenset()


class Documented(msgspec.Struct):
    """The whole file; the types of events are told apart by how they come."""

    version: str
    routes: frozenset[str]
    parameters: dict[str, dict[str, Parameter]]
    expandable: dict[str, frozenset[str]]
    snapshot_events: frozenset[str]
    thin_events: frozenset[str]


def check(endpoint: str, params: Mapping[str, Any]) -> None:
    """Raise Stripe's 400 for what it does not document at this endpoint, and ours for what the sandbox does not do."""
    known = STRIPE.parameters[endpoint]
    if params.keys() <= known.keys():
        for name, value in params.items():
            parameter = known[name]
            # Most of what comes is plain text or a listed word, and needs no closer look.
            is_text = value.__class__ is str and value != ""
            if not is_text or (value not in parameter.taken and not (parameter.free and len(value) <= TEXT_LONGEST)):
                _check(parameter, value, name)
        return
    if REMOVED in params and endpoint.partition(" ")[2] in REMOVED_FROM:
        raise _removed()
    raise unknown_params([name for name in params if name not in known])


def integer(value: object, param: str) -> int:
    """Digits with an optional minus; anything else, `1.0` and `1e3` too, is refused as Stripe does."""
    text = str(value)
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > INTEGER_DIGITS_MAX:
        raise invalid(f"Invalid integer: {text[:24]}", code="parameter_invalid_integer", param=param)
    return int(text)


def too_long(value: str, longest: int, param: str) -> ApiError:
    """400: a text of too many characters."""
    return invalid(f"Invalid string: {value[:8]}…; must be at most {longest} characters", param=param)


def _check(known: Parameter, value: Any, param: str) -> None:
    if value == "" and known.unset:
        pass
    elif known.kind == "hash":
        _check_hash(known, value, param)
    elif known.kind == "list":
        _check_list(known, value, param)
    elif known.kind == "map":
        if not isinstance(value, dict) and value != "":
            raise invalid("Invalid hash", param=param)
    else:
        _check_leaf(known, value, param)
    if known.undone or (known.undone_words and value in known.undone_words):
        raise not_done(f"`{param}`" if known.undone else f"`{param}={value}`", param)


def _check_leaf(known: Parameter, value: object, param: str) -> None:
    if not isinstance(value, str):
        raise invalid("Invalid string: {...}", param=param)
    if not value:
        raise _empty(param)
    if known.kind == "word" and value not in known.words:
        raise invalid(f"Invalid {param}: must be one of {', '.join(sorted(known.words))}", param=param)
    if known.kind == "integer":
        integer(value, param)
    elif len(value) > TEXT_LONGEST:
        raise too_long(value, TEXT_LONGEST, param)


def _check_list(known: Parameter, value: object, param: str) -> None:
    if not isinstance(value, list) or known.item is None:
        raise invalid("Invalid array", param=param)
    for place, item in enumerate(value):
        _check(known.item, item, f"{param}[{place}]")


def _check_hash(known: Parameter, value: object, param: str) -> None:
    """Stripe names a parameter inside another by its whole path: `line_items[0][price]` in a recorded error."""
    if known.integer and isinstance(value, str):
        integer(value, param)
        return
    if not isinstance(value, dict):
        raise invalid("Invalid hash", param=param)
    unknown = [f"{param}[{name}]" for name in value if name not in known.fields]
    if unknown:
        raise unknown_params(unknown)
    for name, inner in value.items():
        _check(known.fields[name], inner, f"{param}[{name}]")
    for name, parameter in known.fields.items():
        if parameter.required and name not in value:
            raise missing_param(f"{param}[{name}]")


def _removed() -> ApiError:
    message = (
        f"The `{REMOVED}` parameter is no longer supported. Use `allowed_payment_method_types` or "
        "`excluded_payment_method_types`, or let dynamic payment methods choose."
    )
    return invalid(message, code=f"{REMOVED}_no_longer_supported", param=REMOVED)


def _empty(param: str) -> ApiError:
    message = (
        f"You passed an empty string for '{param}'. We assume empty values are an attempt to unset a parameter; "
        f"however '{param}' cannot be unset. You should remove '{param}' from your request or supply a non-empty value."
    )
    return invalid(message, code="parameter_invalid_empty", param=param)


def _read() -> Documented:
    """The file, with what the sandbox does not do marked in it."""
    found = msgspec.json.decode(FILE.read_bytes(), type=Documented)
    for endpoint, fields in found.parameters.items():
        _mark(endpoint, fields, "")
    return found


def _mark(endpoint: str, fields: dict[str, Parameter], inside: str) -> None:
    for name, parameter in fields.items():
        path = inside + name
        parameter.undone, parameter.undone_words = undone(endpoint, path)
        if not parameter.undone:
            parameter.free = parameter.kind == "text"
            parameter.taken = parameter.words - parameter.undone_words
        _mark(endpoint, parameter.fields, f"{path}.")


STRIPE = _read()
