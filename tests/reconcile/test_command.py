"""`eo reconcile` as an operator meets it: a process, a Stripe at the wire, an exit code that can be trusted."""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen
from uuid import UUID

import pytest
from sqlalchemy import text

from service.foundation.postgres.db import create_engine
from service.foundation.settings import Settings
from service.ops.embedded import free_port
from tests import forks
from tests.conftest import NOBODY
from tests.reconcile.records import default_account, write
from tests.reconcile.world import OrderRow, Story, unknown, waiting
from tests.sandbox.process import KEY, SandboxProcess

pytestmark = pytest.mark.slow


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxProcess]:
    """A Stripe of its own: what others charged there would be missing here."""
    process = SandboxProcess(tmp_path / "sandbox.sqlite3")
    yield process.start()
    process.kill()


@pytest.fixture
def stripe(sandbox: SandboxProcess) -> str:
    return sandbox.base


@dataclass
class Answer:
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.out)
        return loaded


Eo = Callable[..., Answer]


@pytest.fixture
def eo(database: str, tmp_path: Path) -> Eo:
    def eo(*args: str, **environment: str) -> Answer:
        known = {
            "DATABASE_URL": database,
            "STRIPE_API_KEY": KEY,
            "STRIPE_API_BASE": NOBODY,
            "EO_DATA_DIR": str(tmp_path),
        }
        done = forks.run([sys.executable, "-m", "service", "reconcile", *args], env=os.environ | known | environment)
        return Answer(done.returncode, done.stdout, done.stderr)

    return eo


def _plant(stripe: str, **more: str) -> str:
    """A payment made at Stripe, past us; returns its id."""
    wanted = {
        "amount": "1999",
        "currency": "usd",
        "payment_method": "pm_card_visa",
        "confirm": "true",
        "automatic_payment_methods[enabled]": "true",
        "automatic_payment_methods[allow_redirects]": "never",
        **more,
    }
    request = Request(  # noqa: S310  our own sandbox
        f"{stripe}/v1/payment_intents", urlencode(wanted).encode(), {"Authorization": f"Bearer {KEY}"}
    )
    with urlopen(request) as answer:  # noqa: S310
        return str(json.load(answer)["id"])


def _on_record(database: str, begun: Callable[[UUID, datetime], Story], age: timedelta = timedelta()) -> OrderRow:
    """Put an order of this age on our record."""

    async def put() -> OrderRow:
        engine = create_engine(Settings(database_url=database), name="test")
        async with engine.connect() as connection:
            now = (await connection.execute(text("SELECT now()"))).scalar_one()
        story = begun(await default_account(engine), now - age)
        await write(engine, [story])
        await engine.dispose()
        return story.order

    return asyncio.run(put())


def test_nothing_to_report_is_0(eo: Eo, stripe: str) -> None:
    answer = eo("--json", STRIPE_API_BASE=stripe)
    assert (answer.code, answer.document["verdict"]) == (0, "clean")


def test_a_planted_payment_is_1_and_named(eo: Eo, stripe: str) -> None:
    planted = _plant(stripe)
    answer = eo("--format", "json", STRIPE_API_BASE=stripe, EO_RECONCILE_GRACE_S="0")
    assert (answer.code, answer.document["verdict"]) == (1, "discrepancies")
    found = answer.document["discrepancies"]
    assert [(d["class"], d["payment_intent"], d["amount"]) for d in found] == [("missing_locally", planted, 1999)]


def test_what_is_in_flight_is_shown_and_0(eo: Eo, stripe: str) -> None:
    planted = _plant(stripe)
    answer = eo(STRIPE_API_BASE=stripe)
    assert answer.code == 0
    assert planted in answer.out
    assert "verdict   clean; 1 in flight" in answer.out


def test_our_metadata_finds_the_order_whose_reply_was_lost(eo: Eo, stripe: str, database: str) -> None:
    order = _on_record(database, unknown)
    ours = {"eo_account": str(order.account_id), "eo_order": str(order.id), "eo_attempt": "1"}
    planted = _plant(stripe, **{f"metadata[{name}]": value for name, value in ours.items()})
    answer = eo("--json", STRIPE_API_BASE=stripe, EO_RECONCILE_GRACE_S="0")
    found = answer.document["discrepancies"]
    assert [(d["class"], d["payment_intent"], d["order_id"]) for d in found] == [
        ("status_mismatch", planted, str(order.id))
    ]


@pytest.mark.parametrize(
    "args",
    [
        ("--since", "yesterday"),
        ("--day", "2026-13-01"),
        ("--format", "html"),
        ("--nonsense",),
        ("--day", "2026-11-19", "--since", "2026-11-19"),
        ("--since", "2026-11-20", "--until", "2026-11-19"),
    ],
)
def test_a_wrong_question_is_2_and_asks_nobody(eo: Eo, args: tuple[str, ...]) -> None:
    answer = eo(*args)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("eo: ")


def test_a_window_in_the_future_is_2(eo: Eo, stripe: str) -> None:
    answer = eo("--since", "2999-01-01", STRIPE_API_BASE=stripe)
    assert (answer.code, answer.out) == (2, "")
    assert "--since in the past" in answer.err


def test_stripe_away_is_3(eo: Eo) -> None:
    answer = eo()
    assert (answer.code, answer.out, answer.err.count("\n")) == (3, "", 1)
    assert "Stripe did not answer" in answer.err


def test_the_database_away_is_3(eo: Eo, stripe: str) -> None:
    answer = eo(STRIPE_API_BASE=stripe, DATABASE_URL=f"postgresql://nobody@127.0.0.1:{free_port()}/none")
    assert (answer.code, answer.out, answer.err.count("\n")) == (3, "", 1)
    assert "PostgreSQL cannot be reached" in answer.err


def test_another_stripe_than_the_databases_is_refused(eo: Eo, stripe: str, database: str) -> None:
    async def bind() -> None:
        engine = create_engine(Settings(database_url=database), name="test")
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE instance SET stripe_account_id = 'acct_other'"))
        await engine.dispose()

    asyncio.run(bind())
    answer = eo(STRIPE_API_BASE=stripe)
    assert (answer.code, answer.out) == (2, "")
    assert "acct_other" in answer.err


def test_a_first_page_that_fails_is_4(eo: Eo, sandbox: SandboxProcess) -> None:
    sandbox.faults({"fault": "unauthorized_401", "method": "GET", "path": "/v1/payment_intents"})
    answer = eo("--json", STRIPE_API_BASE=sandbox.base)
    assert (answer.code, answer.document["verdict"]) == (4, "incomplete")
    assert [d["class"] for d in answer.document["discrepancies"]] == ["source_incomplete"]


def test_a_later_page_that_fails_is_4_even_where_there_are_discrepancies(eo: Eo, sandbox: SandboxProcess) -> None:
    for _ in range(101):
        _plant(sandbox.base)
    sandbox.faults({"fault": "unauthorized_401", "method": "GET", "path": "/v1/payment_intents", "nth": [2]})
    answer = eo("--json", STRIPE_API_BASE=sandbox.base, EO_RECONCILE_GRACE_S="0")
    assert (answer.code, answer.document["verdict"]) == (4, "incomplete")
    assert [d["class"] for d in answer.document["discrepancies"]] == ["source_incomplete"] + ["missing_locally"] * 100


def test_data_is_on_stdout_and_progress_on_stderr(eo: Eo, stripe: str) -> None:
    answer = eo("--format", "csv", STRIPE_API_BASE=stripe)
    assert answer.out.split(",") == [
        "class", "order_id", "payment_intent", "amount", "currency", "age_s", "first_seen", "ours", "stripe",
        "next_step", "fingerprint", "acknowledged", "refund", "payout", "dispute", "movement\n",
    ]  # fmt: skip
    assert "comparing" in answer.err


def test_an_order_nobody_sent_is_1_once_it_is_old(eo: Eo, stripe: str, database: str) -> None:
    order = _on_record(database, waiting, age=timedelta(minutes=11))
    answer = eo(STRIPE_API_BASE=stripe)
    assert answer.code == 1
    assert "stale_pending: 1, 19.99 usd, oldest 11m" in answer.out
    assert str(order.id) in answer.out
