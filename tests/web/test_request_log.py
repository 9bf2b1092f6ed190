"""Each request leaves one line that a customer's X-Request-Id finds, with nothing in it that was sent."""

import asyncio
import json
from typing import Any

import pytest

from service.foundation.log import hashed
from tests.web.conftest import Api


def lines(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The requests that were logged since the last look."""
    found = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    return [line for line in found if line["event"] == "request"]


async def logged(capfd: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The one line, once it is written."""
    async with asyncio.timeout(5):
        while not (found := lines(capfd)):
            await asyncio.sleep(0.005)
    (line,) = found
    return line


async def test_an_order_leaves_one_line_with_its_ids_and_nothing_that_was_sent(
    api: Api, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = await api.http.post(
        "/v1/orders",
        json={"amount": 1999, "currency": "usd", "payment_method": "pm_card_visa", "description": "for-nobody"},
        headers={"Idempotency-Key": "cart-17", "X-Request-Id": "from-the-shop-1"},
    )
    assert answer.status_code == 201
    line = await logged(capfd)
    assert line.pop("ms") > 0
    assert line.pop("ts")
    assert len(line.pop("account_id")) == 36
    assert line == {
        "level": "info", "process": "api", "event": "request", "request_id": "from-the-shop-1", "method": "POST",
        "route": "/v1/orders", "status": 201, "key": hashed("cart-17"),
    }  # fmt: skip


async def test_a_quoted_key_is_the_same_key(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    await api.order('"cart-17"')
    assert (await logged(capfd))["key"] == hashed("cart-17")


@pytest.mark.parametrize(
    ("method", "path", "status", "route"),
    [
        ("GET", "/v1/orders/00000000-0000-0000-0000-000000000000", 404, "/v1/orders/{order_id}"),
        ("GET", "/nothing/here", 404, "none"),
        ("DELETE", "/v1/orders", 405, "none"),
        ("POST", "/v1/orders", 400, "/v1/orders"),
        ("GET", "/health/live", 200, "/health/live"),
    ],
)
async def test_refusals_are_logged_by_the_template_of_their_route(
    api: Api, capfd: pytest.CaptureFixture[str], method: str, path: str, status: int, route: str
) -> None:
    answer = await api.http.request(method, path)
    assert answer.status_code == status
    line = await logged(capfd)
    assert (line["status"], line["route"], line["request_id"]) == (status, route, answer.headers["x-request-id"])


async def test_a_wrong_key_is_logged_without_an_account_and_without_the_key(
    api: Api, capfd: pytest.CaptureFixture[str]
) -> None:
    await api.http.get("/v1/orders", headers={"Authorization": "Bearer eo_test_nobodys_nobodys_nobodys"})
    line = await logged(capfd)
    assert line["status"] == 401
    assert "account_id" not in line
    assert "nobodys" not in json.dumps(line)
