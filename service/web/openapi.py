"""The description of the API (OpenAPI 3.1), made of `service.web.routes.OPERATIONS`.

Handlers read and answer by hand, so a framework could only guess at their bodies.
"""

from collections.abc import Mapping
from http import HTTPStatus
from itertools import groupby

from service import __version__
from service.web import examples
from service.web.operation import Answer, Json, Operation, Parameter, name_of, ref
from service.web.problem_types import PROBLEM_TYPES, ProblemType
from service.web.routes import OPERATIONS
from service.web.shapes import schemas

_TEXT, _NUMBER = {"type": "string"}, {"type": "integer"}
_REQUEST_ID = Parameter(
    "X-Request-Id", _TEXT, "header", text="Your own id for this request; it comes back on the answer."
)

# What every operation can answer with: before it is routed, with a query, with a body, and behind a key.
_TRANSPORT = ("bad-request", "request-timeout", "headers-too-large", "unavailable")
_WITH_QUERY = ("query-invalid",)
_WITH_BODY = (
    "body-not-json",
    "body-repeats-a-name",
    "body-invalid",
    "content-too-large",
    "unsupported-media-type",
)
_WITH_KEY = ("unauthorized", "insufficient-scope", "rate-limited", "internal-error")
_ON_PROBLEMS = {401: ("WWW-Authenticate",), 403: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}
_MAYBE = ("Idempotent-Replayed",)  # every other header that is named is always there
_HEADER_TEXTS: dict[str, tuple[str, Json]] = {
    "X-Request-Id": ("the id of this request", _TEXT),
    "Location": ("where that is which was made", {"type": "string", "format": "uri-reference"}),
    "Idempotent-Replayed": (
        "`true` when an earlier request with this key asked for the same",
        {"type": "string", "enum": ["true"]},
    ),
    "Retry-After": ("seconds after which to try again", _NUMBER),
    "Cache-Control": ("`no-store`: it is to be kept nowhere", {"type": "string", "enum": ["no-store"]}),
    "WWW-Authenticate": ("how to authenticate, and with which scope", _TEXT),
}


def description() -> Json:
    """The whole document."""
    paths: dict[str, Json] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
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
            "schemas": schemas(OPERATIONS),
            "securitySchemes": {"apiKey": {"type": "http", "scheme": "bearer"}},
        },
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in OPERATIONS)],
    }


def _operation(operation: Operation) -> Json:
    found: Json = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": [parameter.as_json() for parameter in (*operation.parameters, _REQUEST_ID)],
        "security": [] if operation.scope is None else [{"apiKey": [operation.scope]}],
        "responses": _responses(operation),
    }
    if operation.body is not None:
        content = {"schema": ref(name_of(operation.body.shape)), "example": operation.body.example}
        found["requestBody"] = {"required": True, "content": {"application/json": content}}
    return found


def _responses(operation: Operation) -> dict[str, Json]:
    """By status. One that is both an answer and a problem has a content of each media type."""
    found = {str(status): _answer(status, answer, operation.headers) for status, answer in operation.answers.items()}
    for status, problem in _problems(operation).items():
        if status in found:
            found[status]["content"] |= problem["content"]
        else:
            found[status] = problem
    return found


def _answer(status: int, answer: Answer | None, headers: tuple[str, ...]) -> Json:
    found: Json = {"description": HTTPStatus(status).phrase, "headers": _headers("X-Request-Id", *headers)}
    if answer is not None:
        content = {"schema": ref(name_of(answer.shape)), "examples": _examples(answer.examples)}
        found["content"] = {"application/json": content}
    return found


def _problems(operation: Operation) -> dict[str, Json]:
    """An answer per status, with an example per type of problem that it may be."""
    codes = (
        *_TRANSPORT,
        *(_WITH_QUERY if operation.has_query else ()),
        *(_WITH_BODY if operation.body is not None and not operation.signed else ()),
        *operation.problems,
        *(_WITH_KEY if operation.is_keyed else ()),
    )
    types = sorted((PROBLEM_TYPES[code] for code in codes), key=lambda row: row.status)
    return {str(status): _problem(status, list(rows)) for status, rows in groupby(types, lambda row: row.status)}


def _problem(status: int, rows: list[ProblemType]) -> Json:
    content = {"schema": ref("ProblemBody"), "examples": _examples({r.code: examples.problem(r.code) for r in rows})}
    return {
        "description": " ".join(row.meaning for row in rows),
        "headers": _headers("X-Request-Id", *_ON_PROBLEMS.get(status, ())),
        "content": {"application/problem+json": content},
    }


def _examples(named: Mapping[str, Json]) -> Json:
    return {name: {"value": value} for name, value in named.items()}


def _headers(*names: str) -> Json:
    return {
        name: {"description": _HEADER_TEXTS[name][0], "required": name not in _MAYBE, "schema": _HEADER_TEXTS[name][1]}
        for name in names
    }
