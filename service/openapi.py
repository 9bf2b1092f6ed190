"""The description of the API (OpenAPI 3.1), made of the structs that decode and encode its bodies.

One table of operations, so that a reader sees the whole API on a page; a test holds it against the application's
routes. Handlers read and answer by hand, so a framework could only guess at this.
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec

from service import __version__
from service.idempotency import KEY_MAX
from service.money import CURRENCIES
from service.query import LIMIT_DEFAULT, LIMIT_MAX
from service.schema import ORDER_STATUSES
from service.waiting import WAIT_MAX_S
from service.wire import BatchAnswer, BatchItem, BatchRequest, Order, OrderPage, OrderRequest, ProblemBody

Json = dict[str, Any]

_STRUCTS = (OrderRequest, BatchItem, BatchRequest, Order, OrderPage, BatchAnswer, ProblemBody)
_CLOSED = ("OrderRequest", "BatchItem", "BatchRequest")

_SAMPLE_ORDER: Json = {"amount": 1999, "currency": "usd", "payment_method": "pm_card_visa"}

_KEY: Json = {
    "name": "Idempotency-Key", "in": "header", "required": True, "example": "cart-17",
    "description": f"One key, one order, for ever. 1 to {KEY_MAX} characters 0x21-0x7E, bare or as a quoted "
    "structured-field string (the same key). Keys starting with `eo1:` are reserved. Repeat a request whose outcome "
    "you do not know with the same key and body.",
    "schema": {"type": "string", "minLength": 1},
}  # fmt: skip
_PREFER: Json = {
    "name": "Prefer", "in": "header", "required": False, "example": "wait=10",
    "description": f"`wait=N` holds the answer until nothing more happens by itself, at most {WAIT_MAX_S} s.",
    "schema": {"type": "string"},
}  # fmt: skip
_REQUEST_ID: Json = {
    "name": "X-Request-Id", "in": "header", "required": False,
    "description": "Your own id for this request; it comes back on the answer.", "schema": {"type": "string"},
}  # fmt: skip
_ORDER_ID: Json = {
    "name": "order_id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"},
}  # fmt: skip


def _query(name: str, schema: Json, *, required: bool = False, text: str = "") -> Json:
    return {"name": name, "in": "query", "required": required, "description": text, "schema": schema}


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the API. `errors` come on top of those every operation has."""

    method: str
    path: str
    id: str
    summary: str
    tag: str
    answer: Json
    status: int = 200
    body: str | None = None
    parameters: tuple[Json, ...] = ()
    errors: tuple[int, ...] = ()
    headers: tuple[str, ...] = ()
    public: bool = False


def _list_of(properties: Json) -> Json:
    item = {"type": "object", "properties": properties}
    return {"type": "object", "required": ["data"], "properties": {"data": {"type": "array", "items": item}}}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


_TEXT, _NUMBER, _TIME = {"type": "string"}, {"type": "integer"}, {"type": "string", "format": "date-time"}
_BALANCE: Json = {
    **dict.fromkeys(("account", "currency", "type"), _TEXT),
    **dict.fromkeys(("debit", "credit", "balance"), _NUMBER),
}
_HEALTH: Json = {
    "type": "object",
    "required": ["status"],
    "properties": {
        "status": {"enum": ["ok", "degraded", "unavailable"]},
        "reasons": {"type": "array", "items": _TEXT},
    },
}

OPERATIONS = (
    Operation(
        "post", "/v1/orders", "createOrder", "Accept an order: 201 once it is durable", "orders", _ref("Order"), 201,
        "OrderRequest", (_KEY, _PREFER), (400, 413, 415, 422), ("Location", "Idempotent-Replayed"),
    ),
    Operation(
        "post", "/v1/orders/batch", "createOrders", "Accept up to 1,000 orders, each with its own answer", "orders",
        _ref("BatchAnswer"), 200, "BatchRequest", (), (400, 413, 415),
    ),
    Operation(
        "get", "/v1/orders", "listOrders", "List orders, newest first", "orders", _ref("OrderPage"),
        parameters=(
            _query("status", {"enum": list(ORDER_STATUSES)}),
            _query("idempotency_key", _TEXT),
            _query("limit", {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}),
            _query("cursor", _TEXT, text="`next_cursor` of the page before"),
        ),
        errors=(400,),
    ),
    Operation(
        "get", "/v1/orders/{order_id}", "getOrder", "One order, as it is now", "orders", _ref("Order"),
        parameters=(_ORDER_ID, _PREFER), errors=(404,),
    ),
    Operation(
        "get", "/v1/orders/{order_id}/timeline", "getTimeline", "What happened to an order, oldest first", "orders",
        _list_of({"at": _TIME, "event": _TEXT}), parameters=(_ORDER_ID,), errors=(404,),
    ),
    Operation(
        "get", "/v1/ledger/balances", "getBalances", "Balances per ledger account and currency", "ledger",
        _list_of(_BALANCE),
        parameters=(_query("as_of", _TIME, text="what occurred strictly before; with its offset"),), errors=(400,),
    ),
    Operation(
        "get", "/v1/ledger/entries", "getEntries", "The journal entries of an order", "ledger",
        _list_of({"reference": _TEXT, "kind": _TEXT, "occurred_at": _TIME}),
        parameters=(_query("order_id", {"type": "string", "format": "uuid"}, required=True),), errors=(400, 404),
    ),
    Operation("get", "/health/live", "live", "Whether the process runs", "health", _HEALTH, public=True),
    Operation("get", "/health/ready", "ready", "Whether orders can be accepted, paid", "health", _HEALTH, public=True),
)  # fmt: skip

_ALWAYS = (500, 503)
_WITH_KEY = (401, 429)
_TITLES = {
    400: "The request is malformed", 401: "No valid API key", 404: "No such object in this account",
    413: "The body is too large", 415: "The body is not declared as JSON",
    422: "The key was used with another body", 429: "Over the rate limit",
    500: "Something failed here; repeating with the same key is safe",
    503: "Not confirmed: repeat with the same key",
}  # fmt: skip
_HEADER_TEXTS: dict[str, tuple[str, Json]] = {
    "X-Request-Id": ("the id of this request", _TEXT),
    "Location": ("where the order is", _TEXT),
    "Idempotent-Replayed": (
        "`true` when an earlier request with this key created the order",
        {"enum": ["true"]},
    ),
    "Retry-After": ("seconds after which to try again", _NUMBER),
    "WWW-Authenticate": ("how to authenticate", _TEXT),
}


def description() -> Json:
    """The whole document."""
    paths: dict[str, Json] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "effectively-once",
            "version": __version__,
            "description": "Orders that are charged once, on a network that only promises at-least-once.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"apiKey": {"type": "http", "scheme": "bearer"}},
        },
        "tags": [{"name": name} for name in ("orders", "ledger", "health")],
    }


def _operation(operation: Operation) -> Json:
    errors = sorted({*operation.errors, *(() if operation.public else (*_WITH_KEY, *_ALWAYS))})
    found: Json = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": [*operation.parameters, _REQUEST_ID],
        "security": [] if operation.public else [{"apiKey": []}],
        "responses": {
            str(operation.status): {
                "description": HTTPStatus(operation.status).phrase,
                "headers": _headers("X-Request-Id", *operation.headers),
                "content": {"application/json": {"schema": operation.answer}},
            },
            **{str(status): _error(status) for status in errors},
        },
    }
    if operation.id == "ready":
        found["responses"]["503"] = {
            **found["responses"]["200"],
            "description": "PostgreSQL is away or not migrated",
        }
    if operation.body is not None:
        content = {"schema": _ref(operation.body), "example": _example(operation.body)}
        found["requestBody"] = {"required": True, "content": {"application/json": content}}
    return found


def _error(status: int) -> Json:
    extra = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}.get(status, ())
    return {
        "description": _TITLES[status],
        "headers": _headers("X-Request-Id", *extra),
        "content": {"application/problem+json": {"schema": _ref("ProblemBody")}},
    }


def _headers(*names: str) -> Json:
    return {name: {"description": _HEADER_TEXTS[name][0], "schema": _HEADER_TEXTS[name][1]} for name in names}


def _example(shape: str) -> Json:
    return {"orders": [{"idempotency_key": "cart-17", **_SAMPLE_ORDER}]} if shape == "BatchRequest" else _SAMPLE_ORDER


def _schemas() -> Json:
    _, schemas = msgspec.json.schema_components(_STRUCTS, ref_template="#/components/schemas/{name}")
    for name in _CLOSED:
        schemas[name]["additionalProperties"] = False
    for name in ("OrderRequest", "BatchItem"):
        schemas[name]["properties"]["currency"]["enum"] = sorted(CURRENCIES)
    # Items are decoded one by one, so that each gets its own answer.
    schemas["BatchRequest"]["properties"]["orders"]["items"] = _ref("BatchItem")
    schemas["Order"]["properties"]["status"]["enum"] = list(ORDER_STATUSES)
    return schemas
