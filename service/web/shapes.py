"""The bodies of the API as JSON Schema, made of the types that decode and encode them."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, get_args, get_type_hints, is_typeddict

import msgspec

from service.foundation.money import CURRENCIES, Currency
from service.foundation.postgres.schema import LEDGER_TYPES
from service.notices import NOTICE_TYPES
from service.orders import OrderRequest
from service.orders.model import METADATA_MAX
from service.states import DISPUTE_STATUSES, ORDER_STATUSES, PAYOUT_STATUSES, REFUND_STATUSES
from service.web.operation import Json, ListOf, Operation, ref
from service.web.problem_types import PROBLEM_TYPES, ProblemBody


def schemas(operations: Iterable[Operation]) -> dict[str, Json]:
    """Every schema that the bodies of these operations need, by its name."""
    bodies = [operation.body for operation in operations if operation.body is not None]
    shapes = [answer.shape for operation in operations for answer in operation.answers.values() if answer is not None]
    lists = {shape.name: shape.item for shape in shapes if isinstance(shape, ListOf)}
    requests = _named(kind for body in bodies for kind in (body.shape, body.items))
    answers = _named([*(shape.item if isinstance(shape, ListOf) else shape for shape in shapes), ProblemBody])
    _, found = msgspec.json.schema_components([*requests, *answers], ref_template=ref("{name}")["$ref"])
    for schema in found.values():
        _without_defaults(schema)
    for kind in requests:
        found[kind.__name__]["additionalProperties"] = not _is_closed(kind)
        if issubclass(kind, OrderRequest):
            _as_the_currencies_have_it(found[kind.__name__])
    for body in bodies:
        if body.items is not None:
            _undecoded(found[body.shape.__name__])["items"] = ref(body.items.__name__)
    for kind in answers:
        if issubclass(kind, msgspec.Struct) and not kind.__struct_config__.omit_defaults:  # all fields are encoded
            found[kind.__name__]["required"] = list(found[kind.__name__]["properties"])
    for name, item in lists.items():
        data = {"type": "array", "items": ref(item.__name__)}
        found[name] = {"title": name, "type": "object", "required": ["data"], "properties": {"data": data}}
    _name_the_words(found)
    return found


def _is_closed(kind: type) -> bool:
    """Whether a field that the shape does not name is refused: in all that producers send."""
    return is_typeddict(kind) or (issubclass(kind, msgspec.Struct) and kind.__struct_config__.forbid_unknown_fields)


def _named(kinds: Iterable[Any]) -> list[type]:
    """The structs and typed dictionaries among these types, and inside of them."""
    return list(dict.fromkeys(found for kind in kinds for found in _inside(kind)))


def _inside(kind: Any) -> Iterator[type]:
    if is_typeddict(kind) or (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        yield kind
        for field in get_type_hints(kind).values():
            yield from _inside(field)
    for argument in get_args(kind):
        yield from _inside(argument)


def _undecoded(schema: Json) -> Json:
    """The field whose items are decoded one by one, so that each gets its own answer."""
    return next(field for field in schema["properties"].values() if field.get("items") == {})


def _without_defaults(schema: Json) -> None:
    """Take defaults out: generated clients send such a field, or count on it in an answer that leaves it out."""
    for field in schema["properties"].values():
        field.pop("default", None)


def _name_the_words(found: dict[str, Json]) -> None:
    """Give closed lists of words a schema of their own, so that a generated client has one type for each."""
    found["OrderStatus"] = {"title": "OrderStatus", "type": "string", "enum": list(ORDER_STATUSES)}
    found["Currency"] = {
        "title": "Currency",
        "type": "string",
        "enum": sorted(CURRENCIES),
        "description": "lower-case ISO code",
    }
    found["RefundStatus"] = {"title": "RefundStatus", "type": "string", "enum": list(REFUND_STATUSES)}
    found["NoticeType"] = {"title": "NoticeType", "type": "string", "enum": list(NOTICE_TYPES)}
    found["WebhookEndpointRequest"]["properties"]["events"]["items"] = ref("NoticeType")
    found["WebhookEndpoint"]["properties"]["events"]["items"] = ref("NoticeType")
    found["DisputeStatus"] = {"title": "DisputeStatus", "type": "string", "enum": list(DISPUTE_STATUSES)}
    found["PayoutStatus"] = {"title": "PayoutStatus", "type": "string", "enum": list(PAYOUT_STATUSES)}
    found["Order"]["properties"]["status"] = ref("OrderStatus")
    found["Refund"]["properties"]["status"] = ref("RefundStatus")
    found["Dispute"]["properties"]["status"] = ref("DisputeStatus")
    found["Payout"]["properties"]["status"] = ref("PayoutStatus")
    found["Balance"]["properties"]["type"]["enum"] = list(LEDGER_TYPES)
    found["ProblemBody"]["properties"]["type"]["enum"] = [row.uri for row in PROBLEM_TYPES.values()]


def _as_the_currencies_have_it(schema: Json) -> None:
    """Bound `amount` by its currency, with one branch for all currencies of the same rule."""
    properties = schema["properties"]
    properties["currency"] = ref("Currency")
    # A repeat of an order of before 0.2 may have more metadata; new clients are told the bound for new orders.
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
