"""Every answer of the API that a test receives, held against the OpenAPI document.

The document leaves answers open, so that fields can be added to them. Here they are closed: a field that the document
does not name is an error of the document. So are an undocumented status, media type, header or type of problem.
"""

import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx
import jsonschema_rs
import msgspec

from service.web.openapi import description
from service.web.problem_types import PROBLEM_TYPES

DESCRIBED = ("/v1/", "/health/")
OF_THE_API = {"x-request-id", "location", "idempotent-replayed", "retry-after", "www-authenticate"}


@dataclass(frozen=True)
class Received:
    """An answer; the names of `headers` are in lower case."""

    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    body: bytes


async def check_httpx(response: httpx.Response) -> None:
    """A hook for httpx clients of the API."""
    body = await response.aread()
    request = response.request
    check(Received(request.method, request.url.path, response.status_code, dict(response.headers), body))


def check(answer: Received) -> None:
    """Return where the document tells of this answer. Raises AssertionError."""
    if not answer.path.startswith(DESCRIBED) or answer.method == "OPTIONS":
        return
    where = f"{answer.method} {answer.path} -> {answer.status}"
    operation = _operation("get" if answer.method == "HEAD" else answer.method.lower(), answer.path)
    if operation is None:
        _check_problem(answer, {"not-found", "method-not-allowed"}, where)
        return
    told = operation["responses"].get(str(answer.status))
    assert told is not None, f"{where}: this status is not documented"
    _check_headers(answer, told["headers"], where)
    if "content" not in told:
        assert not answer.body, f"{where}: a body is not documented"
        return
    media_type = answer.headers["content-type"]
    assert media_type in told["content"], f"{where}: {media_type} is not documented"
    content = told["content"][media_type]
    if answer.method == "HEAD":
        return
    if media_type == "application/problem+json":
        _check_problem(answer, set(content["examples"]), where)
    else:
        _validate(content["schema"]["$ref"], answer.body, where)


def _check_problem(answer: Received, codes: set[str], where: str) -> None:
    if answer.method == "HEAD":
        return
    _validate("#/components/schemas/ProblemBody", answer.body, where)
    body = msgspec.json.decode(answer.body)
    code = body["type"].rpartition(":")[2]
    assert code in codes, f"{where}: {code} is not documented here"
    row = PROBLEM_TYPES[code]
    assert (body["status"], body["title"]) == (row.status, row.title) == (answer.status, row.title), where


def _check_headers(answer: Received, told: Mapping[str, Any], where: str) -> None:
    known = {name.lower(): header for name, header in told.items()}
    undocumented = OF_THE_API & answer.headers.keys() - known.keys()
    assert not undocumented, f"{where}: {undocumented} not documented"
    missing = {name for name, header in known.items() if header["required"]} - answer.headers.keys()
    assert not missing, f"{where}: {missing} documented and not there"


def _validate(schema: str, body: bytes, where: str) -> None:
    errors = [f"{e.instance_path}: {e.message}" for e in validator(schema).iter_errors(msgspec.json.decode(body))]
    assert not errors, f"{where}: {errors}"


@cache
def validator(schema: str) -> jsonschema_rs.Validator:
    """For a schema of the document, closed."""
    components = deepcopy(description()["components"])
    for found in components["schemas"].values():
        if "properties" in found and not found.get("additionalProperties"):  # but what Stripe sends is Stripe's
            found["additionalProperties"] = False
    return jsonschema_rs.validator_for({"$ref": schema, "components": components}, validate_formats=True)


@cache
def _paths() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """Fixed paths before those with a parameter, which would match them too."""
    paths = description()["paths"]
    ordered = sorted(paths, key=lambda path: "{" in path)
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path) + "/?"), paths[path]) for path in ordered]


def _operation(method: str, path: str) -> dict[str, Any] | None:
    for pattern, operations in _paths():
        if pattern.fullmatch(path):
            found: dict[str, Any] | None = operations.get(method)
            return found
    return None
