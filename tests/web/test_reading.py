"""Reading back: pages that neither repeat nor lose an order, the story of an order, its books."""

from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.web.conftest import Api, assert_problem


async def test_pages_have_every_order_once_newest_first(api: Api) -> None:
    made = [(await api.order(f"k{i}")).json()["id"] for i in range(7)]
    seen, cursor = [], None
    for _ in range(4):
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await api.http.get("/v1/orders", params=query)).json()
        seen += [order["id"] for order in page["data"]]
        cursor = page["next_cursor"]
        await api.order(f"later{len(seen)}")  # newer ones never shift a page
    assert seen == made[::-1]
    assert cursor is None


async def test_a_full_last_page_has_no_next(api: Api) -> None:
    for i in range(2):
        await api.order(f"k{i}")
    assert (await api.http.get("/v1/orders?limit=2")).json()["next_cursor"] is None


async def test_lists_are_filtered_by_status_and_key(api: Api, engine: AsyncEngine) -> None:
    for i in range(3):
        await api.order(f"k{i}")
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE orders SET status = 'paid' WHERE idempotency_key = 'k1'"))
    for query in (
        "status=paid",
        "idempotency_key=k1",
        "idempotency_key=%22k1%22",
        "status=paid&idempotency_key=k1",
    ):
        data = (await api.http.get(f"/v1/orders?{query}")).json()["data"]
        assert [order["idempotency_key"] for order in data] == ["k1"], query
    assert len((await api.http.get("/v1/orders?status=pending")).json()["data"]) == 2
    assert (await api.http.get("/v1/orders?status=pending&idempotency_key=k1")).json()["data"] == []


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "limit=x", "limit=-1", "limit=", "limit=1&limit=2", "limit=²", "status=done", "status=",
     "cursor=x", "cursor=%00", "cursor=é", "unknown=1", "idempotency_key=", "idempotency_key=a%20b", "%ff=1",
     "status=%00"],
)  # fmt: skip
async def test_a_malformed_query_is_400(api: Api, query: str) -> None:
    assert_problem(await api.http.get(f"/v1/orders?{query}"), 400)


async def test_twenty_are_listed_when_not_said(api: Api) -> None:
    for i in range(21):
        await api.order(f"k{i}")
    assert len((await api.http.get("/v1/orders")).json()["data"]) == 20


async def test_the_timeline_tells_the_order_s_story_in_order(api: Api, engine: AsyncEngine) -> None:
    order = (await api.order("k1")).json()
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO charges (id, account_id, order_id, attempt, idempotency_key, amount_minor, currency,"
                " status, request, stripe_version, maybe_executed, life, history) SELECT :id, account_id,"
                " id, 1, 'k1', 1999, 'usd',"
                " 'succeeded', '{}', 'x', true, 1, jsonb_build_array("
                " jsonb_build_object('at', clock_timestamp(), 'call', 'send'),"
                " jsonb_build_object('at', clock_timestamp(), 'answer', 'succeeded', 'request_id', 'req_1'))"
                " FROM orders"
            ),
            {"id": uuid4()},
        )
        await connection.execute(text("UPDATE orders SET status = 'paid', updated_at = clock_timestamp()"))
    events = (await api.http.get(f"/v1/orders/{order['id']}/timeline")).json()["data"]
    names = [event["event"] for event in events]
    assert set(names[:2]) == {"order.accepted", "outbox.promised"}
    assert names[-3:] == ["charge.called", "charge.answered", "order.paid"]
    assert [e["at"] for e in events] == sorted(e["at"] for e in events)
    assert next(e for e in events if e["event"] == "charge.answered")["request_id"] == "req_1"


async def test_an_unknown_order_has_no_timeline_and_no_entries(api: Api) -> None:
    assert_problem(await api.http.get(f"/v1/orders/{uuid4()}/timeline"), 404)
    assert_problem(await api.http.get(f"/v1/ledger/entries?order_id={uuid4()}"), 404)
    assert_problem(await api.http.get("/v1/ledger/entries?order_id=17"), 400)
    assert_problem(await api.http.get("/v1/ledger/entries"), 400)


async def test_empty_books_are_an_empty_list(api: Api) -> None:
    order = (await api.order("k1")).json()
    assert (await api.http.get("/v1/ledger/balances")).json() == {"data": []}
    assert (await api.http.get("/v1/ledger/balances", params={"as_of": "2026-11-24T00:00:00Z"})).json() == {"data": []}
    assert (await api.http.get(f"/v1/ledger/entries?order_id={order['id']}")).json() == {"data": []}


@pytest.mark.parametrize("as_of", ["yesterday", "2026-11-24", "2026-11-24T00:00:00", "", "9999-99-99T00:00:00Z"])
async def test_an_instant_needs_its_offset(api: Api, as_of: str) -> None:
    assert_problem(await api.http.get("/v1/ledger/balances", params={"as_of": as_of}), 400)
