"""Requests made from the SDK's types: a valid value for each parameter, and the place of each hash."""

from collections.abc import Iterator
from typing import Any

Tree = dict[str, Any]

# Values that are not just any text.
VALUES = {
    "allowed_payment_method_types[0]": "card",
    "amount": 2000,
    "amount_to_capture": 2000,
    "amount_to_confirm": 2000,
    "confirm": True,
    "currency": "usd",
    "customer": "cus_1",
    "excluded_payment_method_types[0]": "klarna",
    "limit": 1,
    "payment_method": "pm_card_visa",
    "receipt_email": "someone@shop.example",
    "return_url": "https://shop.example/back",
    "type": "charge",
    "url": "https://shop.example/hooks",
    "webhook_endpoint[url]": "https://shop.example/hooks",
}


def values(path: str, parameter: Tree) -> Iterator[tuple[str, Any]]:
    """Valid values for the parameter at `path`: one for each word or parameter inside it."""
    what = parameter["kind"]
    if what == "hash":
        yield from _hash_values(path, parameter)
        if "integer" in parameter:
            yield path, 1
    elif what == "list":
        for inner, value in values(f"{path}[0]", parameter["item"]):
            yield inner, [value]
    elif what == "map":
        yield path, {"a": "b"}
    elif path in VALUES:
        yield path, VALUES[path]
    elif what == "word":
        for word in parameter["words"]:
            yield path, word
    else:
        yield path, 1 if what == "integer" else "text"
    if "unset" in parameter:
        yield path, ""


def _hash_values(path: str, parameter: Tree) -> Iterator[tuple[str, Any]]:
    needed = {
        name: _one(f"{path}[{name}]", inner) for name, inner in parameter["fields"].items() if "required" in inner
    }
    for name, inner in parameter["fields"].items():
        for deeper, value in values(f"{path}[{name}]", inner):
            yield deeper, needed | {name: value}
    if not parameter["fields"]:
        yield f"{path}[none]", {}


def _one(path: str, parameter: Tree) -> Any:
    return next((value for _, value in values(path, parameter)), {})


def hashes(fields: Tree, inside: str = "") -> Iterator[str]:
    """The path of every hash, and of the hashes inside its lists."""
    for name, parameter in fields.items():
        path = f"{inside}[{name}]" if inside else name
        is_list = parameter["kind"] == "list"
        path, inner = (f"{path}[0]", parameter["item"]) if is_list else (path, parameter)
        if inner["kind"] == "hash":
            yield path
            yield from hashes(inner["fields"], path)


def kind_of(fields: Tree, path: str) -> str:
    """What kind of parameter the types have at `path`."""
    parameter: Tree = {"kind": "hash", "fields": fields}
    for name in path.replace("]", "").split("["):
        parameter = parameter["item"] if name == "0" else parameter.get("fields", {}).get(name, {"kind": "none"})
    return str(parameter["kind"])


def put(params: Tree, path: str, value: Any) -> Tree:
    """The parameters with `value` at `path`."""
    node: Any = params
    *outer, last = path.replace("]", "").split("[")
    for name in outer:
        node = node[int(name)] if isinstance(node, list) else node.setdefault(name, {})
    node[int(last) if isinstance(node, list) else last] = value
    return params
