"""Refunds: never more back than was taken, whoever asks at once; two keys are two refunds, one key is one."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.effects import open_effects
from service.foundation.settings import Settings
from service.orders.identity import refund_wire_key
from service.states import REFUND_STATUSES
from tests.web.afterwards import ask, one, order_in, owed, rows
from tests.web.conftest import Api, assert_problem, count
from workers.effects import KINDS


async def counted(engine: AsyncEngine) -> tuple[int, int]:
    """What orders count as under way, and what their refunds sum up to."""
    under_way = await one(engine, "SELECT sum(amount_refunding_minor)::int FROM orders")
    return under_way, await one(engine, "SELECT coalesce(sum(amount_minor), 0)::int FROM refunds")


async def test_a_refund_is_stored_with_its_promise_before_201(
    api: Api, engine: AsyncEngine, settings: Settings
) -> None:
    order_id = await order_in(api, engine, "paid")
    wanted = {"amount": 500, "currency": "usd", "reason": "duplicate", "metadata": {"return": "4"}}
    answer = await ask(api, order_id, "refunds", "r1", **wanted)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    expected = {**wanted, "status": "pending", "order_id": order_id, "idempotency_key": "r1", "stripe_refund": None}
    assert made | expected == made
    assert answer.headers["location"] == f"/v1/refunds/{made['id']}"
    assert (await api.http.get(answer.headers["location"])).json() == made
    assert await owed(engine) == [("refund", {"effect": made["id"]})]
    (row,) = await rows(engine, "SELECT * FROM refunds")
    assert row["charge_id"] == await one(engine, "SELECT id FROM charges")
    shown = (await api.http.get(f"/v1/orders/{order_id}")).json()
    assert (shown["amount_captured"], shown["amount_refunded"]) == (1999, 500)
    assert await keys_at_stripe(engine, settings) == [
        refund_wire_key(account_id=row["account_id"], order_key="k1", refund_key="r1", nth=1)
    ]


async def keys_at_stripe(engine: AsyncEngine, settings: Settings) -> list[str]:
    """The keys of all refunds, which a worker makes when it opens them."""
    promised = [row["id"] for row in await rows(engine, "SELECT id FROM outbox")]
    await open_effects(engine, promised, settings, KINDS)
    return [row["key"] for row in await rows(engine, "SELECT idempotency_key AS key FROM refunds ORDER BY id")]


async def test_the_same_key_twice_refunds_once(api: Api, engine: AsyncEngine) -> None:
    order_id = await order_in(api, engine, "paid")
    first = await ask(api, order_id, "refunds", "r1", amount=500)
    await rows(engine, "UPDATE refunds SET status = 'succeeded', stripe_refund_id = 're_1'")
    again = await ask(api, order_id, "refunds", "r1", amount=500)
    assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
    assert again.headers["location"] == first.headers["location"]
    assert (again.json()["status"], again.json()["stripe_refund"]) == ("succeeded", "re_1")
    assert await count(engine, "refunds") == await count(engine, "outbox") == 1


async def test_the_same_key_for_another_refund_is_refused(api: Api, engine: AsyncEngine) -> None:
    order_id, other = await order_in(api, engine, "paid"), await order_in(api, engine, "paid", "k2")
    await ask(api, order_id, "refunds", "r1", amount=500)
    for target, wanted in ((order_id, {"amount": 501}), (order_id, {}), (other, {"amount": 500})):
        assert_problem(await ask(api, target, "refunds", "r1", **wanted), 422, "idempotency-key-reused")
    assert await counted(engine) == (500, 500)


async def test_two_equal_refunds_under_two_keys_are_two(api: Api, engine: AsyncEngine, settings: Settings) -> None:
    order_id = await order_in(api, engine, "paid")
    answers = [await ask(api, order_id, "refunds", key, amount=500) for key in ("r1", "r2")]
    assert len({a.json()["id"] for a in answers}) == 2
    assert await counted(engine) == (1000, 1000)
    assert len(set(await keys_at_stripe(engine, settings))) == 2


async def test_twenty_at_once_over_the_cap_never_give_back_more_than_was_taken(api: Api, engine: AsyncEngine) -> None:
    order_id = await order_in(api, engine, "paid")
    answers = await asyncio.gather(*(ask(api, order_id, "refunds", f"r{n}", amount=300) for n in range(20)))
    assert sorted(a.status_code for a in answers) == [201] * 6 + [409] * 14
    assert await counted(engine) == (1800, 1800)
    assert await count(engine, "operations") == await count(engine, "outbox") == 6


async def test_twenty_at_once_with_one_key_are_one_refund(api: Api, engine: AsyncEngine) -> None:
    order_id = await order_in(api, engine, "paid")
    answers = await asyncio.gather(*(ask(api, order_id, "refunds", "r1", amount=300) for _ in range(20)))
    assert {a.status_code for a in answers} == {201}
    assert len({a.json()["id"] for a in answers}) == 1
    assert sum("idempotent-replayed" not in a.headers for a in answers) == 1
    assert await counted(engine) == (300, 300)


async def test_without_an_amount_all_that_is_left_goes_back_and_then_nothing_is_left(
    api: Api, engine: AsyncEngine
) -> None:
    order_id = await order_in(api, engine, "paid")
    await rows(engine, "UPDATE orders SET amount_captured_minor = 1500, amount_refunded_minor = 200")
    await ask(api, order_id, "refunds", "r1", amount=300)
    assert (await ask(api, order_id, "refunds", "r2")).json()["amount"] == 1000
    said = assert_problem(await ask(api, order_id, "refunds", "r3"), 409, "conflict")
    assert "Nothing is left" in said["detail"]
    assert "13.00 usd by refunds that are under way" in said["detail"]
    shown = (await api.http.get(f"/v1/orders/{order_id}")).json()
    assert (shown["amount_captured"], shown["amount_refunded"]) == (1500, 1500)


async def test_more_than_is_left_is_a_conflict_and_its_key_is_free(api: Api, engine: AsyncEngine) -> None:
    order_id = await order_in(api, engine, "paid")
    said = assert_problem(await ask(api, order_id, "refunds", "r1", amount=2000), 409, "conflict")
    assert "19.99 usd are left" in said["detail"]
    assert (await ask(api, order_id, "refunds", "r1", amount=1999)).status_code == 201


async def test_another_currency_is_400(api: Api, engine: AsyncEngine) -> None:
    order_id = await order_in(api, engine, "paid")
    assert_problem(await ask(api, order_id, "refunds", "r1", currency="eur"), 400, "currency-mismatch")
    yen = await order_in(api, engine, "paid", "k2", amount=20_000, currency="isk")
    assert_problem(await ask(api, yen, "refunds", "r1", amount=150), 400, "amount-not-a-multiple")
    assert await count(engine, "operations") == await count(engine, "refunds") == 0


async def test_an_open_dispute_holds_the_money(api: Api, engine: AsyncEngine) -> None:
    order_id = await order_in(api, engine, "paid")
    await rows(engine, "UPDATE orders SET amount_disputed_minor = 1999")
    assert (await api.http.get(f"/v1/orders/{order_id}")).json()["amount_disputed"] == 1999
    said = assert_problem(await ask(api, order_id, "refunds", "r1"), 409, "conflict")
    assert "dispute" in said["detail"]


async def test_malformed_refunds_are_400(api: Api, engine: AsyncEngine) -> None:
    order_id = await order_in(api, engine, "paid")
    wrong: list[dict[str, Any]] = [
        {"amount": 0}, {"amount": "1"}, {"amount": 5.0}, {"amount": None}, {"reason": "because"}, {"currency": "USD"},
        {"metadata": {"eo_refund": "1"}}, {"metadata": {f"n{n}": "" for n in range(45)}}, {"x": 1},
    ]  # fmt: skip
    for wanted in wrong:
        assert_problem(await ask(api, order_id, "refunds", "r1", **wanted), 400, "body-invalid")
    card = {"metadata": {"note": "4242 4242 4242 4242"}}
    assert_problem(await ask(api, order_id, "refunds", "r1", **card), 400, "card-data-rejected")
    assert await count(engine, "operations") == 0


async def test_a_forgotten_refund_that_was_brought_back_is_not_made_again(api: Api, engine: AsyncEngine) -> None:
    """R31: the refund is here again under its producer's key, the operation is not."""
    order_id, refund_id = await order_in(api, engine, "paid"), uuid4()
    await rows(
        engine,
        """INSERT INTO refunds (id, account_id, order_id, charge_id, producer_key, amount_minor, currency, reason,
               status, stripe_refund_id, request, stripe_version)
           SELECT :id, account_id, order_id, id, 'r1', amount_minor, currency, 'duplicate', 'succeeded', 're_1',
                  '{}', ''
             FROM charges""",
        id=refund_id,
    )
    await rows(engine, "UPDATE orders SET amount_refunded_minor = amount_minor")
    assert_problem(await ask(api, order_id, "refunds", "r1", amount=1998), 422, "idempotency-key-reused")
    for _ in range(2):
        again = await ask(api, order_id, "refunds", "r1", reason="duplicate")
        assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
        assert again.json()["id"] == str(refund_id)
    assert (await count(engine, "refunds"), await count(engine, "outbox")) == (1, 0)


async def test_a_waiting_refund_is_answered_when_it_has_an_end(api: Api, engine: AsyncEngine) -> None:
    order_id = await order_in(api, engine, "paid")
    held = asyncio.create_task(ask(api, order_id, "refunds", "r1", prefer="wait=30"))
    async with asyncio.timeout(20):
        while await count(engine, "refunds") == 0:
            await asyncio.sleep(0.01)
    await rows(engine, "UPDATE refunds SET status = 'processing'")
    read = asyncio.create_task(
        api.http.get(f"/v1/refunds/{await one(engine, 'SELECT id FROM refunds')}", headers={"Prefer": "wait=30"})
    )
    failure = '{"code": "lost_or_stolen_card", "message": "No."}'
    await rows(engine, "UPDATE refunds SET status = 'failed', failure = CAST(:f AS jsonb)", f=failure)
    for answer in (await held, await read):
        assert answer.json()["status"] == "failed"
        assert answer.json()["failure"] == {"code": "lost_or_stolen_card", "message": "No."}


async def test_lists_have_the_newest_first_in_pages(api: Api, engine: AsyncEngine) -> None:
    first, second = await order_in(api, engine, "paid", "k1"), await order_in(api, engine, "paid", "k2")
    made = []
    for n in range(5):
        order_id = first if n % 2 else second
        made.append((await ask(api, order_id, "refunds", f"r{n}", amount=100 + n)).json())
    await rows(engine, "UPDATE refunds SET status = 'failed' WHERE amount_minor IN (101, 104)")
    newest_first = [refund["id"] for refund in reversed(made)]
    assert await listed(api, "/v1/refunds") == newest_first
    assert await listed(api, f"/v1/orders/{first}/refunds") == [made[3]["id"], made[1]["id"]]
    assert await listed(api, "/v1/refunds", status="failed") == [made[4]["id"], made[1]["id"]]
    for status in set(REFUND_STATUSES) - {"failed", "pending"}:
        assert await listed(api, "/v1/refunds", status=status) == []
    assert_problem(await api.http.get("/v1/refunds?status=paid"), 400, "query-invalid")
    assert_problem(await api.http.get(f"/v1/refunds/{uuid4()}"), 404, "not-found")
    assert_problem(await api.http.get(f"/v1/orders/{uuid4()}/refunds"), 404, "not-found")


async def listed(api: Api, path: str, **more: str) -> list[str]:
    """The ids of all pages of two, and as one page."""
    found: list[str] = []
    asked: dict[str, Any] = {"limit": 2, **more}
    while True:
        page = (await api.http.get(path, params=asked)).json()
        found += [refund["id"] for refund in page["data"]]
        if page["next_cursor"] is None:
            break
        asked["cursor"] = page["next_cursor"]
    whole = (await api.http.get(path, params=more)).json()
    assert [refund["id"] for refund in whole["data"]] == found
    return found


@pytest.mark.parametrize("currency", ["jpy", "kwd"])
async def test_a_refund_is_in_minor_units_of_its_orders_currency(api: Api, engine: AsyncEngine, currency: str) -> None:
    order_id = await order_in(api, engine, "paid", amount=5000, currency=currency)
    made = (await ask(api, order_id, "refunds", "r1", amount=1230)).json()
    assert (made["amount"], made["currency"]) == (1230, currency)
