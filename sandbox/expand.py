"""`expand[]`: put a whole object where its id stands. Up to four levels, as Stripe allows (`data` counts as one)."""

from typing import Any

import msgspec

from sandbox import balance
from sandbox.documented import STRIPE
from sandbox.errors import invalid, not_done
from sandbox.objects import Json, encode
from sandbox.params import Form
from sandbox.state import Sandbox
from sandbox.undone import EXPANSIONS

LEVELS_MAX = 4
# (object, property) → what stands behind the id.
BEHIND = {
    ("payment_intent", "latest_charge"): "charge",
    ("charge", "balance_transaction"): "balance_transaction",
    ("charge", "payment_intent"): "payment_intent",
    ("balance_transaction", "source"): "charge",
}
TABLES = {
    "payment_intent": "payment_intents",
    "charge": "charges",
    "balance_transaction": "balance_transactions",
}


def wanted(form: Form, kind: str, *, inside_list: bool = False) -> list[str]:
    """The checked paths for objects of `kind`; in a list they start with `data.`, which is taken off."""
    paths = form.texts("expand")
    return [_checked(path, kind, inside_list=inside_list) for path in paths]


def apply(sandbox: Sandbox, body: bytes, paths: list[str]) -> bytes:
    """The object's JSON with the objects behind `paths` put in place."""
    if not paths:
        return body
    tree = msgspec.json.decode(body)
    for path in paths:
        _expand(sandbox, tree, path.split("."))
    return encode(tree)


def _checked(path: str, kind: str, *, inside_list: bool) -> str:
    names = path.split(".")
    if len(names) > LEVELS_MAX:
        message = f"You cannot expand more than {LEVELS_MAX} levels of a property. Property: {path}"
        raise invalid(message, code="property_expansion_max_depth")
    if inside_list and names.pop(0) != "data":
        raise _cannot(path)
    return ".".join(_known(path, kind, names))


def _known(path: str, kind: str, names: list[str]) -> list[str]:
    """The names up to the one that is always null here: what would stand behind it needs no look."""
    for place, name in enumerate(names):
        rest = ".".join(names[place:])
        behind = BEHIND.get((kind, name))
        if behind is None and any(rest == at or rest.startswith(f"{at}.") for at in STRIPE.expandable[kind]):
            if name in EXPANSIONS.get(kind, ()) or "." in rest:
                raise not_done(f"`expand[]={path}`")
            return names[: place + 1]
        if behind is None:
            raise _cannot(path)
        kind = behind
    if not names:
        raise _cannot(path)
    return names


def _expand(sandbox: Sandbox, node: Json, names: list[str]) -> None:
    name, *rest = names
    value = node.get(name)
    if isinstance(value, str):
        value = node[name] = _load(sandbox, BEHIND[node["object"], name], value)
    if value is not None and rest:
        _expand(sandbox, value, rest)


def _load(sandbox: Sandbox, kind: str, object_id: str) -> Any:
    if kind == "balance_transaction":
        sql = "SELECT body, available_on FROM balance_transactions WHERE id = ?"
        body, available_on = sandbox.store.row(sql, (object_id,))
        return msgspec.json.decode(balance.render(body, available_on, sandbox.clock.now()))
    (body,) = sandbox.store.row(f"SELECT body FROM {TABLES[kind]} WHERE id = ?", (object_id,))
    return msgspec.json.decode(body)


def _cannot(path: str) -> Exception:
    return invalid(f"This property cannot be expanded ({path}).")
