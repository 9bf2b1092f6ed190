"""A producer is told once that a payment is disputed, how that was decided, and that a bank believes it to be fraud."""

import json
from typing import Any

from service import disputes
from service.disputes import Seen
from service.notices import NOTICE_TYPES
from tests.charges.world import World
from tests.disputes.arguing import dispute, movement, now, paid, settle, warning


async def listen(world: World) -> None:
    """An endpoint of the default account that wants to hear everything."""
    await world.run(
        "INSERT INTO webhook_endpoints (id, account_id, idempotency_key, fingerprint, url, events)"
        " SELECT gen_random_uuid(), id, 'k', '', 'https://shop.example/', :events FROM accounts WHERE is_default",
        events=list(NOTICE_TYPES),
    )


async def told(world: World) -> list[tuple[str, dict[str, Any]]]:
    """What is owed to it about disputes and warnings: types, and the objects."""
    rows = await world.all("SELECT type, body FROM notices WHERE type ~ 'dispute|fraud' ORDER BY id")
    return [(row["type"], json.loads(row["body"])["data"]) for row in rows]


async def test_a_dispute_is_told_as_it_is_opened_and_decided_and_no_oftener(world: World) -> None:
    promise, intent = await paid(world)
    await listen(world)
    inquiry = dispute(intent, "warning_needs_response")
    for word in ("warning_needs_response", "needs_response", "under_review", "needs_response", "lost"):
        for _ in range(2):
            await settle(world, now(inquiry, word))
    took, gave = movement(-1999), movement(1999)
    for word, moved in (("appeal_under_review", [took]), ("won", [took, gave])):
        await settle(world, now(inquiry, word, balance_transactions=moved))
    assert [kind for kind, _ in await told(world)] == ["dispute.opened", "dispute.lost", "dispute.won"]
    _, opened = (await told(world))[0]
    assert (opened["id"], opened["order_id"], opened["status"]) == (inquiry.id, str(promise.order_id), "needs_response")
    assert opened["amount"] == 1999


async def test_a_dispute_that_is_first_seen_when_it_is_lost_is_told_as_lost(world: World) -> None:
    _, intent = await paid(world)
    await listen(world)
    await settle(world, dispute(intent, "lost"), dispute(intent, "warning_closed"), dispute(intent, "prevented"))
    assert [kind for kind, _ in await told(world)] == ["dispute.lost"]


async def test_a_dispute_that_was_forgotten_is_told_under_the_same_id(world: World) -> None:
    _, intent = await paid(world)
    await listen(world)
    shown = dispute(intent)
    await settle(world, shown)
    await world.run("UPDATE disputes SET id = id || '_forgotten'")
    await settle(world, shown)
    assert [kind for kind, _ in await told(world)] == ["dispute.opened"]


async def test_a_warning_is_told_once(world: World) -> None:
    promise, intent = await paid(world)
    await listen(world)
    shown = warning(intent)
    for _ in range(2):
        await disputes.settle_warnings(world.engine, [Seen.now(shown)])
    ((kind, data),) = await told(world)
    assert (kind, data["id"], data["order_id"]) == ("fraud_warning.created", shown.id, str(promise.order_id))
    assert (data["payment_intent"], data["actionable"]) == (intent, True)
