"""One key, one order: accepted when durable, replayed as it is now, refused for another body."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service.states import ORDER_STATUSES, ORDER_TRANSITIONS
from tests.cards import shows_the_card
from tests.web.conftest import ORDER, Api, assert_problem, count


async def test_an_order_is_stored_with_its_promise_before_201(api: Api, engine: AsyncEngine) -> None:
    answer = await api.order("k1", customer="cus_1", description="three books", metadata={"cart": "17"})
    assert answer.status_code == 201
    order = answer.json()
    assert answer.headers["location"] == f"/v1/orders/{order['id']}"
    assert "idempotent-replayed" not in answer.headers
    assert order | {"status": "pending", "amount": 1999, "currency": "usd", "idempotency_key": "k1"} == order
    assert order["customer"] == "cus_1"
    assert order["metadata"] == {"cart": "17"}
    assert order["failure"] is order["payment_intent"] is None
    assert order["amount_refunded"] == 0
    async with engine.connect() as connection:
        promise = (
            await connection.execute(text("SELECT order_id, kind, payload, deliver_after <= now() FROM outbox"))
        ).one()
    assert (str(promise[0]), promise[1], promise[2], promise[3]) == (
        order["id"],
        "charge",
        {"attempt": 1},
        True,
    )


async def test_how_it_is_captured_is_stored_and_left_out_means_automatic(api: Api, engine: AsyncEngine) -> None:
    for key, wanted, stored in (
        ("k1", None, "automatic"),
        ("k2", "automatic", "automatic"),
        ("k3", "manual", "manual"),
    ):
        made = await api.order(key, capture=wanted)
        assert made.json()["capture"] == stored
        assert (await api.http.get(made.headers["location"])).json() == made.json()
    assert (await api.order("k1", capture="automatic")).headers["idempotent-replayed"] == "true"
    assert_problem(await api.order("k1", capture="manual"), 422, "idempotency-key-reused")
    assert_problem(await api.order("k4", capture="later"), 400, "body-invalid")
    batch = {"orders": [{"idempotency_key": "k5", **ORDER, "capture": "manual"}]}
    (result,) = (await api.http.post("/v1/orders/batch", json=batch)).json()["results"]
    assert result["order"]["capture"] == "manual"


async def test_what_was_answered_is_what_can_be_read(api: Api) -> None:
    made = await api.order("k1", description="Ωmega 🎁", metadata={"ключ": "значение"})
    read = await api.http.get(made.headers["location"])
    assert read.json() == made.json()


async def test_the_same_request_again_is_the_same_order(api: Api, engine: AsyncEngine) -> None:
    first = await api.order("k1")
    again = await api.raw(
        b'{ "payment_method":"pm_card_visa", "currency":"usd",\n "amount":1999, "metadata":{} }', "k1"
    )
    assert again.status_code == 201
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert again.json() == first.json()
    assert await count(engine, "orders") == await count(engine, "outbox") == 1


async def test_a_replay_shows_the_order_as_it_is_now(api: Api, engine: AsyncEngine) -> None:
    await api.order("k1")
    async with engine.begin() as connection:
        await connection.execute(
            text("UPDATE orders SET status = 'failed', failure = :f"),
            {"f": '{"code": "card_declined", "decline_code": "insufficient_funds", "message": "No."}'},
        )
    again = (await api.order("k1")).json()
    assert again["status"] == "failed"
    assert again["failure"] == {
        "code": "card_declined",
        "decline_code": "insufficient_funds",
        "message": "No.",
    }


async def test_bare_and_quoted_keys_name_one_order(api: Api) -> None:
    assert (await api.order("k1")).json()["id"] == (await api.order('"k1"')).json()["id"]


async def test_keys_differ_by_case(api: Api) -> None:
    assert (await api.order("key")).json()["id"] != (await api.order("KEY")).json()["id"]


async def test_the_same_key_with_another_body_is_refused(api: Api, engine: AsyncEngine) -> None:
    await api.order("k1")
    assert_problem(await api.order("k1", amount=2999), 422, "idempotency-key-reused")
    assert await count(engine, "orders") == 1


async def test_a_bad_body_is_told_before_a_reused_key(api: Api) -> None:
    await api.order("k1")
    assert_problem(await api.order("k1", amount=0), 400)


async def test_fifty_at_once_with_one_key_are_one_order(api: Api, engine: AsyncEngine) -> None:
    answers = await asyncio.gather(*(api.order("k1") for _ in range(50)))
    assert {a.status_code for a in answers} == {201}
    assert len({a.json()["id"] for a in answers}) == 1
    assert sum("idempotent-replayed" not in a.headers for a in answers) == 1
    assert await count(engine, "orders") == await count(engine, "outbox") == 1


async def test_fifty_at_once_with_one_key_and_other_bodies_are_one_order(api: Api, engine: AsyncEngine) -> None:
    answers = await asyncio.gather(*(api.order("k1", amount=1000 + i) for i in range(50)))
    assert sorted(a.status_code for a in answers) == [201] + [422] * 49
    assert await count(engine, "orders") == await count(engine, "outbox") == 1


async def test_a_batch_answers_each_item_by_itself(api: Api, engine: AsyncEngine) -> None:
    await api.order("known")
    items = [
        {"idempotency_key": "new", **ORDER},
        {"idempotency_key": "known", **ORDER},
        {"idempotency_key": "known", **ORDER, "amount": 2999},
        {"idempotency_key": "bad", **ORDER, "amount": "1"},
        {"idempotency_key": "card 4242424242424242", **ORDER},
        {"idempotency_key": '"new"', **ORDER},
        {**ORDER},
        17,
    ]
    answer = await api.http.post("/v1/orders/batch", json={"orders": items})
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [r["status"] for r in results] == [201, 201, 422, 400, 400, 201, 400, 400]
    assert results[1]["replayed"] is True
    assert "replayed" not in results[0]
    assert results[0]["order"]["id"] == results[5]["order"]["id"]
    assert results[2]["problem"]["type"].endswith(":idempotency-key-reused")
    assert results[3]["problem"]["request_id"] == answer.headers["x-request-id"]
    assert not shows_the_card(answer.text)
    assert await count(engine, "orders") == 2


async def test_a_batch_of_a_thousand_is_stored_whole(api: Api, engine: AsyncEngine) -> None:
    items = [{"idempotency_key": f"k{i}", **ORDER, "description": "x" * 900} for i in range(1000)]
    answer = await api.http.post("/v1/orders/batch", json={"orders": items})
    results = answer.json()["results"]
    assert [r["order"]["idempotency_key"] for r in results] == [f"k{i}" for i in range(1000)]
    assert await count(engine, "orders") == await count(engine, "outbox") == 1000


@pytest.mark.parametrize(
    "body", [{"orders": []}, {"orders": [{}] * 1001}, {}, [], {"orders": [], "x": 1}, {"orders": {}}]
)
async def test_a_malformed_batch_is_refused_whole(api: Api, body: object) -> None:
    assert_problem(await api.http.post("/v1/orders/batch", json=body), 400, "body-invalid")


async def test_a_client_that_goes_away_leaves_its_order_stored(api: Api, engine: AsyncEngine) -> None:
    headers = {"Idempotency-Key": "k1", "Prefer": "wait=10"}
    waiting = asyncio.create_task(api.http.post("/v1/orders", json=ORDER, headers=headers))
    async with asyncio.timeout(60):
        while await count(engine, "orders") == 0:
            await asyncio.sleep(0.01)
    waiting.cancel()  # closes its connection
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await count(engine, "orders") == 1
    assert (await api.order("k1")).headers["idempotent-replayed"] == "true"


def test_the_table_of_states_is_total_and_success_outranks_all() -> None:
    assert set(ORDER_TRANSITIONS) == set(ORDER_STATUSES)
    assert "paid" in ORDER_TRANSITIONS["canceled"]
    assert "paid" in ORDER_TRANSITIONS["failed"]
    assert not ORDER_TRANSITIONS["paid"]
    assert "pending" not in ORDER_TRANSITIONS["processing"]
