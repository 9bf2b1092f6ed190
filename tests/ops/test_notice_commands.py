"""`eo notices`: what producers are told, sent again or held back by hand."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.errors import NotFound
from service.foundation.postgres.db import bare_engine
from service.foundation.settings import Settings
from service.monitoring.overview import overview
from service.ops.cli import cli
from tests.charges.world import Books
from tests.notices.listening import Producer

Eo = Callable[..., Any]


@pytest.fixture
def eo(settings: Settings) -> Eo:
    """Run a command in a thread, because it brings its own event loop."""

    async def run(*words: str) -> Result:
        environ = {"DATABASE_URL": settings.database_url, "COLUMNS": "100"}
        return await asyncio.to_thread(CliRunner(env=environ).invoke, cli, words)

    return run


async def test_notices_are_listed_parked_and_resent(eo: Eo, engine: AsyncEngine, settings: Settings) -> None:
    producer = Producer(Books(engine, settings), bare_engine(settings.database_url))
    nothing = await eo("notices", "list")
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert "/v1/webhook_endpoints" in nothing.stderr
    await producer.listens("https://shop.example/notices")
    (order,) = await producer.tell()
    (listed,) = json.loads((await eo("notices", "list", "--json")).stdout)
    assert (listed["type"], listed["object_id"], listed["status"]) == ("order.paid", order.id, "pending")
    assert listed.keys().isdisjoint({"body", "secret"})
    assert listed["id"] in (await eo("notices", "list", "--order", order.id)).stdout

    assert (await eo("notices", "park", listed["id"])).exit_code == 0
    assert isinstance((await eo("notices", "park", listed["id"])).exception, NotFound)
    seen = await asyncio.to_thread(overview, settings)
    assert seen.notices is not None
    assert (seen.notices.waiting, seen.notices.parked) == (0, 1)
    assert seen.as_dict()["notices"]["parked"] == 1
    assert (await eo("notices", "list", "--status", "pending")).stdout == ""

    assert (await eo("notices", "resend")).exit_code == 2
    strange = await eo("notices", "resend", listed["id"], order.id)
    assert (strange.exit_code, "1 of 2" in strange.stderr, order.id in strange.stderr) == (2, True, True)
    await eo("notices", "park", listed["id"])
    assert "1 of 1" in (await eo("notices", "resend", "--all")).stderr
    await producer.owner.dispose()
