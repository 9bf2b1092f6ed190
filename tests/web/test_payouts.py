"""Payouts through the API: of the whole installation, so only keys of the default account see them."""

import json
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service import payouts
from service.accounts import create_key
from service.foundation.settings import Settings
from service.payouts.contents import list_contents
from service.states import PAYOUT_STATUSES
from tests.operators import OPERATOR
from tests.ops.test_order_commands import Eo, assert_fits, eo, run
from tests.payouts.bodies import MADE, Stripe, movement, payout
from tests.payouts.test_contents import known, swept
from tests.web.afterwards import order_in, rows
from tests.web.conftest import Api, assert_problem, serve

__all__ = ["eo"]  # a fixture

LISTABLE: dict[str, Any] = {"reconciliation_status": "completed"}


async def filled(engine: AsyncEngine, order_id: str | None = None) -> None:
    """A payout with a charge of an order, a refund and a fee of Stripe's in it."""
    parts = [
        movement(id="txn_1", created=MADE - 100),
        movement(id="txn_2", created=MADE - 100, type="refund", reporting_category="refund", amount=-500, fee=0,
                 net=-500, source="re_1"),
        movement(id="txn_0", created=MADE - 50, type="stripe_fee", reporting_category="fee", amount=-7, fee=0, net=-7,
                 source=None),
    ]  # fmt: skip
    await known(engine, *parts)
    await rows(engine, "UPDATE balance_transactions SET order_id = :id WHERE id <> 'txn_0'", id=order_id)
    await swept(engine, MADE + 100)
    traced = {"trace_id": {"status": "supported", "value": "TRACE7"}}
    await payouts.settle(engine, [payout("paid", amount=1404, **traced, **LISTABLE)])
    await list_contents(engine, Stripe(contents={"po_1": parts}))


async def test_a_payout_and_what_is_in_it_are_shown(api: Api, engine: AsyncEngine) -> None:
    order_id = await order_in(api, engine, "paid")
    await filled(engine, order_id)
    shown = (await api.http.get("/v1/payouts/po_1")).json()
    assert shown == {
        "id": "po_1", "status": "paid", "amount": 1404, "currency": "usd", "arrival_date": "2026-11-27",
        "trace_id": "TRACE7", "failure": None, "created_at": "2026-11-25T00:00:00Z",
    }  # fmt: skip
    assert (await api.http.get("/v1/payouts")).json() == {"data": [shown], "next_cursor": None}
    inside = (await api.http.get("/v1/payouts/po_1/entries")).json()["data"]
    assert [(e["balance_transaction"], e["kind"], e["order_id"]) for e in inside] == [
        ("txn_0", "fee", None), ("txn_2", "refund", order_id), ("txn_1", "charge", order_id),
    ]  # fmt: skip
    assert sum(e["net"] for e in inside) == shown["amount"], "to the cent"
    assert inside[2] == {
        "order_id": order_id, "kind": "charge", "amount": 1999, "fee": 88, "net": 1911, "currency": "usd",
        "balance_transaction": "txn_1",
    }  # fmt: skip
    await payouts.settle(engine, [payout("failed", amount=1404)])
    failed = (await api.http.get("/v1/payouts/po_1")).json()
    why = {"code": "account_closed", "message": "The bank account has been closed."}
    assert (failed["status"], failed["failure"], failed["trace_id"]) == ("failed", why, "TRACE7")


async def test_pages_show_each_once_and_in_order(api: Api, engine: AsyncEngine) -> None:
    """Some are of one second; a cursor goes on behind the last one that was shown."""
    made = [
        payout(status, id=f"po_{n}", amount=1404, created=MADE + n // 2)
        for n, status in enumerate([*PAYOUT_STATUSES, "paid"])
    ]
    await payouts.settle(engine, made)
    seen, cursor = [], ""
    while cursor is not None:
        page = (await api.http.get(f"/v1/payouts?limit=2{cursor and '&cursor=' + cursor}")).json()
        seen += [one["id"] for one in page["data"]]
        cursor = page["next_cursor"]
    assert seen == ["po_5", "po_4", "po_3", "po_2", "po_1", "po_0"]
    assert [one["id"] for one in (await api.http.get("/v1/payouts?status=paid")).json()["data"]] == ["po_5", "po_2"]
    await filled(engine)
    first = (await api.http.get("/v1/payouts/po_1/entries?limit=2")).json()
    rest = (await api.http.get(f"/v1/payouts/po_1/entries?limit=2&cursor={first['next_cursor']}")).json()
    assert [e["balance_transaction"] for e in first["data"] + rest["data"]] == ["txn_0", "txn_2", "txn_1"]
    assert rest["next_cursor"] is None


async def test_keys_of_other_accounts_see_none_of_them(settings: Settings, engine: AsyncEngine) -> None:
    _, key = await create_key(engine, "second", who=OPERATOR)
    await filled(engine)
    async with serve(replace(settings, api_key=settings.api_key)) as api:
        theirs = {"Authorization": f"Bearer {key}"}
        assert (await api.http.get("/v1/payouts", headers=theirs)).json() == {"data": [], "next_cursor": None}
        for path in ("/v1/payouts/po_1", "/v1/payouts/po_1/entries"):
            assert_problem(await api.http.get(path, headers=theirs), 404, "not-found")
            assert (await api.http.get(path)).status_code == 200
            assert (await api.http.get(path, headers={"Authorization": ""})).status_code == 401


@pytest.mark.parametrize("name", ["po_2", "%00", "po_1%00", "po%201", "ü", "a" * 256, "..%2Forders"])
async def test_what_is_no_payout_is_not_found(api: Api, engine: AsyncEngine, name: str) -> None:
    await payouts.settle(engine, [payout()])
    for path in (f"/v1/payouts/{name}", f"/v1/payouts/{name}/entries"):
        assert (await api.http.get(path)).status_code == 404, path


@pytest.mark.parametrize(
    "query",
    ["status=arrived", "limit=0", "limit=101", "cursor=%00", "cursor=cG8gMQ", "cursor=cG9fMQ==", "cursor=cG9fMR",
     "cursor=", "order_id=1", "status=paid&status=paid"],
)  # fmt: skip
async def test_a_query_that_nobody_can_mean_is_refused(api: Api, query: str) -> None:
    assert_problem(await api.http.get(f"/v1/payouts?{query}"), 400, "query-invalid")


async def test_a_cursor_of_what_is_not_there_shows_nothing(api: Api, engine: AsyncEngine) -> None:
    await payouts.settle(engine, [payout()])
    assert (await api.http.get("/v1/payouts?cursor=cG9fMg")).json()["data"] == []


@pytest.mark.slow
async def test_eo_payouts_tells_what_is_in_one_by_kind_and_sum(eo: Eo, engine: AsyncEngine) -> None:
    none = await run(eo, "payouts", "list")
    assert (none.exit_code, none.stdout) == (0, "")
    assert "there is no payout" in none.stderr
    await filled(engine)
    await payouts.settle(engine, [payout("in_transit", id="po_2", automatic=False, amount=-250)])
    listed = json.loads((await run(eo, "payouts", "list", "--json")).stdout)
    assert [(one["id"], one["amount"], one["trace_id"]) for one in listed] == [
        ("po_2", -250, None), ("po_1", 1404, "TRACE7"),
    ]  # fmt: skip
    (one,) = json.loads((await run(eo, "payouts", "list", "--status", "paid", "--json")).stdout)
    assert one["id"] == "po_1"
    told = json.loads((await run(eo, "payouts", "show", "po_1", "--json")).stdout)
    assert told["in_it"] == [
        {"kind": "charge", "currency": "usd", "count": 1, "amount": 1999, "fee": 88, "net": 1911},
        {"kind": "fee", "currency": "usd", "count": 1, "amount": -7, "fee": 0, "net": -7},
        {"kind": "refund", "currency": "usd", "count": 1, "amount": -500, "fee": 0, "net": -500},
    ]
    assert (told["unexplained"], told["payout"]["history"][0]["status"]) == (0, "paid")
    for words in (("payouts", "list"), ("payouts", "show", "po_1"), ("payouts", "show", "po_2")):
        assert_fits((await run(eo, *words, columns=80)).stdout, 80)
    shown = (await run(eo, "payouts", "show", "po_1")).stdout
    for told_of in ("TRACE7", "14.04 usd", "19.11 usd", "-5.00 usd", "What is in it is its amount, to the cent."):
        assert told_of in shown
    assert "made by hand" in (await run(eo, "payouts", "show", "po_2")).stdout
    await rows(engine, "UPDATE balance_transactions SET payout_id = NULL WHERE id = 'txn_2'")
    assert "-5.00 usd of it is of movements" in (await run(eo, "payouts", "show", "po_1")).stdout
    wrong = await run(eo, "payouts", "list", "--status", "arrived")
    assert (wrong.exit_code, "in_transit" in wrong.stderr) == (2, True)
    assert "`eo payouts list`" in str((await run(eo, "payouts", "show", "nowhere")).exception)
