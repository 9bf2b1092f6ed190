"""Request parameters: Stripe's bracket notation in, checked values out.

`metadata[eo_order]=o1&payment_method_types[0]=card&expand[]=latest_charge` becomes
`{"metadata": {"eo_order": "o1"}, "payment_method_types": ["card"], "expand": ["latest_charge"]}`.
Everything is text until `Form` is asked for a typed value, and then it fails in Stripe's words.
"""

from functools import lru_cache
from hashlib import sha256
from typing import Any
from urllib.parse import unquote_plus

import msgspec

from sandbox.currencies import SUPPORTED
from sandbox.documented import TEXT_LONGEST, too_long
from sandbox.errors import ApiError, invalid, missing_param, unknown_params

Params = dict[str, Any]

METADATA_KEYS_MAX = 50
METADATA_NAME_MAX = 40
METADATA_VALUE_MAX = 500
# Stripe documents eight levels at most, so what lies deeper is an unknown parameter whatever its name.
LEVELS_MAX = 32
PLACE_DIGITS_MAX = 9  # of a place in a list


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


def decode_json(raw: bytes) -> Params:
    """Decode a JSON body of Stripe's second API into the texts that a form would have; null is left out.

    In metadata null takes a pair away, which a form says by an empty value.
    """
    try:
        params = msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        raise invalid("Invalid JSON in the request body.") from None
    return {
        name: {k: "" if v is None else v for k, v in value.items()}
        if name == "metadata" and isinstance(value, dict)
        else _as_text(value)
        for name, value in params.items()
        if value is not None
    }


def fingerprint(params: Params) -> bytes:
    """A digest that is equal for equal decoded parameters, whatever their order on the wire."""
    return sha256(msgspec.json.encode(params, order="sorted")).digest()


@lru_cache(maxsize=4096)
def _path(name: str) -> tuple[str, ...]:
    """`metadata%5Bk%5D` → `("metadata", "k")`. Cached: the same few names come with every request."""
    head, bracket, rest = _text(name).partition("[")
    if not bracket:
        return (head,)
    path = (head, *rest.removesuffix("]").split("]["))
    if len(path) > LEVELS_MAX:
        raise unknown_params([f"{head}[{path[1]}]…"])
    return path


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
    if value and all(name.isdecimal() and len(name) <= PLACE_DIGITS_MAX for name in value):
        return [_with_lists(value[name]) for name in sorted(value, key=int)]
    return {name: _with_lists(inner) for name, inner in value.items()}


def _as_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_text(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_as_text(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else value if isinstance(value, str) else str(value)


class Form:
    """The parameters of one request, read by name and type; `documented.check` has been there before."""

    def __init__(self, params: Params) -> None:
        self._params = params

    def __contains__(self, name: str) -> bool:
        return name in self._params

    def text(self, name: str, *, longest: int = TEXT_LONGEST) -> str | None:
        """A text, or None when the parameter was not sent."""
        value: str | None = self._params.get(name)
        if value is not None and len(value) > longest:
            raise too_long(value, longest, name)
        return value

    def required(self, name: str) -> str:
        """A text that must be there."""
        value = self.text(name)
        if value is None:
            raise missing_param(name)
        return value

    def flag(self, name: str) -> bool:
        """A boolean; absent is false."""
        return bool(self._params.get(name, "false") != "false")

    def integer(self, name: str, *, smallest: int, largest: int | None = None) -> int | None:
        """An integer within bounds, or None when absent."""
        value = self.text(name)
        if value is None:
            return None
        number = int(value)
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

    def texts(self, name: str, *, most: int | None = None) -> list[str]:
        """An array of texts; absent is empty."""
        value: list[str] = self._params.get(name, [])
        if most is not None and len(value) > most:
            raise invalid(f"Array {name} exceeded maximum {most} allowed elements.", param=name)
        return value

    def hash(self, name: str) -> Params | None:
        """A nested hash, or None when absent."""
        value: Params | None = self._params.get(name)
        return value

    def metadata(self) -> dict[str, str]:
        """The user's own pairs, within Stripe's limits: 50 keys, names of 40, values of 500 characters."""
        given = self._params.get("metadata") or {}
        if len(given) > METADATA_KEYS_MAX:
            message = f"Metadata can have up to {METADATA_KEYS_MAX} keys, but you passed in {len(given)}."
            raise invalid(message, param="metadata")
        for name, value in given.items():
            _check_pair(name, value)
        return {name: value for name, value in given.items() if value}

    def merged_metadata(self, present: dict[str, str]) -> dict[str, str]:
        """What an update makes of the present pairs: an empty value takes a pair away, an empty hash takes all."""
        given = self._params["metadata"]
        kept = {} if given == "" else {name: value for name, value in present.items() if name not in given}
        return kept | self.metadata()


def _check_pair(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise invalid("Metadata values must be strings.", param=f"metadata[{name}]")
    if "[" in name or "]" in name:
        raise invalid(f"Metadata keys can't use square brackets ([ and ]): {name}", param="metadata")
    if len(name) > METADATA_NAME_MAX:
        raise _too_long("keys", METADATA_NAME_MAX, "key", len(name))
    if len(value) > METADATA_VALUE_MAX:
        raise _too_long("values", METADATA_VALUE_MAX, "value", len(value))


def _too_long(plural: str, longest: int, noun: str, length: int) -> ApiError:
    message = f"Metadata {plural} can have up to {longest} characters, but you passed in a {noun} that is {length}."
    return invalid(message, param="metadata")


def _out_of_range(name: str, bound: str) -> ApiError:
    return invalid(f"This value must be {bound}.", code="parameter_invalid_integer", param=name)
