"""A parked row counts for what it promises: a charge, a capture, a cancellation or a refund (R36)."""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.reconcile.conftest import NOW, Ask
from tests.reconcile.records import write
from tests.reconcile.refund_stories import give_back, unsent
from tests.reconcile.world import HOUR, Story, declined, held, paid

OLD, MONTH = NOW - 3 * HOUR, timedelta(days=30)


@pytest.mark.parametrize("is_sent", [False, True])
async def test_a_parked_refund_is_its_own_discrepancy_however_old_and_not_its_orders(
    engine: AsyncEngine, ask: Ask, account: UUID, is_sent: bool
) -> None:
    parked, waits = (paid(account, NOW - 5 * HOUR) for _ in range(2))
    row = give_back(parked, OLD, status="pending") if is_sent else unsent(parked, OLD)
    row.parked = "key_conflict"
    give_back(waits, OLD, status="pending").asked_at = NOW + 6 * HOUR
    stripe = await write(engine, [parked, waits])
    # The first run that sees it comes when it is older than any window.
    for now, beside in ((NOW + timedelta(days=20), []), (NOW, ["in_flight"])):
        outcome = await ask(stripe, None, now)
        assert sorted(outcome.names) == sorted(["stale_pending", *beside])
        (found,) = (d for d in outcome.found if d.name == "stale_pending")
        assert (found.refund, found.amount) == (row.re or str(row.id), 500)
        assert (found.ours or {})["parked"] == "key_conflict"
        assert "order" not in (found.ours or {})


@pytest.mark.parametrize(("kind", "make"), [("capture", held), ("cancel", held), ("cancel", declined)])
async def test_a_parked_change_is_stale_at_any_age_and_says_why(
    engine: AsyncEngine, ask: Ask, account: UUID, kind: str, make: Callable[[UUID, datetime], Story]
) -> None:
    story = make(account, NOW - timedelta(minutes=2))
    story.promises, story.parked = kind, "poison"
    story.charge.asked_for_at = story.order.at
    stripe = await write(engine, [story])
    for now in (NOW, NOW + timedelta(days=5), NOW + MONTH):
        found = (await ask(stripe, None, now)).only("stale_pending")
        assert (found.order_id, (found.ours or {})["parked"]) == (story.order.id, "poison")


async def test_a_change_that_waits_for_its_turn_is_not_parked(engine: AsyncEngine, ask: Ask, account: UUID) -> None:
    story = held(account, OLD)
    story.promises, story.asked_at = "capture", NOW + HOUR
    story.charge.asked_for_at = NOW - timedelta(minutes=2)
    assert (await ask(await write(engine, [story]))).names == ["in_flight"]
