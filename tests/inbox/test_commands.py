"""`eo events`: what came, what is not settled, one event; and what Stripe could not deliver."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.inbox import read
from service.inbox.storing import store
from service.inbox.syncing import Synced, sync
from service.stripe_gateway.events import Snapshot
from service.stripe_gateway.objects import IncompleteListing
from tests.inbox.conftest import snapshot, thin
from tests.inbox.test_route import stored
from tests.ops.test_order_commands import Eo, assert_fits, eo, run

__all__ = ["eo"]  # a fixture

pytestmark = pytest.mark.slow


async def _told(engine: AsyncEngine, *events: dict[str, Any]) -> None:
    await store(engine, [read(json.dumps(event).encode()) for event in events], "webhook")


async def test_events_are_listed_and_shown(eo: Eo, engine: AsyncEngine) -> None:
    none = await run(eo, "events", "list")
    assert (none.exit_code, none.stdout) == (0, "")
    assert "`eo doctor`" in none.stderr
    one, other = snapshot("refund.failed", "re_1"), thin(about="pi_1")
    await _told(engine, one, one)
    await _told(engine, other)
    listed = json.loads((await run(eo, "events", "list", "--json")).stdout)
    assert [event["id"] for event in listed] == [other["id"], one["id"]]
    assert [event["state"] for event in listed] == ["unsettled", "unsettled"]
    assert listed[1]["received"] == 2
    assert listed[1]["kept"]["request"] == "req_1"
    for name in (one["id"], "re_1"):
        shown = json.loads((await run(eo, "events", "show", name, "--json")).stdout)
        assert (shown["id"], shown["object_id"], shown["source"]) == (one["id"], "re_1", "webhook")
    for words in (("events", "list", "--unsettled"), ("events", "show", "re_1")):
        printed = await run(eo, *words, columns=80)
        assert_fits(printed.stdout, 80)
        assert "re_1" in printed.stdout
    assert "`eo events sync`" in str((await run(eo, "events", "show", "evt_nowhere")).exception)
    assert len(json.loads((await run(eo, "events", "list", "--limit", "1", "--json")).stdout)) == 1


class Listing:
    """A list of Stripe's, which breaks off where it is told to."""

    def __init__(self, events: Sequence[dict[str, Any]], breaks_after: int | None = None) -> None:
        self._events, self._breaks_after = events, breaks_after

    async def list_undelivered_events(self, created_gte: int) -> AsyncIterator[Snapshot]:
        for number, event in enumerate(self._events):
            if number == self._breaks_after:
                raise IncompleteListing("a page could not be read")
            if event["created"] >= created_gte:
                yield msgspec.convert(event, Snapshot)


async def test_what_was_not_delivered_is_stored_once_and_not_counted_as_delivered(engine: AsyncEngine) -> None:
    events = [snapshot(about=f"pi_{n}") for n in range(250)]
    await _told(engine, events[0])
    said: list[int] = []
    found = await sync(engine, Listing(events), days=30, say=lambda so_far: said.append(so_far.listed))
    assert found == Synced(listed=250, stored=249)
    assert said == [100, 200, 250]
    assert (await sync(engine, Listing(events), days=30)).stored == 0
    rows = await stored(engine)
    assert [row["received"] for row in rows] == [1] * 250
    assert sorted({row["source"] for row in rows}) == ["sync", "webhook"]


async def test_what_was_read_before_a_list_broke_off_is_stored(engine: AsyncEngine) -> None:
    events = [snapshot(about=f"pi_{n}") for n in range(150)]
    with pytest.raises(IncompleteListing):
        await sync(engine, Listing(events, breaks_after=130), days=30)
    assert len(await stored(engine)) == 130


async def test_events_of_longer_ago_are_not_asked_for(engine: AsyncEngine) -> None:
    old = snapshot()
    old["created"] -= 2 * 86_400
    assert (await sync(engine, Listing([old]), days=1)).listed == 0
    assert (await sync(engine, Listing([old]), days=3)).stored == 1
