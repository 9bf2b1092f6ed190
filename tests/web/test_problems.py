"""Errors have one shape wherever they arise, and every answer bears its request's id."""

from typing import Any

import pytest

from service import orders
from tests.web.conftest import Api, assert_problem


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/v1/nope",
        "/v1/orders/17",
        "/v1/orders/17/timeline",
        "/docs/../secret",
        "/docs/x.js",
        "/v1/orders/%00",
    ],
)
async def test_an_unknown_address_is_404(api: Api, path: str) -> None:
    assert_problem(await api.http.get(path), 404, "not-found")


async def test_an_unknown_order_is_404(api: Api) -> None:
    assert_problem(await api.http.get("/v1/orders/01a20cde-4079-76b2-bc3a-36a0bf1c631c"), 404, "not-found")


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/v1/orders"), ("DELETE", "/v1/orders/batch"), ("POST", "/health/live")]
)
async def test_another_method_is_405_and_names_those_that_work(api: Api, method: str, path: str) -> None:
    answer = await api.http.request(method, path)
    assert_problem(answer, 405, "method-not-allowed")
    assert set(answer.headers["allow"].split(", ")) & {"GET", "POST"}


async def test_options_names_all_methods_of_a_path(api: Api) -> None:
    api.http.headers.pop("Authorization")
    answer = await api.http.options("/v1/orders")
    assert answer.status_code == 204
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


async def test_head_answers_like_get_without_a_body(api: Api) -> None:
    made = await api.order("k1")
    for path in ("/v1/orders", made.headers["location"], "/health/live", "/docs", "/openapi.json"):
        head, get = await api.http.head(path), await api.http.get(path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert head.headers["content-length"] == get.headers["content-length"]


async def test_an_error_of_ours_is_500_and_says_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("secret 4242")

    monkeypatch.setattr(orders, "page", broken)
    answer = await api.http.get("/v1/orders")
    assert_problem(answer, 500, "internal-error")
    assert "secret" not in answer.text


async def test_a_callers_request_id_comes_back(api: Api) -> None:
    answer = await api.http.get("/health/live", headers={"X-Request-Id": "abc-17:x"})
    assert answer.headers["x-request-id"] == "abc-17:x"


@pytest.mark.parametrize("sent", ["", "a b", "<script>", "x" * 129, '"x"', "é"])
async def test_a_malformed_request_id_is_replaced(api: Api, sent: str) -> None:
    answer = await api.http.get("/health/live", headers=[(b"X-Request-Id", sent.encode("latin-1"))])
    assert answer.headers["x-request-id"].startswith("req_")


async def test_every_answer_has_its_own_request_id(api: Api) -> None:
    ids = {(await api.http.get("/nope")).headers["x-request-id"] for _ in range(5)}
    assert len(ids) == 5


async def test_the_server_does_not_advertise_itself(api: Api) -> None:
    assert "server" not in (await api.http.get("/health/live")).headers
