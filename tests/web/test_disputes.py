"""Disputes through the API: read by Stripe's ids, and no refund while one is open."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service import disputes
from service.accounts import create_key
from service.disputes import Seen
from service.states import DISPUTE_OPEN, DISPUTE_STATUSES
from service.stripe_gateway.disputes import Dispute
from tests.disputes.arguing import dispute, now, warning
from tests.operators import OPERATOR
from tests.ops.test_order_commands import Eo, assert_fits, eo, run
from tests.web.afterwards import ask, order_in
from tests.web.conftest import Api, assert_problem

__all__ = ["eo"]  # a fixture


async def settle(engine: AsyncEngine, *shown: Dispute) -> None:
    await disputes.settle(engine, [Seen.now(one) for one in shown])


async def paid(api: Api, engine: AsyncEngine, key: str = "k1") -> tuple[str, str]:
    """The id of a paid order of 19.99 USD, and its PaymentIntent."""
    intent = f"pi_{uuid4().hex}"
    return await order_in(api, engine, "paid", key, intent=intent), intent


async def test_a_dispute_is_shown_and_its_order_says_what_it_holds(api: Api, engine: AsyncEngine) -> None:
    order_id, intent = await paid(api, engine)
    shown = dispute(intent, amount=1500, created=1_795_000_000)
    await settle(engine, shown)
    answer = (await api.http.get(f"/v1/disputes/{shown.id}")).json()
    assert answer == {
        "id": shown.id, "order_id": order_id, "status": "needs_response", "reason": "fraudulent", "amount": 1500,
        "currency": "usd", "payment_intent": intent, "evidence_due_by": "2030-03-17T17:46:40Z",
        "is_charge_refundable": False, "created_at": "2026-11-18T11:06:40Z", "updated_at": answer["updated_at"],
    }  # fmt: skip
    assert (await api.http.get("/v1/disputes")).json() == {"data": [answer], "next_cursor": None}
    assert (await api.http.get(f"/v1/orders/{order_id}")).json()["amount_disputed"] == 1500
    await settle(engine, now(shown, "won", evidence_details=None))
    won = (await api.http.get(f"/v1/disputes/{shown.id}")).json()
    assert (won["status"], won["evidence_due_by"]) == ("won", None)
    assert (await api.http.get(f"/v1/orders/{order_id}")).json()["amount_disputed"] == 0


async def test_pages_show_each_once_and_in_order(api: Api, engine: AsyncEngine) -> None:
    (order_id, intent), (_, other) = await paid(api, engine), await paid(api, engine, "k2")
    made = [
        dispute(intent if n % 2 else other, status, created=1_795_000_000 + n // 3)
        for n, status in enumerate(DISPUTE_STATUSES)
    ]
    await settle(engine, *made)
    expected = [one.id for one in sorted(made, key=lambda d: (d.created, d.id), reverse=True)]
    for of_order in ("", f"&order_id={order_id}"):
        seen, cursor = list[str](), ""
        while cursor is not None:
            page = (await api.http.get(f"/v1/disputes?limit=2{of_order}{cursor and '&cursor=' + cursor}")).json()
            seen += [one["id"] for one in page["data"]]
            cursor = page["next_cursor"]
        mine = {one.id for one in made if not of_order or one.payment_intent == intent}
        assert seen == [name for name in expected if name in mine]
    for one in made:
        page = (await api.http.get(f"/v1/disputes?status={one.status}")).json()["data"]
        assert [found["id"] for found in page] == [one.id]
    both = (await api.http.get(f"/v1/disputes?status={made[0].status}&order_id={order_id}")).json()
    assert both["data"] == []


async def test_another_accounts_dispute_does_not_exist(api: Api, engine: AsyncEngine) -> None:
    _, key = await create_key(engine, "second", who=OPERATOR)
    order_id, intent = await paid(api, engine)
    shown = dispute(intent)
    await settle(engine, shown)
    theirs = {"Authorization": f"Bearer {key}"}
    assert_problem(await api.http.get(f"/v1/disputes/{shown.id}", headers=theirs), 404, "not-found")
    for query in ("", f"?order_id={order_id}"):
        assert (await api.http.get(f"/v1/disputes{query}", headers=theirs)).json()["data"] == []


@pytest.mark.parametrize("name", ["dp_nobody", "%00", "dp_1%00", "dp%201", "ü", "a" * 256])
async def test_what_is_no_dispute_is_not_found(api: Api, name: str) -> None:
    assert (await api.http.get(f"/v1/disputes/{name}")).status_code == 404


@pytest.mark.parametrize("query", ["status=open", "order_id=1", "limit=0", "cursor=%00", "cursor=", "amount=1"])
async def test_a_query_that_nobody_can_mean_is_refused(api: Api, query: str) -> None:
    assert_problem(await api.http.get(f"/v1/disputes?{query}"), 400, "query-invalid")


@pytest.mark.parametrize("status", DISPUTE_STATUSES)
async def test_no_refund_is_made_while_a_dispute_is_open(api: Api, engine: AsyncEngine, status: str) -> None:
    order_id, intent = await paid(api, engine)
    shown = dispute(intent, status, amount=500)
    await settle(engine, shown)
    answer = await ask(api, order_id, "refunds", "r1", amount=100)
    if status not in DISPUTE_OPEN:
        assert answer.status_code == 201, answer.text
        return
    detail = assert_problem(answer, 409, "conflict")["detail"]
    assert f"GET /v1/disputes/{shown.id}" in detail
    assert status in detail
    await settle(engine, now(shown, "won"))
    assert (await ask(api, order_id, "refunds", "r1", amount=100)).status_code == 201


async def test_what_a_lost_dispute_took_cannot_be_given_back_again(api: Api, engine: AsyncEngine) -> None:
    order_id, intent = await paid(api, engine)
    shown = dispute(intent, "lost", amount=1500)
    await settle(engine, shown)
    detail = assert_problem(await ask(api, order_id, "refunds", "r1", amount=500), 409, "conflict")["detail"]
    assert "4.99 usd are left (15.00 usd by disputes)" in detail.lower()
    assert (await ask(api, order_id, "refunds", "r2")).json()["amount"] == 499
    assert_problem(await ask(api, order_id, "refunds", "r3"), 409, "conflict")


async def test_a_replay_of_a_refund_is_answered_while_a_dispute_is_open(api: Api, engine: AsyncEngine) -> None:
    order_id, intent = await paid(api, engine)
    made = await ask(api, order_id, "refunds", "r1", amount=500)
    await settle(engine, dispute(intent))
    again = await ask(api, order_id, "refunds", "r1", amount=500)
    assert (again.status_code, again.json()["id"]) == (201, made.json()["id"])


async def test_a_dispute_that_opens_while_refunds_are_asked_for_lets_none_through_behind_it(
    api: Api, engine: AsyncEngine
) -> None:
    """Both take the order's lock: whoever comes second sees the other."""
    orders = [await paid(api, engine, f"k{n}") for n in range(12)]
    opened = [dispute(intent) for _, intent in orders]
    settling = asyncio.create_task(settle(engine, *opened))
    answers = await asyncio.gather(
        *(ask(api, order_id, "refunds", f"r-{intent}", amount=100) for order_id, intent in orders)
    )
    await settling
    assert {answer.status_code for answer in answers} <= {201, 409}
    late = await asyncio.gather(
        *(ask(api, order_id, "refunds", f"late-{intent}", amount=100) for order_id, intent in orders)
    )
    assert {answer.status_code for answer in late} == {409}


async def test_a_disputed_order_is_captured_and_paid_as_any_other(api: Api, engine: AsyncEngine) -> None:
    order_id, intent = await order_in(api, engine, "authorized", intent="pi_held", capture="manual"), "pi_held"
    await settle(engine, dispute(intent))
    assert (await ask(api, order_id, "capture", "c1")).status_code == 202


async def test_the_timeline_names_disputes_and_warnings(api: Api, engine: AsyncEngine) -> None:
    order_id, intent = await paid(api, engine)
    shown, warned = dispute(intent), warning(intent)
    await disputes.settle_warnings(engine, [Seen.now(warned)])
    for word in ("warning_needs_response", "needs_response", "arbitration", "lost"):
        await settle(engine, now(shown, word))
    told = (await api.http.get(f"/v1/orders/{order_id}/timeline")).json()["data"]
    events = [(e["event"], e.get("dispute") or e.get("fraud_warning"), e.get("status")) for e in told[2:]]
    expected: list[tuple[Any, ...]] = [("fraud_warning.told", warned.id, None)]
    expected += [("dispute.told", shown.id, word) for word in
                 ("warning_needs_response", "needs_response", "arbitration", "lost")]  # fmt: skip
    assert [e for e in events if "told" in e[0]] == expected
    assert [e["status"] for e in told if e.get("unknown")] == ["arbitration"]


@pytest.mark.slow
async def test_eo_disputes_lists_and_shows(eo: Eo, api: Api, engine: AsyncEngine) -> None:
    none = await run(eo, "disputes", "list")
    assert (none.exit_code, none.stdout) == (0, "")
    assert "there is no dispute" in none.stderr
    order_id, intent = await paid(api, engine)
    shown = dispute(intent)
    await settle(engine, shown, dispute(intent, "won"))
    await settle(engine, now(shown, "under_review"))
    listed = json.loads((await run(eo, "disputes", "list", "--json")).stdout)
    assert {(one["status"], one["order_id"]) for one in listed} == {("under_review", order_id), ("won", order_id)}
    (one,) = json.loads((await run(eo, "disputes", "list", "--status", "under_review", "--json")).stdout)
    assert (one["id"], one["amount"], one["account"]) == (shown.id, 1999, "default")
    told = json.loads((await run(eo, "disputes", "show", shown.id, "--json")).stdout)
    assert [entry["status"] for entry in told["history"]] == ["needs_response", "under_review"]
    for words in (("disputes", "list"), ("disputes", "show", shown.id)):
        assert_fits((await run(eo, *words, columns=80)).stdout, 80)
    assert "19.99 usd" in (await run(eo, "disputes", "show", shown.id)).stdout
    wrong = await run(eo, "disputes", "list", "--status", "open")
    assert (wrong.exit_code, "needs_response" in wrong.stderr) == (2, True)
    assert "`eo disputes list`" in str((await run(eo, "disputes", "show", "nowhere")).exception)
