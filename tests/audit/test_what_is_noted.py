"""Whatever an operator changes is in the audit, in the same transaction: without its note, it did not happen."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import click
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service.audit import Action
from service.foundation.errors import NotFound
from service.foundation.postgres import roles
from service.foundation.postgres.db import bare_engine
from service.foundation.postgres.schema import metadata
from service.foundation.settings import Settings
from service.ops.cli import cli
from tests.web.afterwards import ask, one, order_in, rows
from tests.web.conftest import Api, api

__all__ = ["api"]  # a fixture

READS = "reads"
# What each command does that a person could ask about later. One that is new is red until it stands here.
COMMANDS: dict[str, str] = {
    "audit list": READS,
    "console link": Action.CONSOLE_LINK,
    "disputes list": READS,
    "disputes show": READS,
    "doctor": READS,
    "events list": READS,
    "events show": READS,
    "events sync": "stores what Stripe would have delivered",
    "healthy": READS,
    "instance fork": Action.INSTANCE_FORK,
    "keys create": Action.KEY_CREATE,
    "keys list": READS,
    "keys revoke": Action.KEY_REVOKE,
    "keys roll": Action.KEY_ROLL,
    "ledger balances": READS,
    "ledger suspense": READS,
    "ledger verify": READS,
    "migrate": "the schema knows its own revision; the audit may not be there yet",
    "notices list": READS,
    "notices park": Action.NOTICE_PARK,
    "notices resend": Action.NOTICE_RESEND,
    "orders fail": Action.ORDER_FAIL,
    "orders list": READS,
    "orders show": READS,
    "orders watch": READS,
    "outbox list": READS,
    "outbox park": Action.OUTBOX_PARK,
    "outbox retry": Action.OUTBOX_RETRY,
    "payouts list": READS,
    "payouts show": READS,
    "reconcile": "its run is on record; what --heal --yes does is noted: tests/reconcile/test_healing_refunds.py",
    "reconcile ack": Action.DISCREPANCY_ACKNOWLEDGE,
    "recover": "does what relays do by themselves; the database's life says what was found",
    "refunds fail": Action.REFUND_FAIL,
    "refunds list": READS,
    "refunds show": READS,
    "reset": "deletes the embedded database, and the audit with it",
    "settings": READS,
    "status": READS,
    **dict.fromkeys(("up", "api", "relay", "worker", "sandbox", "demo"), "is a process, and no person"),
}
ID = str(uuid4())
# Words that a reading command needs, so that it comes as far as its query.
NEEDED = {
    "disputes show": ["dp_none"], "events show": ["evt_none"], "orders show": [ID], "orders watch": [ID],
    "payouts show": ["po_none"], "refunds show": [ID], "healthy": ["relay"],
}  # fmt: skip


@dataclass
class Case:
    """An operator in front of an installation, and what is to be found in the audit."""

    api: Api
    engine: AsyncEngine
    settings: Settings

    async def eo(self, *words: str) -> Result:
        """Run a command in a thread, because it brings its own event loop."""
        environ = {
            "DATABASE_URL": self.settings.database_url, "REDIS_URL": self.settings.redis_url,
            "EO_DATA_DIR": str(self.settings.data_dir), "STRIPE_API_KEY": self.settings.stripe_api_key,
        }  # fmt: skip
        return await asyncio.to_thread(CliRunner(env=environ).invoke, cli, words)

    async def row(self, order_id: str) -> str:
        """The only outbox row of an order."""
        return str(await one(self.engine, "SELECT id FROM outbox WHERE order_id = :id", id=order_id))

    async def as_owner(self, *statements: str) -> None:
        """Run statements as the owner of the tables."""
        owner = bare_engine(self.settings.database_url)
        async with owner.begin() as connection:
            for statement in statements:
                await connection.execute(text(statement))
        await owner.dispose()

    async def everything(self) -> dict[str, str]:
        """A digest of each table, the audit aside, and what a look at the database leaves."""
        tables = [name for name in metadata.tables if name not in ("audit", "duties")]
        digest = "SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {} t"
        return {name: str(await one(self.engine, digest.format(name))) for name in tables}


@dataclass
class Expected:
    """A command, and what its note says."""

    words: list[str]
    subject: str | None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    order_id: str | None = None


async def _parks(case: Case) -> Expected:
    order_id = (await case.api.order("parked")).json()["id"]
    row = await case.row(order_id)
    before, after = {"kind": "charge", "parked": False, "last_error": None}, {"parked": True}
    return Expected(["outbox", "park", row, "--reason", "why"], row, before, after, order_id)


async def _retries(case: Case) -> Expected:
    order_id = (await case.api.order("retried")).json()["id"]
    row = await case.row(order_id)
    await case.eo("outbox", "park", row, "--reason", "look at it")
    before, after = {"kind": "charge", "parked": True, "last_error": "look at it"}, {"parked": False}
    return Expected(["outbox", "retry", row, "--reason", "why"], row, before, after, order_id)


async def _fails_an_order(case: Case) -> Expected:
    order_id = (await case.api.order("failed")).json()["id"]
    await case.eo("outbox", "park", await case.row(order_id), "--reason", "look at it")
    before, after = {"status": "pending", "last_error": "look at it"}, {"status": "failed"}
    return Expected(["orders", "fail", order_id, "--reason", "why"], order_id, before, after, order_id)


async def _fails_a_refund(case: Case) -> Expected:
    order_id = await order_in(case.api, case.engine, "paid", "refunded")
    refund = (await ask(case.api, order_id, "refunds", "refunded")).json()["id"]
    await case.eo("outbox", "park", await case.row(order_id), "--reason", "look at it")
    before, after = {"status": "pending", "last_error": "look at it"}, {"status": "failed"}
    return Expected(["refunds", "fail", refund, "--reason", "why"], refund, before, after, order_id)


async def _noticed(case: Case, key: str) -> tuple[str, str]:
    """An order that ended, and the notice of it."""
    wanted = {"url": "https://shop.example/notices", "events": ["order.failed"]}
    await case.api.http.post("/v1/webhook_endpoints", json=wanted, headers={"Idempotency-Key": "listens"})
    order_id = (await case.api.order(key)).json()["id"]
    await case.eo("outbox", "park", await case.row(order_id), "--reason", "look at it")
    await case.eo("orders", "fail", order_id, "--reason", "why")
    return order_id, str(await one(case.engine, "SELECT id FROM notices WHERE order_id = :id", id=order_id))


async def _parks_a_notice(case: Case) -> Expected:
    order_id, notice = await _noticed(case, "told")
    before, after = {"status": "pending", "answer": None}, {"status": "parked"}
    return Expected(["notices", "park", notice, "--reason", "why"], notice, before, after, order_id)


async def _resends_a_notice(case: Case) -> Expected:
    order_id, notice = await _noticed(case, "told-again")
    await case.eo("notices", "park", notice)
    before, after = {"status": "parked", "answer": None}, {"status": "pending"}
    return Expected(["notices", "resend", notice, "--reason", "why"], notice, before, after, order_id)


async def _acknowledges(case: Case) -> Expected:
    run, fingerprint = uuid4(), "ab" * 32
    await rows(
        case.engine,
        "INSERT INTO reconciliation_runs (id, window_start, window_end, source) VALUES (:id, now(), now(), 'api')",
        id=run,
    )
    await rows(
        case.engine,
        """INSERT INTO discrepancies (fingerprint, class, amount_minor, currency, first_run_id, last_run_id)
           VALUES (:fingerprint, 'fee_missing', 5, 'usd', :run, :run)""",
        fingerprint=fingerprint, run=run,
    )  # fmt: skip
    before, after = {"class": "fee_missing", "amount": 5, "currency": "usd"}, {"acknowledged_by": "anna"}
    return Expected(["reconcile", "ack", fingerprint[:8], "--reason", "why"], fingerprint, before, after)


async def _creates_a_key(case: Case) -> Expected:
    return Expected(
        ["keys", "create", "--account", "shop"],
        None,
        None,
        {"account": "shop", "scopes": "admin", "rps": None, "expires_at": None},
    )


async def _revokes_a_key(case: Case) -> Expected:
    made = await case.eo("keys", "create", "--account", "shop", "--json")
    public_id = json.loads(made.stdout)["id"]
    words = ["keys", "revoke", public_id, "--reason", "why"]
    return Expected(words, public_id, {"revoked": False}, {"revoked": True})


async def _rolls_a_key(case: Case) -> Expected:
    made = await case.eo("keys", "create", "--account", "shop", "--json")
    public_id = json.loads(made.stdout)["id"]
    return Expected(["keys", "roll", public_id, "--reason", "why"], public_id, {"expires_at": None})


async def _makes_a_link(case: Case) -> Expected:
    after = {"actor": "ben", "role": "read", "minutes": 15}
    return Expected(["console", "link", "--for", "ben"], None, None, after)


async def _forks(case: Case) -> Expected:
    before = str(await one(case.engine, "SELECT uuid FROM instance"))
    return Expected(["instance", "fork", "--yes"], "instance", {"uuid": before})


CASES: dict[Action, Callable[[Case], Awaitable[Expected]]] = {
    Action.OUTBOX_PARK: _parks,
    Action.OUTBOX_RETRY: _retries,
    Action.ORDER_FAIL: _fails_an_order,
    Action.REFUND_FAIL: _fails_a_refund,
    Action.NOTICE_PARK: _parks_a_notice,
    Action.NOTICE_RESEND: _resends_a_notice,
    Action.DISCREPANCY_ACKNOWLEDGE: _acknowledges,
    Action.KEY_CREATE: _creates_a_key,
    Action.KEY_REVOKE: _revokes_a_key,
    Action.KEY_ROLL: _rolls_a_key,
    Action.INSTANCE_FORK: _forks,
    Action.CONSOLE_LINK: _makes_a_link,
}


@pytest.fixture
def case(api: Api, engine: AsyncEngine, settings: Settings) -> Case:
    """An operator in front of an installation."""
    return Case(api, engine, settings)


def leaves(command: click.Command = cli, path: str = "") -> list[str]:
    """Every command that does something by itself."""
    if not isinstance(command, click.Group):
        return [path]
    context = click.Context(command)
    inner = {name: command.get_command(context, name) for name in command.list_commands(context)}
    own = [path] if command.invoke_without_command else []
    return own + [leaf for name, found in inner.items() if found for leaf in leaves(found, f"{path} {name}".strip())]


def test_of_every_command_it_is_known_whether_it_is_noted() -> None:
    assert set(leaves()) == set(COMMANDS)
    assert {found for found in COMMANDS.values() if isinstance(found, Action)} == set(CASES)


@pytest.mark.parametrize("action", CASES)
async def test_an_action_is_noted_in_its_own_transaction_or_does_not_happen(case: Case, action: Action) -> None:
    expected = await CASES[action](case)
    role = await one(case.engine, f"SELECT {roles.NAME}")
    await case.as_owner(f'REVOKE INSERT ON audit FROM "{role}"')
    before = await case.everything()
    assert (await case.eo(*expected.words, "--by", "anna")).exception is not None
    assert await case.everything() == before, "an action that could not be noted changes nothing"

    await case.as_owner(f'GRANT INSERT ON audit TO "{role}"')
    done = await case.eo(*expected.words, "--by", "anna")
    assert done.exit_code == 0, done.output
    assert await case.everything() != before
    told = json.loads((await case.eo("audit", "list", "--json")).stdout)[0]
    assert (told["actor"], told["via"], told["action"]) == ("anna", "cli", action)
    assert told["subject"] == (expected.subject or told["subject"])
    assert told["before"] == expected.before
    assert expected.after is None or told["after"] == expected.after
    assert told["order_id"] == expected.order_id
    assert told["reason"] == ("why" if "--reason" in expected.words else None)
    for name in filter(None, (expected.subject, expected.order_id)):
        (first, *_) = json.loads((await case.eo("audit", "list", "--subject", name, "--json")).stdout)
        assert first["id"] == told["id"]


async def test_what_changes_nothing_notes_nothing_and_all_is_a_note_for_each(case: Case) -> None:
    orders = [(await case.api.order(f"k{n}")).json()["id"] for n in range(3)]
    ids = [await case.row(order_id) for order_id in orders]
    assert "nobody did anything" in (await case.eo("audit", "list")).stderr
    for words in (["outbox", "retry", ids[0]], ["outbox", "retry", "--all"], ["notices", "resend", "--all"]):
        await case.eo(*words)
    assert isinstance((await case.eo("outbox", "park", ID, "--reason", "why")).exception, NotFound)
    public_id = json.loads((await case.eo("keys", "create", "--account", "shop", "--json")).stdout)["id"]
    for _ in range(2):
        await case.eo("keys", "revoke", public_id)
    noted = json.loads((await case.eo("audit", "list", "--json")).stdout)
    assert [one["action"] for one in noted] == ["key.revoke", "key.create"]

    for row in ids[:2]:
        await case.eo("outbox", "park", row, "--reason", "look at it")
    await case.eo("outbox", "retry", "--all")
    noted = json.loads((await case.eo("audit", "list", "--limit", "2", "--json")).stdout)
    assert {(one["action"], one["subject"], one["order_id"]) for one in noted} == {
        ("outbox.retry", row, order_id) for row, order_id in zip(ids[:2], orders[:2], strict=True)
    }
    printed = await case.eo("audit", "list", "--subject", orders[0])
    assert printed.exception is None, printed.exception
    assert {"outbox.retry", "outbox.park", ids[0], "True", "False", "look"} <= set(printed.stdout.split())


async def test_a_command_that_reads_asks_for_no_write(case: Case) -> None:
    """PostgreSQL itself is the judge: sessions are read-only."""
    database = await one(case.engine, "SELECT current_database()")
    await case.as_owner(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    for command in [name for name, what in COMMANDS.items() if what == READS]:
        done = await case.eo(*command.split(), *NEEDED.get(command, []))
        assert "read-only transaction" not in f"{done.output} {done.exception}", command
    refused = await case.eo("keys", "create", "--account", "shop")
    assert "read-only transaction" in str(refused.exception), "the judge is awake"


def test_the_page_about_the_audit_names_every_action() -> None:
    page = (Path(__file__).parents[2] / "docs/howto/who-did-what.md").read_text()
    assert [action for action in Action if f"`{action}`" not in page] == []
