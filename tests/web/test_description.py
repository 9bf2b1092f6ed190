"""The OpenAPI document says what the API does: its examples fit it, its bounds are the currencies', its words are all.

That every answer fits it is held wherever a test asks the API (`tests/described.py`).
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from service.foundation.errors import BadRequest, Problem
from service.foundation.money import CURRENCIES, validate
from service.web import front, problems
from service.web.examples import ORDER_REQUEST, PAID
from service.web.openapi import description
from service.web.problem_types import PROBLEM_TYPES, TYPE_BASE
from tests.described import Received, check, validator

ROOT = Path(__file__).parents[2]
DOCUMENT = description()
HEADERS = {"content-type": "application/json", "x-request-id": "req_1"}


def contents() -> Iterator[tuple[str, str, Any]]:
    """(where, its schema, the example) of every request and every answer."""
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            for about in (operation.get("requestBody"), *operation["responses"].values()):
                for content in (about or {}).get("content", {}).values():
                    named = content.get("examples", {"": {"value": content.get("example")}})
                    for name, example in named.items():
                        yield f"{method} {path} {name}", content["schema"]["$ref"], example["value"]


def test_every_body_has_an_example_that_fits_its_own_schema() -> None:
    asked = list(contents())
    assert len(asked) > 60
    for where, schema, example in asked:
        assert example is not None, where
        errors_of_it = [e.message for e in validator(schema).iter_errors(example)]
        assert not errors_of_it, f"{where}: {errors_of_it}"


def test_the_document_is_one_that_openapi_allows() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)
    ids = [operation["operationId"] for operations in DOCUMENT["paths"].values() for operation in operations.values()]
    assert len(ids) == len(set(ids))


def test_ids_and_times_say_that_they_are() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for schema in schemas.values():
        for name, field in schema.get("properties", {}).items():
            if name.endswith("_at") or name == "at":
                assert field["format"] == "date-time", name
            if name in ("id", "order_id", "account_id"):
                text = msgspec.json.encode(field).decode()
                assert '"uuid"' in text or "Stripe's id" in text, name
    assert "default" not in msgspec.json.encode(schemas).decode()


def test_what_is_always_answered_is_required() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for name in (
        "Order",
        "OrderPage",
        "Refund",
        "RefundPage",
        "RefundFailure",
        "Action",
        "Balance",
        "Entry",
        "Leg",
        "Failure",
        "ProblemBody",
        "Readiness",
        "Liveness",
    ):
        assert set(schemas[name]["required"]) == set(schemas[name]["properties"]), name


@pytest.mark.parametrize("change", [{"surprise": 1}, {"id": "17"}, {"created_at": "yesterday"}, {"status": "done"}])
def test_an_answer_that_the_document_does_not_describe_is_red(change: dict[str, Any]) -> None:
    order = {**PAID, **change}
    with pytest.raises(AssertionError):
        check(Received("GET", f"/v1/orders/{PAID['id']}", 200, HEADERS, msgspec.json.encode(order)))


def test_a_status_a_header_and_a_problem_that_the_document_does_not_name_are_red() -> None:
    path, body = f"/v1/orders/{PAID['id']}", msgspec.json.encode(PAID)
    check(Received("GET", path, 200, HEADERS, body))
    for received in (
        Received("GET", path, 202, HEADERS, body),
        Received("GET", path, 200, HEADERS | {"retry-after": "1"}, body),
        Received("GET", path, 200, {"content-type": "application/json"}, body),
    ):
        with pytest.raises(AssertionError):
            check(received)


def test_amounts_have_the_bounds_of_their_currency() -> None:
    schema = validator("#/components/schemas/OrderRequest")
    for code, rules in CURRENCIES.items():
        for amount in (
            rules.minimum - rules.step, rules.minimum, rules.minimum + 1, rules.maximum, rules.maximum + rules.step
        ):  # fmt: skip
            try:
                validate(amount, code)
                accepted = True
            except BadRequest:
                accepted = False
            assert schema.is_valid({**ORDER_REQUEST, "currency": code, "amount": amount}) == accepted, (code, amount)


TITLES = {
    400: "Bad request", 404: "Not found", 405: "Method not allowed", 408: "Request timeout", 413: "Content too large",
    431: "Header fields too large", 503: "Unavailable",
}  # fmt: skip
STATUSES = {
    "BadRequest": (400, "Bad request"),
    "Unauthorized": (401, "Unauthorized"),
    "WrongKey": (401, "Unauthorized"),
    "Forbidden": (403, "Insufficient scope"),
    "NotFound": (404, "Not found"),
    "UnsupportedMediaType": (415, "Unsupported media type"),
    "Conflict": (409, "Conflict"),
    "UnprocessableKey": (422, "Idempotency key reused"),
    "TooManyRequests": (429, "Too many requests"),
    "NotConfirmed": (503, "Not confirmed"),
    "NotStripes": (400, "Bad request"),
    "StripeSilent": (503, "Unavailable"),
    "Unreachable": (503, "Unavailable"),
}
OF_COMMANDS = {"name-invalid"}  # a name is typed at a terminal; no request has one


def raised() -> set[str]:
    """The types of problem that the code can answer with."""
    found = {kind.code for kind in _subclasses(Problem)} | {Problem.code}
    found |= {code for code, _ in (*problems._FRAMEWORK.values(), *front._REFUSALS.values())}
    for file in sorted((ROOT / "service").rglob("*.py")):
        found |= set(re.findall(r'\bcode="([a-z-]+)"', file.read_text()))
    return found - OF_COMMANDS


def _subclasses(kind: type[Problem]) -> Iterator[type[Problem]]:
    for below in kind.__subclasses__():
        if below.__module__.startswith("service."):
            yield below
            yield from _subclasses(below)


def test_every_problem_that_the_code_raises_is_in_the_table_and_no_other() -> None:
    assert raised() == set(PROBLEM_TYPES)
    for kind in _subclasses(Problem):
        answered = problems.body_of(kind("in words"), "req_1")
        assert (answered.status, answered.title) == STATUSES[kind.__name__], kind
    for refusals in (problems._FRAMEWORK, front._REFUSALS):
        for status, (code, _) in refusals.items():
            assert (PROBLEM_TYPES[code].status, PROBLEM_TYPES[code].title) == (status, TITLES[status])
    named = {row.uri for row in PROBLEM_TYPES.values()}
    assert all(uri.startswith(TYPE_BASE) for uri in named)
    assert set(DOCUMENT["components"]["schemas"]["ProblemBody"]["properties"]["type"]["enum"]) == named
