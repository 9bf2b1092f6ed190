"""`eo refunds`: the newest of all accounts, one state, one by its name; the tables fit and `--json` has everything."""

import json

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.ops.test_order_commands import Eo, assert_fits, eo, run
from tests.web.afterwards import ask, order_in, rows
from tests.web.conftest import Api, api

__all__ = ["api", "eo"]  # fixtures

pytestmark = pytest.mark.slow


async def test_refunds_are_listed_and_shown_by_each_of_their_names(eo: Eo, api: Api, engine: AsyncEngine) -> None:
    none = await run(eo, "refunds", "list")
    assert (none.exit_code, none.stdout) == (0, "")
    assert "`eo orders list --status paid`" in none.stderr
    order_id = await order_in(api, engine, "paid")
    made = [(await ask(api, order_id, "refunds", key, amount=500)).json() for key in ("return-1", "return-2")]
    await rows(
        engine, "UPDATE refunds SET status = 'succeeded', stripe_refund_id = 're_1' WHERE producer_key = 'return-1'"
    )
    told = json.loads((await run(eo, "refunds", "list", "--json")).stdout)
    assert [row["id"] for row in told] == [made[1]["id"], made[0]["id"]]
    assert {"order_id", "account", "amount", "currency", "idempotency_key", "stripe_refund", "failure"} <= set(told[0])
    (one,) = json.loads((await run(eo, "refunds", "list", "--status", "succeeded", "--json")).stdout)
    assert one["id"] == made[0]["id"]
    for name in (made[0]["id"], "return-1", "re_1"):
        shown = json.loads((await run(eo, "refunds", "show", name, "--json")).stdout)["refund"]
        assert (shown["id"], shown["order_id"], shown["status"]) == (made[0]["id"], order_id, "succeeded")
    for words in (("refunds", "list"), ("refunds", "show", "return-1"), ("orders", "show", order_id)):
        printed = await run(eo, *words, columns=80)
        assert_fits(printed.stdout, 80)
        assert "5.00 usd" in printed.stdout or "10.00 usd" in printed.stdout
    wrong = await run(eo, "refunds", "list", "--status", "paid")
    assert (wrong.exit_code, "succeeded" in wrong.stderr) == (2, True)
    assert "`eo refunds list`" in str((await run(eo, "refunds", "show", "nowhere")).exception)


async def test_watching_an_order_tells_of_its_operations(eo: Eo, api: Api, engine: AsyncEngine) -> None:
    order_id = await order_in(api, engine, "paid")
    await ask(api, order_id, "refunds", amount=500)
    told = (await run(eo, "orders", "watch", order_id)).stdout
    said = " ".join(told.split())
    assert "The producer asked to refund the order" in said
    assert "The promise to refund 5.00 usd was stored, with its outbox row, in one transaction." in said
