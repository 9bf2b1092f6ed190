"""The bodies of the API as JSON Schema, made of the types that decode and encode them."""

from itertools import groupby
from typing import Any

import msgspec

from service.foundation.money import CURRENCIES, Currency
from service.foundation.postgres.schema import LEDGER_TYPES
from service.ledger import Balance, Entry
from service.orders.model import METADATA_MAX, Failure, Order, OrderPage, OrderRequest
from service.orders.timeline import Event
from service.states import ORDER_STATUSES
from service.web.body import BatchAnswer, BatchItem, BatchRequest, BatchResult, ProblemBody
from service.web.health import Liveness, Readiness
from service.web.problem_types import PROBLEM_TYPES

Json = dict[str, Any]

_REQUESTS = (OrderRequest, BatchItem, BatchRequest)
_STRUCTS = (Order, Failure, OrderPage, BatchAnswer, BatchResult, ProblemBody, Liveness, Readiness)
_DICTS = (Balance, Entry, Event)
_LISTS = {"Timeline": "Event", "Balances": "Balance", "Entries": "Entry"}
_ORDERS = ("OrderRequest", "BatchItem")


def ref(name: str) -> Json:
    """A schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def schemas() -> dict[str, Json]:
    """Every schema by its name."""
    _, found = msgspec.json.schema_components(
        (*_REQUESTS, *_STRUCTS, *_DICTS), ref_template="#/components/schemas/{name}"
    )
    for schema in found.values():
        _without_defaults(schema)
    for struct in _STRUCTS:
        if not struct.__struct_config__.omit_defaults:  # encoded whole, also where a field has a default
            found[struct.__name__]["required"] = list(found[struct.__name__]["properties"])
    for name in (shape.__name__ for shape in _REQUESTS):
        found[name]["additionalProperties"] = False
    for name in _ORDERS:
        _as_the_currencies_have_it(found[name])
    # Items are decoded one by one, so that each gets its own answer.
    found["BatchRequest"]["properties"]["orders"]["items"] = ref("BatchItem")
    for name, item in _LISTS.items():
        data = {"type": "array", "items": ref(item)}
        found[name] = {"title": name, "type": "object", "required": ["data"], "properties": {"data": data}}
    _name_the_words(found)
    return found


def _without_defaults(schema: Json) -> None:
    """A default makes generated clients send the field, or count on it in an answer that leaves it out."""
    for field in schema["properties"].values():
        field.pop("default", None)


def _name_the_words(found: dict[str, Json]) -> None:
    """Words that several bodies share are a schema of their own, so that a generated client has one type for them."""
    found["OrderStatus"] = {"title": "OrderStatus", "type": "string", "enum": list(ORDER_STATUSES)}
    found["Currency"] = {
        "title": "Currency", "type": "string", "enum": sorted(CURRENCIES), "description": "lower-case ISO code"
    }  # fmt: skip
    found["Order"]["properties"]["status"] = ref("OrderStatus")
    found["Balance"]["properties"]["type"]["enum"] = list(LEDGER_TYPES)
    found["ProblemBody"]["properties"]["type"]["enum"] = [row.uri for row in PROBLEM_TYPES.values()]


def _as_the_currencies_have_it(schema: Json) -> None:
    """`amount` has the bounds of its currency: one branch for all currencies with the same rule."""
    properties = schema["properties"]
    properties["currency"] = ref("Currency")
    # A repeat of an order of before 0.2 may have more, which is not for new clients to know.
    properties["metadata"] = {**properties["metadata"], "maxProperties": METADATA_MAX}
    by_rule = groupby(sorted(CURRENCIES.values(), key=_rule), _rule)
    schema["allOf"] = [{"anyOf": [_branch(list(alike)) for _, alike in by_rule]}]


def _rule(currency: Currency) -> tuple[int, int, int]:
    return currency.minimum, currency.maximum, currency.step


def _branch(alike: list[Currency]) -> Json:
    minimum, maximum, step = _rule(alike[0])
    amount: Json = {"type": "integer", "minimum": minimum, "maximum": maximum}
    if step > 1:
        amount["multipleOf"] = step
    return {"properties": {"currency": {"enum": [currency.code for currency in alike]}, "amount": amount}}
