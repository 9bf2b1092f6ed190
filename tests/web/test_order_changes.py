"""Capture, cancel and pay: once per key, judged by the order's state, promised by an outbox row before the answer."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service import orders
from service.effects import open_effects
from service.foundation.postgres.sql import Statement, begin
from service.foundation.settings import Settings
from service.orders.identity import wire_key
from service.states import ORDER_STATUSES
from tests.web.afterwards import DECLINED, ask, bring, one, order_in, owed, rows
from tests.web.conftest import Api, assert_problem, count, serve
from workers.effects import KINDS

PAY = {"payment_method": "pm_card_mastercard"}
BODIES: dict[str, dict[str, Any]] = {"capture": {}, "cancel": {}, "pay": PAY, "refunds": {}}
# Where each may be asked for, and the status of the answer.
ALLOWED = {
    "capture": {"authorized": 202},
    "cancel": {"pending": 200, "requires_action": 202, "authorized": 202, "canceled": 200},
    "pay": {"failed": 202},
    "refunds": {"paid": 201},
}


async def only_change(engine: AsyncEngine) -> dict[str, Any]:
    (change,) = await rows(engine, "SELECT * FROM changes")
    return change


async def test_each_state_allows_what_it_allows_and_a_409_leaves_nothing(api: Api, engine: AsyncEngine) -> None:
    for status in ORDER_STATUSES:
        for what, answers in ALLOWED.items():
            order_id = await order_in(api, engine, status, f"{status} {what}".replace(" ", "-"))
            before = await everything(engine)
            answer = await ask(api, order_id, what, f"{status}-{what}", **BODIES[what])
            if status in answers:
                assert answer.status_code == answers[status], (status, what, answer.text)
                continue
            said = assert_problem(answer, 409, "conflict")
            assert f"The order is {status}" in said["detail"]
            assert await everything(engine) == before, (status, what)


async def everything(engine: AsyncEngine) -> list[list[dict[str, Any]]]:
    """All rows of what an operation writes."""
    tables = ("orders", "operations", "changes", "refunds", "charges", "outbox")
    return [await rows(engine, f"SELECT * FROM {table} ORDER BY id") for table in tables]


@pytest.mark.parametrize(("what", "status"), [("capture", "authorized"), ("cancel", "authorized"), ("pay", "failed")])
async def test_the_same_key_again_is_a_replay_with_the_first_status_and_the_order_as_it_is_now(
    api: Api, engine: AsyncEngine, what: str, status: str
) -> None:
    order_id = await order_in(api, engine, status)
    first = await ask(api, order_id, what, **BODIES[what])
    assert "idempotent-replayed" not in first.headers
    promised = await owed(engine)
    await rows(engine, "UPDATE orders SET status = 'paid'")
    again = await ask(api, order_id, what, **BODIES[what])
    assert (again.status_code, again.headers["idempotent-replayed"]) == (202, "true")
    assert again.json()["status"] == "paid"
    assert await owed(engine) == promised
    assert await count(engine, "operations") == 1


@pytest.mark.parametrize(("what", "status"), [("capture", "authorized"), ("pay", "failed")])
async def test_the_same_key_with_another_body_is_refused(api: Api, engine: AsyncEngine, what: str, status: str) -> None:
    order_id = await order_in(api, engine, status)
    await ask(api, order_id, what, **BODIES[what])
    other: dict[str, Any] = {"amount": 100} if what == "capture" else {"payment_method": "pm_card_visa"}
    assert_problem(await ask(api, order_id, what, **other), 422, "idempotency-key-reused")


async def test_the_key_of_another_order_is_refused_and_that_of_another_operation_is_free(
    api: Api, engine: AsyncEngine
) -> None:
    first = await order_in(api, engine, "authorized", "k1")
    second = await order_in(api, engine, "authorized", "k2")
    assert (await ask(api, first, "capture", "k1")).status_code == 202
    assert_problem(await ask(api, second, "capture", "k1"), 422, "idempotency-key-reused")
    assert (await ask(api, second, "cancel", "k1")).status_code == 202


async def test_twenty_at_once_with_one_key_are_one_capture(api: Api, engine: AsyncEngine) -> None:
    order_id = await order_in(api, engine, "authorized")
    answers = await asyncio.gather(*(ask(api, order_id, "capture") for _ in range(20)))
    assert {a.status_code for a in answers} == {202}
    assert sum("idempotent-replayed" not in a.headers for a in answers) == 1
    assert await count(engine, "changes") == await count(engine, "outbox") == 1


async def test_twenty_at_once_with_keys_of_their_own_are_one_capture_and_19_conflicts(
    api: Api, engine: AsyncEngine
) -> None:
    order_id = await order_in(api, engine, "authorized")
    answers = await asyncio.gather(*(ask(api, order_id, "capture", f"a{n}") for n in range(20)))
    assert sorted(a.status_code for a in answers) == [202] + [409] * 19
    assert await count(engine, "changes") == await count(engine, "outbox") == await count(engine, "operations") == 1


async def test_a_capture_is_a_change_with_its_promise_and_a_key_of_its_own(api: Api, engine: AsyncEngine) -> None:
    order_id = await order_in(api, engine, "authorized", capture="manual")
    answer = await ask(api, order_id, "capture", amount=1500)
    assert (answer.json()["status"], answer.json()["amount_captured"]) == ("authorized", 0)
    change = await only_change(engine)
    expected = {"kind": "capture", "wanted_by": "producer", "amount_minor": 1500, "status": "pending", "nth": 1}
    assert expected.items() <= change.items()
    assert change["idempotency_key"] == wire_key(
        account_id=change["account_id"], is_default=True, operation="capture", order_key="k1", attempt=1, nth=1
    )
    assert await owed(engine) == [("capture", {"effect": str(change["id"])})]


async def test_without_an_amount_all_of_it_is_captured_and_more_is_a_conflict(api: Api, engine: AsyncEngine) -> None:
    order_id = await order_in(api, engine, "authorized")
    assert_problem(await ask(api, order_id, "capture", amount=2000), 409, "conflict")
    assert (await ask(api, order_id, "capture")).status_code == 202  # the key of a refused request is free
    assert (await only_change(engine))["amount_minor"] == 1999


async def test_a_malformed_capture_is_400(api: Api, engine: AsyncEngine) -> None:
    order_id = await order_in(api, engine, "authorized")
    bodies: list[object] = [{"amount": 0}, {"amount": "1"}, {"amount": 1.0}, {"amount": None}, {"x": 1}, []]
    for body in bodies:
        headers = {"Idempotency-Key": "a1"}
        answer = await api.http.post(f"/v1/orders/{order_id}/capture", json=body, headers=headers)
        assert_problem(answer, 400, "body-invalid")


async def test_a_capture_keeps_the_steps_of_its_currency(api: Api, engine: AsyncEngine) -> None:
    order_id = await order_in(api, engine, "authorized", amount=20_000, currency="isk")
    assert_problem(await ask(api, order_id, "capture", amount=150), 400, "amount-not-a-multiple")
    assert (await ask(api, order_id, "capture", amount=100)).status_code == 202


async def test_a_cancel_during_a_capture_is_a_conflict_and_the_other_way_round(api: Api, engine: AsyncEngine) -> None:
    order_id = await order_in(api, engine, "authorized")
    await ask(api, order_id, "capture")
    said = assert_problem(await ask(api, order_id, "cancel"), 409, "conflict")
    assert "its capture is under way" in said["detail"]
    await rows(engine, "UPDATE changes SET status = 'refused'")
    assert (await ask(api, order_id, "cancel")).status_code == 202
    assert_problem(await ask(api, order_id, "capture", "a2"), 409, "conflict")


async def test_a_second_change_after_a_refused_one_has_another_key_at_stripe(api: Api, engine: AsyncEngine) -> None:
    order_id = await order_in(api, engine, "authorized")
    await ask(api, order_id, "cancel", "a1")
    await rows(engine, "UPDATE changes SET status = 'refused', nth = 3")
    assert (await ask(api, order_id, "cancel", "a2")).status_code == 202
    assert await one(engine, "SELECT count(DISTINCT idempotency_key) FROM changes") == 2
    assert await one(engine, "SELECT max(nth) FROM changes") == 4


async def test_a_cancel_while_one_is_under_way_adds_nothing(api: Api, engine: AsyncEngine) -> None:
    order_id = await order_in(api, engine, "requires_action")
    assert (await ask(api, order_id, "cancel", "a1")).status_code == 202
    assert (await ask(api, order_id, "cancel", "a2")).status_code == 202
    assert await count(engine, "changes") == await count(engine, "outbox") == 1


async def test_a_forgotten_key_succeeds_where_the_state_already_holds(api: Api, engine: AsyncEngine) -> None:
    """R31: the operation was forgotten, and the order was brought back as Stripe shows it."""
    order_id = await order_in(api, engine, "paid", capture="manual")
    await rows(engine, "UPDATE orders SET amount_captured_minor = 1500")
    assert_problem(await ask(api, order_id, "capture"), 409, "conflict")
    answer = await ask(api, order_id, "capture", amount=1500)
    assert (answer.status_code, answer.json()["amount_captured"]) == (200, 1500)
    canceled = await order_in(api, engine, "canceled", "k2")
    assert (await ask(api, canceled, "cancel")).status_code == 200
    assert await count(engine, "changes") == 0


async def test_a_paid_order_that_was_never_held_cannot_be_captured(api: Api, engine: AsyncEngine) -> None:
    order_id = await order_in(api, engine, "paid")
    assert_problem(await ask(api, order_id, "capture"), 409, "conflict")


async def test_a_pending_order_is_canceled_at_once_and_nothing_of_it_is_owed(api: Api, engine: AsyncEngine) -> None:
    order_id = await order_in(api, engine, "pending")
    answer = await ask(api, order_id, "cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "canceled")
    assert await owed(engine) == []
    again = await ask(api, order_id, "cancel")
    assert (again.status_code, again.headers["idempotent-replayed"]) == (200, "true")


async def test_what_an_earlier_life_may_have_sent_is_not_canceled_before_the_life_is_closed(
    api: Api, engine: AsyncEngine
) -> None:
    order_id = await order_in(api, engine, "pending")
    life = "UPDATE lives SET verified_until = now() + interval '1 hour', seen_at = now() + CAST(:since AS interval)"
    await rows(engine, life, since=timedelta(seconds=1))
    answer = await ask(api, order_id, "cancel")
    assert_problem(answer, 503, "not-confirmed")
    assert await one(engine, "SELECT status FROM orders") == "pending"
    assert len(await owed(engine)) == 1
    await rows(engine, "UPDATE lives SET verified_until = 'infinity'")
    assert (await ask(api, order_id, "cancel")).status_code == 200, "the key is free"


async def test_what_was_accepted_in_this_life_is_canceled_at_once(api: Api, engine: AsyncEngine) -> None:
    await rows(engine, "UPDATE lives SET verified_until = now() + interval '1 hour', seen_at = now()")
    order_id = await order_in(api, engine, "pending")
    assert (await ask(api, order_id, "cancel")).status_code == 200


async def test_a_key_that_was_never_sent_an_order_is_404_for_each(api: Api) -> None:
    for what, body in BODIES.items():
        assert_problem(await ask(api, uuid4(), what, **body), 404, "not-found")


async def test_an_alias_is_the_order(api: Api, engine: AsyncEngine) -> None:
    order_id, alias = await order_in(api, engine, "authorized"), uuid4()
    await rows(
        engine,
        "INSERT INTO order_aliases (id, account_id, order_id) SELECT :alias, account_id, id FROM orders",
        alias=alias,
    )
    answer = await ask(api, alias, "capture")
    assert (answer.status_code, answer.json()["id"]) == (202, order_id)
    again = await ask(api, order_id, "capture")
    assert again.headers["idempotent-replayed"] == "true"


async def test_a_key_is_needed_and_screened(api: Api, engine: AsyncEngine) -> None:
    order_id = await order_in(api, engine, "pending")
    for what, body in BODIES.items():
        url = f"/v1/orders/{order_id}/{what}"
        assert_problem(await api.http.post(url, json=body), 400, "idempotency-key-missing")
        assert_problem(await ask(api, order_id, what, "eo1:x", **body), 400, "idempotency-key-reserved")
        assert_problem(await ask(api, order_id, what, "4242424242424242", **body), 400, "card-data-rejected")
        plain = {"Idempotency-Key": "a1", "Content-Type": "text/plain"}
        assert_problem(await api.http.post(url, content=b"{}", headers=plain), 415, "unsupported-media-type")
        assert_problem(await ask(api, order_id, what, pad="x" * 70_000), 413, "content-too-large")


# --- the race with the worker (R12)

OPEN = Statement("UPDATE orders SET status = 'processing' WHERE id = :id AND status = 'pending'")


async def blocked(engine: AsyncEngine) -> None:
    """Until some session waits for a lock that another one holds."""
    async with asyncio.timeout(20):
        while not await one(engine, "SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.01)


async def test_a_cancel_waits_for_a_worker_that_is_opening_and_is_told_that_it_lost(
    api: Api, engine: AsyncEngine
) -> None:
    order_id = await order_in(api, engine, "pending")
    async with begin(engine) as tx:
        await orders.lock(tx, [UUID(order_id)])
        canceling = asyncio.create_task(ask(api, order_id, "cancel"))
        await blocked(engine)
        await tx.run(OPEN, {"id": order_id})
    assert_problem(await canceling, 409, "conflict")


async def test_of_a_cancel_and_a_worker_exactly_one_wins(api: Api, engine: AsyncEngine, settings: Settings) -> None:
    ids = [await order_in(api, engine, "pending", f"k{n}") for n in range(12)]
    promised = {str(row["order_id"]): row["id"] for row in await rows(engine, "SELECT id, order_id FROM outbox")}
    opening = [
        asyncio.create_task(open_effects(engine, [promised[order_id] for order_id in ids[n : n + 4]], settings, KINDS))
        for n in (0, 4, 8)
    ]
    answers = await asyncio.gather(*(ask(api, order_id, "cancel", f"a{n}") for n, order_id in enumerate(ids)))
    await asyncio.gather(*opening)
    charged = {str(row["order_id"]) for row in await rows(engine, "SELECT order_id FROM charges")}
    for order_id, answer in zip(ids, answers, strict=True):
        status = await one(engine, "SELECT status FROM orders WHERE id = :id", id=order_id)
        left = await one(engine, "SELECT count(*) FROM outbox WHERE order_id = :id", id=order_id)
        wins = (answer.status_code == 200, order_id not in charged, status == "canceled", left == 0)
        assert wins in ((True,) * 4, (False,) * 4), (order_id, wins, status)


async def test_a_worker_that_comes_second_finds_nothing_to_open(
    api: Api, engine: AsyncEngine, settings: Settings
) -> None:
    order_id = await order_in(api, engine, "pending")
    (row,) = await rows(engine, "SELECT id FROM outbox")
    assert (await ask(api, order_id, "cancel")).status_code == 200
    opened = await open_effects(engine, [row["id"]], settings, KINDS)
    assert (opened.effects, opened.absorbed) == ([], 1)
    assert await count(engine, "charges") == 0


async def test_a_worker_finds_in_the_row_what_was_asked_for(api: Api, engine: AsyncEngine, settings: Settings) -> None:
    captured = await order_in(api, engine, "authorized", "k1", intent="pi_1")
    canceled = await order_in(api, engine, "requires_action", "k2", intent="pi_2")
    refunded = await order_in(api, engine, "paid", "k3", intent="pi_3")
    await ask(api, captured, "capture", amount=1500)
    await ask(api, canceled, "cancel")
    await ask(api, refunded, "refunds", amount=500)
    promised = [row["id"] for row in await rows(engine, "SELECT id FROM outbox ORDER BY id")]
    opened = await open_effects(engine, promised, settings, KINDS)
    assert (opened.absorbed, opened.parked) == (0, 0)
    keys = [row["key"] for row in await rows(engine, KEYS)]
    assert sorted(effect.idempotency_key for effect in opened.effects) == sorted(keys)
    requests = [effect.request for effect in opened.effects]
    assert any(request.get("amount_to_capture") == 1500 for request in requests)
    assert any((request.get("payment_intent"), request.get("amount")) == ("pi_3", 500) for request in requests)


KEYS = "SELECT idempotency_key AS key FROM changes UNION ALL SELECT idempotency_key FROM refunds"


# --- paying again (R25)


async def test_the_next_attempt_waits_until_the_intent_of_the_one_before_is_canceled(
    api: Api, engine: AsyncEngine
) -> None:
    order_id = await order_in(api, engine, "failed")
    answer = (await ask(api, order_id, "pay", **PAY)).json()
    assert answer | {"status": "processing", "payment_method": PAY["payment_method"], "failure": None} == answer
    change = await only_change(engine)
    assert (change["kind"], change["wanted_by"]) == ("cancel", "pay")
    assert await owed(engine) == [("cancel", {"effect": str(change["id"])})], "no charge is promised yet"
    assert await one(engine, "SELECT attempt FROM orders") == 2


async def test_without_an_intent_the_next_attempt_is_promised_at_once(api: Api, engine: AsyncEngine) -> None:
    order_id = await order_in(api, engine, "failed", intent=None)
    await ask(api, order_id, "pay", **PAY)
    assert await count(engine, "changes") == 0
    assert await owed(engine) == [("charge", {"attempt": 2})]


async def test_what_never_ran_is_the_same_attempt_as_if_it_had_not_been_sent(api: Api, engine: AsyncEngine) -> None:
    order_id = await order_in(api, engine, "pending")
    await bring(engine, order_id, "failed", intent=None, failure={**DECLINED, "code": "never_executed"})
    await ask(api, order_id, "pay", **PAY)
    assert await owed(engine) == [("charge", {"attempt": 1})]
    (charge,) = await rows(engine, "SELECT * FROM charges")
    wanted = {"status": "sending", "maybe_executed": False, "first_sent_at": None, "last_sent_at": None, "attempt": 1}
    assert wanted.items() <= charge.items()
    assert charge["idempotency_key"] == f"wire-{order_id}1"


async def test_what_an_operator_ended_is_never_charged_again(api: Api, engine: AsyncEngine) -> None:
    order_id = await order_in(api, engine, "pending")
    await bring(engine, order_id, "failed", intent=None, failure={**DECLINED, "code": "failed_by_operator"})
    said = assert_problem(await ask(api, order_id, "pay", **PAY), 409, "conflict")
    assert "operator" in said["detail"]


async def test_an_attempt_without_an_end_is_not_followed_by_another(api: Api, engine: AsyncEngine) -> None:
    order_id = await order_in(api, engine, "failed")
    await rows(engine, "UPDATE charges SET status = 'unknown'")
    assert_problem(await ask(api, order_id, "pay", **PAY), 409, "conflict")


# --- waiting and limits


async def test_a_waiting_capture_is_answered_when_its_change_has_ended(api: Api, engine: AsyncEngine) -> None:
    order_id = await order_in(api, engine, "authorized")
    held = asyncio.create_task(ask(api, order_id, "capture", prefer="wait=30"))
    async with asyncio.timeout(20):
        while await count(engine, "changes") == 0:
            await asyncio.sleep(0.01)
    assert not held.done()
    await rows(engine, "WITH c AS (UPDATE changes SET status = 'done') UPDATE orders SET status = 'paid'")
    answer = await held
    assert (answer.status_code, answer.json()["status"]) == (202, "paid")


async def test_a_read_waits_for_a_change_that_is_under_way(api: Api, engine: AsyncEngine) -> None:
    """It is what a second capture is told to do."""
    order_id = await order_in(api, engine, "authorized")
    await ask(api, order_id, "capture")
    read = asyncio.create_task(api.http.get(f"/v1/orders/{order_id}", headers={"Prefer": "wait=30"}))
    await asyncio.sleep(0.3)
    assert not read.done()
    await rows(engine, "WITH c AS (UPDATE changes SET status = 'done') UPDATE orders SET status = 'paid'")
    assert (await read).json()["status"] == "paid"


async def test_a_replay_costs_no_limit(settings: Settings, engine: AsyncEngine) -> None:
    async with serve(replace(settings, rate_limit_rps=1)) as api:
        order_id = await order_in(api, engine, "authorized")
        answers = [await ask(api, order_id, "capture", "a1")]
        while answers[-1].status_code == 429:
            answers.append(await ask(api, order_id, "capture", "a1"))
        again = await asyncio.gather(*(ask(api, order_id, "capture", "a1") for _ in range(4)))
        assert {a.status_code for a in again} == {202}
        assert_problem(await ask(api, order_id, "cancel", "a2"), 429, "rate-limited")
