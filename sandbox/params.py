"""Request parameters: Stripe's bracket notation in, checked values out.

`metadata[eo_order]=o1&payment_method_types[0]=card&expand[]=latest_charge` becomes
`{"metadata": {"eo_order": "o1"}, "payment_method_types": ["card"], "expand": ["latest_charge"]}`.
Everything is text until `Form` is asked for a typed value, and then it fails in Stripe's words.
"""

import re
from functools import lru_cache
from hashlib import sha256
from typing import Any
from urllib.parse import unquote_plus

import msgspec

from sandbox.currencies import SUPPORTED
from sandbox.errors import ApiError, invalid, missing_param, unknown_params

Params = dict[str, Any]

METADATA_KEYS_MAX = 50
METADATA_NAME_MAX = 40
METADATA_VALUE_MAX = 500
INTEGER_DIGITS_MAX = 18  # more would not fit into the books; Stripe refuses far earlier


def decode(raw: bytes) -> Params:
    """Decode a query string or a form body."""
    params: Params = {}
    try:
        for pair in raw.decode("ascii").split("&"):
            if pair:
                name, _, value = pair.partition("=")
                _place(params, _path(name), _text(value))
    except UnicodeDecodeError:
        raise invalid("Invalid URL encoding in the request.") from None
    # Metadata has the user's own names, and those may be digits.
    return {name: value if name == "metadata" else _with_lists(value) for name, value in params.items()}


def fingerprint(params: Params) -> bytes:
    """A digest that is equal for equal decoded parameters, whatever their order on the wire."""
    return sha256(msgspec.json.encode(params, order="sorted")).digest()


@lru_cache(maxsize=4096)
def _path(name: str) -> tuple[str, ...]:
    """`metadata%5Bk%5D` → `("metadata", "k")`. Cached: the same few names come with every request."""
    head, bracket, rest = _text(name).partition("[")
    if not bracket:
        return (head,)
    return (head, *rest.removesuffix("]").split("]["))


def _text(encoded: str) -> str:
    if "%" in encoded or "+" in encoded:
        return unquote_plus(encoded, errors="strict")
    return encoded


def _place(params: Params, path: tuple[str, ...], value: str) -> None:
    node = params
    for name in path[:-1]:
        node = node.setdefault(name, {})
        if not isinstance(node, dict):
            raise invalid(f"Invalid parameter: {path[0]} is both a value and a hash.", param=path[0])
    node[path[-1] or str(len(node))] = value


def _with_lists(value: Any) -> Any:
    """Turn `{"0": a, "1": b}` into `[a, b]`, at any depth."""
    if not isinstance(value, dict):
        return value
    if value and all(name.isdecimal() for name in value):
        return [_with_lists(value[name]) for name in sorted(value, key=int)]
    return {name: _with_lists(inner) for name, inner in value.items()}


class Form:
    """The parameters of one request, read by name and type. Unknown names are refused at once."""

    def __init__(self, params: Params, known: frozenset[str]) -> None:
        unknown = [name for name in params if name not in known]
        if unknown:
            raise unknown_params(unknown)
        self._params = params

    def text(self, name: str, *, longest: int = 5000) -> str | None:
        """A non-empty string, or None when the parameter was not sent."""
        value = self._params.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise invalid("Invalid string: {...}", param=name)
        if not value:
            raise _empty(name)
        if len(value) > longest:
            message = f"Invalid string: {value[:8]}…; must be at most {longest} characters"
            raise invalid(message, code="parameter_invalid_string", param=name)
        return value

    def required(self, name: str) -> str:
        """A string that must be there."""
        value = self.text(name)
        if value is None:
            raise missing_param(name)
        return value

    def choice(self, name: str, allowed: tuple[str, ...]) -> str | None:
        """One of a few words."""
        value = self.text(name)
        if value is not None and value not in allowed:
            raise invalid(f"Invalid {name}: must be one of {', '.join(allowed)}", param=name)
        return value

    def flag(self, name: str) -> bool:
        """A boolean; absent is false."""
        value = self.choice(name, ("true", "false"))
        return value == "true"

    def integer(self, name: str, *, smallest: int, largest: int | None = None) -> int | None:
        """An integer within bounds, or None when absent."""
        value = self.text(name)
        if value is None:
            return None
        number = integer(value, name)
        if number < smallest:
            raise _out_of_range(name, f"greater than or equal to {smallest}")
        if largest is not None and number > largest:
            raise _out_of_range(name, f"less than or equal to {largest}")
        return number

    def currency(self) -> str:
        """A supported currency, in lower case."""
        value = self.required("currency").lower()
        if value not in SUPPORTED:
            known = ", ".join(sorted(SUPPORTED))
            message = f"Invalid currency: {value[:8]}. Stripe currently supports these currencies: {known}"
            raise invalid(message, param="currency")
        return value

    def texts(self, name: str) -> list[str]:
        """An array of strings; absent is empty."""
        value = self._params.get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise invalid("Invalid array", param=name)
        return value

    def hash(self, name: str) -> Params | None:
        """A nested hash, or None when absent."""
        value = self._params.get(name)
        if value is not None and not isinstance(value, dict):
            raise invalid("Invalid hash", param=name)
        return value

    def metadata(self) -> dict[str, str]:
        """The user's own pairs, within Stripe's limits: 50 keys, names of 40, values of 500 characters."""
        given = self._params.get("metadata") or {}
        if not isinstance(given, dict):
            raise invalid("Invalid hash", param="metadata")
        if len(given) > METADATA_KEYS_MAX:
            message = f"Metadata can have up to {METADATA_KEYS_MAX} keys, but you passed in {len(given)}."
            raise invalid(message, param="metadata")
        for name, value in given.items():
            _check_pair(name, value)
        return {name: value for name, value in given.items() if value}


def integer(value: object, name: str) -> int:
    """Digits with an optional minus; anything else, `1.0` and `1e3` too, is refused as Stripe does."""
    text = str(value)
    if not re.fullmatch(r"-?[0-9]+", text) or len(text) > INTEGER_DIGITS_MAX:
        raise invalid(f"Invalid integer: {text[:24]}", code="parameter_invalid_integer", param=name)
    return int(text)


def _check_pair(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise invalid("Metadata values must be strings.", param=f"metadata[{name}]")
    if len(name) > METADATA_NAME_MAX:
        raise _too_long("keys", METADATA_NAME_MAX, "key", len(name))
    if len(value) > METADATA_VALUE_MAX:
        raise _too_long("values", METADATA_VALUE_MAX, "value", len(value))


def _too_long(plural: str, longest: int, noun: str, length: int) -> ApiError:
    message = f"Metadata {plural} can have up to {longest} characters, but you passed in a {noun} that is {length}."
    return invalid(message, param="metadata")


def _empty(name: str) -> ApiError:
    message = (
        f"You passed an empty string for '{name}'. We assume empty values are an attempt to unset a parameter; "
        f"however '{name}' cannot be unset. You should remove '{name}' from your request or supply a non-empty value."
    )
    return invalid(message, code="parameter_invalid_empty", param=name)


def _out_of_range(name: str, bound: str) -> ApiError:
    return invalid(f"This value must be {bound}.", code="parameter_invalid_integer", param=name)
