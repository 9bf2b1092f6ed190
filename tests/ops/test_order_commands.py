"""`eo orders`: every table fits its terminal, `--json` has everything, and an error names the next command."""

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger, orders, outbox
from service.charges.ending import fail_by_hand
from service.foundation.postgres.sql import Statement, begin, connect
from service.foundation.settings import Settings
from service.ops import inspection, table
from service.ops.cli import cli
from service.orders.model import OrderRequest
from service.orders.store import Candidate
from tests.operators import OPERATOR

pytestmark = pytest.mark.slow

WIDTH = 100
LONG = "the answer's id, amount, currency or metadata is not this charge's; " * 3
ACCOUNT = Statement("SELECT id FROM accounts WHERE is_default")
OTHER = Statement("INSERT INTO accounts (id, name) VALUES (:id, 'other') RETURNING id")
ROWS = Statement("SELECT id FROM outbox ORDER BY id")
Eo = Callable[..., Result]


@pytest.fixture
def eo(settings: Settings) -> Eo:
    """Run a command here, on this test's database."""

    def run(*words: str, columns: int = WIDTH) -> Result:
        environ = {"DATABASE_URL": settings.database_url, "COLUMNS": str(columns)}
        return CliRunner(env=environ).invoke(cli, words)

    return run


async def place(engine: AsyncEngine, *keys: str, account: UUID | None = None) -> list[str]:
    async with connect(engine) as connection:
        owner = account or (await connection.column(ACCOUNT, {}))[0]
    wanted = OrderRequest(amount=1999, currency="usd", payment_method="pm_card_visa")
    placed = await orders.place(engine, [Candidate.of(owner, key, wanted) for key in keys])
    return [found.order.id for found in placed if isinstance(found, orders.Placed)]


async def park_all(engine: AsyncEngine, reason: str) -> None:
    async with connect(engine) as connection:
        for row_id in await connection.column(ROWS, {}):
            await outbox.park(engine, row_id, reason, who=OPERATOR)


async def run(eo: Eo, *words: str, **options: Any) -> Result:
    """In a thread, because a command brings its own event loop."""
    return await asyncio.to_thread(eo, *words, **options)


async def booked(engine: AsyncEngine) -> None:
    """Somebody's fees, so that there are balances."""
    async with begin(engine) as tx:
        (owner,) = await tx.column(ACCOUNT, {})
        now = datetime.now(UTC)
        fee = ledger.fee_entry(
            account_id=owner, order_id=None, payment_intent_id=None, balance_transaction_id="txn_1", fee_minor=88,
            currency="usd", occurred_at=now,
        )  # fmt: skip
        assert fee is not None
        await ledger.post(tx, [fee])


def assert_fits(printed: str, columns: int = WIDTH) -> None:
    assert printed
    assert max(map(len, printed.splitlines())) <= columns, printed


@pytest.mark.parametrize("columns", [60, 80, WIDTH, 300])
async def test_every_table_fits_its_terminal_and_breaks_no_id(eo: Eo, engine: AsyncEngine, columns: int) -> None:
    ids = await place(engine, "k" * 200, "cart-17")
    await park_all(engine, LONG)
    assert (await run(eo, "keys", "create", "--account", ("a shop " * 8).strip())).exit_code == 0
    alone = [("keys", "list"), ("settings",), ("ledger", "balances")]
    await booked(engine)
    for words in (("orders", "list"), ("outbox", "list"), ("orders", "show", ids[0]), *alone):
        done = await run(eo, *words, columns=columns)
        assert done.exit_code == 0, done.output
        assert_fits(done.stdout, min(columns, WIDTH))
        if words not in alone:
            assert ids[0] in done.stdout


async def test_an_id_that_is_no_parked_row_is_named_and_2(eo: Eo, engine: AsyncEngine) -> None:
    (order_id,) = await place(engine, "cart-17")
    await park_all(engine, LONG)
    async with connect(engine) as connection:
        (row_id,) = map(str, await connection.column(ROWS, {}))
    done = await run(eo, "outbox", "retry", row_id, order_id)
    assert (done.exit_code, "1 of 2" in done.stderr) == (2, True)
    assert order_id in done.stderr
    assert row_id not in done.stderr
    assert "nothing is parked" in (await run(eo, "outbox", "list", "--parked")).stderr


async def test_balances_are_a_table_of_money_at_80_columns_and_minor_units_in_json(eo: Eo, engine: AsyncEngine) -> None:
    await booked(engine)
    head, *rows = (await run(eo, "ledger", "balances", columns=80)).stdout.splitlines()
    assert head.split() == ["owner", "account", "debit", "credit", "balance"]
    assert any(re.search("expenses:stripe:processing +0.88 usd", row) for row in rows), rows
    assert {row["balance"] for row in json.loads((await run(eo, "ledger", "balances", "--json")).stdout)} == {88, -88}


async def test_a_list_has_the_newest_first_of_all_accounts_and_json_has_everything(eo: Eo, engine: AsyncEngine) -> None:
    async with connect(engine) as connection:
        (other,) = await connection.column(OTHER, {"id": uuid4()})
    (first,) = await place(engine, "k1")
    (second,) = await place(engine, "k1", account=other)
    told = json.loads((await run(eo, "orders", "list", "--json")).stdout)
    assert [(row["id"], row["account"]) for row in told] == [(second, "other"), (first, told[1]["account"])]
    assert {"idempotency_key", "amount", "currency", "payment_intent_id", "failure", "updated_at"} <= set(told[0])
    assert len(json.loads((await run(eo, "orders", "list", "--limit", "1", "--json")).stdout)) == 1
    both = await run(eo, "orders", "show", "k1")
    assert both.exit_code != 0
    assert first in str(both.exception)
    assert second in str(both.exception)


async def test_a_list_of_one_state_has_only_these(eo: Eo, engine: AsyncEngine) -> None:
    failed, pending = await place(engine, "k1", "k2")
    await park_all(engine, "to be looked at")
    await fail_by_hand(engine, UUID(failed), "not wanted", who=OPERATOR)
    for status, order_id in (("failed", failed), ("pending", pending)):
        told = json.loads((await run(eo, "orders", "list", "--status", status, "--json")).stdout)
        assert [row["id"] for row in told] == [order_id]
    none = await run(eo, "orders", "list", "--status", "canceled")
    assert (none.exit_code, none.stdout) == (0, "")
    assert "`eo status`" in none.stderr
    wrong = await run(eo, "orders", "list", "--status", "done")
    assert wrong.exit_code == 2
    assert "requires_action" in wrong.stderr


async def test_an_order_is_shown_by_its_id_and_by_its_key(eo: Eo, engine: AsyncEngine) -> None:
    key = str(uuid4())  # a key may look like an id
    (order_id,) = await place(engine, key)
    by_id, by_key = [json.loads((await run(eo, "orders", "show", name, "--json")).stdout) for name in (order_id, key)]
    assert by_id["order"] == by_key["order"]
    assert [event["event"] for event in by_id["timeline"]] == [event["event"] for event in by_key["timeline"]]
    assert by_id["order"]["id"] == order_id
    assert by_id["timeline"][0]["event"] == "order.accepted"
    shown = (await run(eo, "orders", "show", key)).stdout
    assert "19.99 usd" in shown
    assert "order.accepted" in shown
    unknown = await run(eo, "orders", "show", "nowhere")
    assert "`eo orders list`" in str(unknown.exception)


async def test_watching_an_order_ends_with_it(eo: Eo, engine: AsyncEngine) -> None:
    (order_id,) = await place(engine, "k1")
    await park_all(engine, "to be looked at")
    watching = asyncio.create_task(run(eo, "orders", "watch", order_id))
    await asyncio.sleep(0.2)
    assert not watching.done()
    await fail_by_hand(engine, UUID(order_id), "not wanted", who=OPERATOR)
    done = await watching
    assert done.exit_code == 0, done.output
    *story, end = done.stdout.splitlines()
    assert story[0].startswith(f"Order {order_id}: 19.99 usd, under the key k1.")
    assert "The producer" in story[2]
    assert "The order is failed." in story[-1]
    assert end == "Stripe was not called."


async def test_what_counts_down_is_told_once(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    (order_id,) = await place(engine, "k1")
    looks = 0

    async def timeline(*about: Any) -> list[dict[str, Any]]:
        nonlocal looks
        looks += 1
        if looks == 4:
            await park_all(engine, "to be looked at")
            await fail_by_hand(engine, UUID(order_id), "not wanted", who=OPERATOR)
        return await orders.timeline(*about)

    async with engine.begin() as connection:  # out at a worker, for three looks at least
        await connection.execute(text("UPDATE outbox SET published = 1, deliver_after = now() + interval '8 s'"))
    monkeypatch.setattr(inspection, "timeline", timeline)
    monkeypatch.setattr(inspection, "_LOOK_AGAIN_S", 0.7)
    told = [event async for event in inspection.follow(engine, order_id)]
    assert [event["event"] for event in told][-1] == "order.failed"
    assert [event["event"] for event in told].count("outbox.due") == 1


async def test_watching_everything_ends_with_ctrl_c(settings: Settings, engine: AsyncEngine) -> None:
    (order_id,) = await place(engine, "k1")
    environ = {"PATH": os.environ["PATH"], "DATABASE_URL": settings.database_url}
    command = [sys.executable, "-m", "service", "orders", "watch", "--json"]
    # A shell starts what runs in its background, perhaps these tests, with Ctrl-C ignored.
    process = await asyncio.create_subprocess_exec(
        *command, env=environ, stdout=PIPE, stderr=PIPE, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    )
    try:
        assert process.stdout
        assert json.loads(await process.stdout.readline())["id"] == order_id
        process.send_signal(signal.SIGINT)
        _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 130
    assert b"Traceback" not in said


def test_what_is_too_wide_for_a_table_is_a_field_a_line() -> None:
    row = {"id": "a" * 36, "other": "b" * 36, "why": "word " * 30}
    for columns in (200, 100, 60):
        printed = table.lines([row, row], columns)
        assert max(map(len, printed)) <= columns
        assert "".join(printed).count("word") == 60
        assert sum("a" * 36 in line for line in printed) == 2
    assert table.lines([], 80) == []


def test_an_age_is_in_its_largest_unit() -> None:
    now = datetime.now(UTC)
    assert table.age(now - timedelta(minutes=12, seconds=30)) == "12m"
    assert table.age(now + timedelta(days=2, seconds=5)) == "in 2d"
    assert table.age(now) == "0s"
