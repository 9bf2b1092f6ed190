"""`expand[]`: put a whole object where its id stands. Up to four levels, as Stripe allows (`data` counts as one)."""

from functools import lru_cache
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
# (object, property) → what can stand behind the id.
BEHIND = {
    ("payment_intent", "latest_charge"): ("charge",),
    ("charge", "balance_transaction"): ("balance_transaction",),
    ("charge", "payment_intent"): ("payment_intent",),
    ("charge", "refunds"): ("list of refunds",),
    ("list of refunds", "data"): ("refund",),
    ("refund", "balance_transaction"): ("balance_transaction",),
    ("refund", "charge"): ("charge",),
    ("refund", "failure_balance_transaction"): ("balance_transaction",),
    ("refund", "payment_intent"): ("payment_intent",),
    ("balance_transaction", "source"): ("charge", "refund", "dispute", "payout"),
    ("dispute", "charge"): ("charge",),
    ("dispute", "payment_intent"): ("payment_intent",),
    ("radar.early_fraud_warning", "charge"): ("charge",),
    ("radar.early_fraud_warning", "payment_intent"): ("payment_intent",),
    ("payout", "balance_transaction"): ("balance_transaction",),
    ("payout", "failure_balance_transaction"): ("balance_transaction",),
}
TABLES = {
    "pi": "payment_intents",
    "ch": "charges",
    "re": "refunds",
    "du": "disputes",
    "po": "payouts",
}
# A charge shows so many of its refunds; more are read by `GET /v1/refunds`.
REFUNDS_SHOWN = 10


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


@lru_cache(maxsize=256)
def _checked(path: str, kind: str, *, inside_list: bool) -> str:
    """The path as it is followed. Kept, because clients ask for the same few again and again; a refusal is not."""
    names = path.split(".")
    if len(names) > LEVELS_MAX:
        message = f"You cannot expand more than {LEVELS_MAX} levels of a property. Property: {path}"
        raise invalid(message, code="property_expansion_max_depth")
    if inside_list and names.pop(0) != "data":
        raise _cannot(path)
    return ".".join(_known(path, kind, names))


def _known(path: str, kind: str, names: list[str]) -> list[str]:
    """The names up to the one that is always null here: what would stand behind it needs no look."""
    kinds: tuple[str, ...] = (kind,)
    for place, name in enumerate(names):
        behind = tuple(found for kind in kinds for found in BEHIND.get((kind, name), ()))
        if not behind:
            _check_without(path, kinds, name, ".".join(names[place:]))
            return names[: place + 1]
        kinds = behind
    if not names:
        raise _cannot(path)
    return names


def _check_without(path: str, kinds: tuple[str, ...], name: str, rest: str) -> None:
    """Raise where Stripe cannot expand the property either, and where the sandbox lacks what stands behind it."""
    known = [kind for kind in kinds for at in STRIPE.expandable.get(kind, ()) if f"{rest}.".startswith(f"{at}.")]
    if not known:
        raise _cannot(path)
    if "." in rest or any(name in EXPANSIONS.get(kind, ()) for kind in known):
        raise not_done(f"`expand[]={path}`")


def _expand(sandbox: Sandbox, node: Json, names: list[str]) -> None:
    name, *rest = names
    value = node.get(name)
    if (node["object"], name) == ("charge", "refunds") and value is None:
        value = node[name] = _refunds(sandbox, node["id"])
    elif isinstance(value, str) and (node["object"], name) in BEHIND:
        value = node[name] = _load(sandbox, value)
    if rest:
        for inner in value if isinstance(value, list) else [value]:
            if inner is not None:
                _expand(sandbox, inner, rest)


def is_known(sandbox: Sandbox, object_id: str) -> bool:
    """Whether this may be the source of a balance transaction: a charge, refund, dispute or payout that is there."""
    table = TABLES.get(object_id.partition("_")[0])
    return (
        table not in (None, "payment_intents")
        and sandbox.store.row(f"SELECT 1 FROM {table} WHERE id = ?", (object_id,)) is not None
    )


def _load(sandbox: Sandbox, object_id: str) -> Any:
    prefix = object_id.partition("_")[0]
    if prefix == "txn":
        sql = "SELECT body, available_on FROM balance_transactions WHERE id = ?"
        body, available_on = sandbox.store.row(sql, (object_id,))
        return msgspec.json.decode(balance.render(body, available_on, sandbox.clock.now()))
    (body,) = sandbox.store.row(f"SELECT body FROM {TABLES[prefix]} WHERE id = ?", (object_id,))
    return msgspec.json.decode(body)


def _refunds(sandbox: Sandbox, charge_id: str) -> Json:
    """The newest refunds of a charge, as a list of its own."""
    sql = "SELECT body FROM refunds WHERE charge = ? ORDER BY created DESC, seq DESC LIMIT ?"
    found = [msgspec.json.decode(body) for (body,) in sandbox.store.rows(sql, (charge_id, REFUNDS_SHOWN + 1))]
    return {
        "object": "list",
        "data": found[:REFUNDS_SHOWN],
        "has_more": len(found) > REFUNDS_SHOWN,
        "url": f"/v1/charges/{charge_id}/refunds",
    }


def _cannot(path: str) -> Exception:
    return invalid(f"This property cannot be expanded ({path}).")
