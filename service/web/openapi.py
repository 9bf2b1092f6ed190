"""The description of the API (OpenAPI 3.1), made of the structs that decode and encode its bodies.

One table of operations, so that a reader sees the whole API on a page; a test holds it against the application's
routes. Handlers read and answer by hand, so a framework could only guess at this.
"""

from dataclasses import dataclass
from http import HTTPStatus
from itertools import groupby
from typing import Any

from service import __version__
from service.orders.keys import KEY_MAX
from service.web import examples
from service.web.problem_types import PROBLEM_TYPES, ProblemType
from service.web.query import LIMIT_DEFAULT, LIMIT_MAX
from service.web.shapes import ref, schemas
from service.web.waiting import WAIT_MAX_S

Json = dict[str, Any]

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
class Body:
    """What a request bears: the name of its schema, and an example."""

    shape: str
    example: Json


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered: the name of its schema, and examples by their name."""

    shape: str
    examples: dict[str, Json]


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the API. `problems` come on top of those that every operation with a key has."""

    method: str
    path: str
    id: str
    summary: str
    tag: str
    answers: dict[str, Answer]
    body: Body | None = None
    parameters: tuple[Json, ...] = ()
    problems: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    public: bool = False


_TEXT, _NUMBER, _TIME = {"type": "string"}, {"type": "integer"}, {"type": "string", "format": "date-time"}

_BODY = ("body-not-json", "body-repeats-a-name", "body-invalid")
_UNREADABLE = ("content-too-large", "unsupported-media-type")
_KEYS = ("idempotency-key-malformed", "idempotency-key-reserved")
_ORDER = (
    "idempotency-key-missing", *_KEYS, "currency-unknown", "amount-invalid", "amount-out-of-range",
    "amount-not-a-multiple", "string-invalid", "card-data-rejected", "idempotency-key-reused", "not-confirmed",
)  # fmt: skip

OPERATIONS = (
    Operation(
        "post", "/v1/orders", "createOrder", "Accept an order: 201 once it is durable", "orders",
        {"201": Answer("Order", {"accepted": examples.PENDING, "a replay, or after a wait": examples.PAID})},
        Body("OrderRequest", examples.ORDER_REQUEST), (_KEY, _PREFER), (*_BODY, *_UNREADABLE, *_ORDER),
        ("Location", "Idempotent-Replayed"),
    ),
    Operation(
        "post", "/v1/orders/batch", "createOrders", "Accept up to 1,000 orders, each with its own answer", "orders",
        {"200": Answer("BatchAnswer", {"one accepted, one refused": examples.BATCH_ANSWER})},
        Body("BatchRequest", examples.BATCH_REQUEST), problems=(*_BODY, *_UNREADABLE),
    ),
    Operation(
        "get", "/v1/orders", "listOrders", "List orders, newest first", "orders",
        {"200": Answer("OrderPage", {"a page": examples.PAGE})},
        parameters=(
            _query("status", ref("OrderStatus")),
            _query("idempotency_key", _TEXT, text="spelt as in the header"),
            _query("limit", {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}),
            _query("cursor", _TEXT, text="`next_cursor` of the page before"),
        ),
        problems=("query-invalid", *_KEYS),
    ),
    Operation(
        "get", "/v1/orders/{order_id}", "getOrder", "One order, as it is now", "orders",
        {"200": Answer("Order", {"paid": examples.PAID, "declined": examples.FAILED})},
        parameters=(_ORDER_ID, _PREFER), problems=("not-found",),
    ),
    Operation(
        "get", "/v1/orders/{order_id}/timeline", "getTimeline", "What happened to an order, oldest first", "orders",
        {"200": Answer("Timeline", {"paid": examples.TIMELINE})},
        parameters=(_ORDER_ID,), problems=("not-found",),
    ),
    Operation(
        "get", "/v1/ledger/balances", "getBalances", "Balances per ledger account and currency", "ledger",
        {"200": Answer("Balances", {"one order and its fee": examples.BALANCES})},
        parameters=(_query("as_of", _TIME, text="what occurred strictly before; with its offset"),),
        problems=("query-invalid",),
    ),
    Operation(
        "get", "/v1/ledger/entries", "getEntries", "The journal entries of an order", "ledger",
        {"200": Answer("Entries", {"one charge": examples.ENTRIES})},
        parameters=(_query("order_id", {"type": "string", "format": "uuid"}, required=True),),
        problems=("query-invalid", "not-found"),
    ),
    Operation(
        "get", "/health/live", "live", "Whether the process runs", "health",
        {"200": Answer("Liveness", {"it runs": examples.LIVE})}, public=True,
    ),
    Operation(
        "get", "/health/ready", "ready", "Whether orders can be accepted, and paid", "health",
        {
            "200": Answer("Readiness", {"ok": examples.READY, "accepted, paid later": examples.DEGRADED}),
            "503": Answer("Readiness", {"no order can be accepted": examples.UNAVAILABLE}),
        },
        public=True,
    ),
)  # fmt: skip

_TRANSPORT = ("bad-request", "request-timeout", "headers-too-large", "unavailable")  # before any handler is asked
_ALWAYS = ("unauthorized", "rate-limited", "internal-error")
_ON_PROBLEMS = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}
_MAYBE = ("Idempotent-Replayed",)  # every other header that is named is always there
_HEADER_TEXTS: dict[str, tuple[str, Json]] = {
    "X-Request-Id": ("the id of this request", _TEXT),
    "Location": ("where the order is", {"type": "string", "format": "uri-reference"}),
    "Idempotent-Replayed": (
        "`true` when an earlier request with this key created the order",
        {"type": "string", "enum": ["true"]},
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
            "schemas": schemas(),
            "securitySchemes": {"apiKey": {"type": "http", "scheme": "bearer"}},
        },
        "tags": [{"name": name} for name in ("orders", "ledger", "health")],
    }


def _operation(operation: Operation) -> Json:
    found: Json = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": [*operation.parameters, _REQUEST_ID],
        "security": [] if operation.public else [{"apiKey": []}],
        "responses": _responses(operation),
    }
    if operation.body is not None:
        content = {"schema": ref(operation.body.shape), "example": operation.body.example}
        found["requestBody"] = {"required": True, "content": {"application/json": content}}
    return found


def _responses(operation: Operation) -> dict[str, Json]:
    """A status may be an answer and a problem: then it has a content of each media type."""
    found = {status: _answer(status, answer, operation.headers) for status, answer in operation.answers.items()}
    for status, problem in _problems(operation).items():
        if status in found:
            found[status]["content"] |= problem["content"]
        else:
            found[status] = problem
    return found


def _answer(status: str, answer: Answer, headers: tuple[str, ...]) -> Json:
    content = {"schema": ref(answer.shape), "examples": _examples(answer.examples)}
    return {
        "description": HTTPStatus(int(status)).phrase,
        "headers": _headers("X-Request-Id", *headers),
        "content": {"application/json": content},
    }


def _problems(operation: Operation) -> dict[str, Json]:
    """An answer per status, with an example per type of problem that it may be."""
    codes = (*_TRANSPORT, *operation.problems, *(() if operation.public else _ALWAYS))
    types = sorted((PROBLEM_TYPES[code] for code in codes), key=lambda row: row.status)
    return {str(status): _problem(status, list(rows)) for status, rows in groupby(types, lambda row: row.status)}


def _problem(status: int, rows: list[ProblemType]) -> Json:
    content = {"schema": ref("ProblemBody"), "examples": _examples({r.code: examples.problem(r.code) for r in rows})}
    return {
        "description": " ".join(row.meaning for row in rows),
        "headers": _headers("X-Request-Id", *_ON_PROBLEMS.get(status, ())),
        "content": {"application/problem+json": content},
    }


def _examples(named: dict[str, Json]) -> Json:
    return {name: {"value": value} for name, value in named.items()}


def _headers(*names: str) -> Json:
    return {
        name: {"description": _HEADER_TEXTS[name][0], "required": name not in _MAYBE, "schema": _HEADER_TEXTS[name][1]}
        for name in names
    }
