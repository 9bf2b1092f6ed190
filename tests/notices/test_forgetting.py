"""Delivered notices are deleted some day, and until then an order's timeline names them."""

import asyncio
from uuid import UUID

import pytest

from service.foundation.errors import NotFound
from service.notices import endpoints, lanes
from service.notices.lanes import sweep
from service.orders.timeline import timeline
from tests.notices.listening import Producer, Receiver

DAY = 24 * 3600.0


async def test_after_its_days_what_was_delivered_or_dropped_is_deleted_and_what_is_owed_stays(
    producer: Producer, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, engine = await producer.books.default_account(), producer.books.engine
    deleted = await producer.listens("https://deleted.example/")
    await producer.tell(3)
    await endpoints.delete(engine, account, UUID(deleted.id))
    assert await sweep(engine) == 3
    gone = await producer.listens(receiver.url)
    await producer.tell(2)
    receiver.replies = [b"410 Gone"] * 2
    assert await producer.hands().once() == 2
    await producer.listens(receiver.url)
    await producer.tell(4)
    receiver.replies = [b"204 OK"] * 3 + [b"500 Oops"]
    hands = producer.hands(notice_keep_days=7)
    assert await hands.once() == 4

    async def left() -> dict[str, int]:
        rows = await producer.books.all("SELECT status, count(*) AS n FROM notices GROUP BY status")
        return {row["status"]: row["n"] for row in rows}

    before = {"dropped": 3, "parked": 2, "delivered": 3, "pending": 1}
    await producer.passes(7 * DAY - 600)
    await hands._forget()
    assert await left() == before
    await producer.passes(600)
    monkeypatch.setattr(lanes, "_SWEPT_MAX", 2)
    assert await hands._forget() == 2, "a batch, and there may be more"
    assert sum((await left()).values()) == sum(before.values()) - 2
    monkeypatch.undo()
    stop = asyncio.Event()
    running = asyncio.create_task(hands.run(stop))
    async with asyncio.timeout(10):
        while sum((await left()).values()) > 3:  # two are parked; one is owed, and sent meanwhile or not
            await asyncio.sleep(0.02)
    stop.set()
    await running
    assert sum((await left()).values()) == 3
    kept = [row for row in await producer.notices() if row["status"] == "parked"]
    assert {str(row["endpoint_id"]) for row in kept} >= {gone.id}


async def test_a_timeline_names_what_was_told_and_what_was_given_up(producer: Producer, receiver: Receiver) -> None:
    account, engine = await producer.books.default_account(), producer.books.engine
    taken = await producer.listens(receiver.url)
    other, _ = await producer.tell(2)
    assert await producer.hands().once() == 2
    await endpoints.delete(engine, account, UUID(taken.id))
    taken, refused = await producer.listens(receiver.url), await producer.listens(f"{receiver.url}&gone")
    (order,) = await producer.tell()
    assert [event for event in await timeline(engine, account, UUID(order.id)) if "notice" in event] == []
    receiver.replies = [b"500 Oops"] * 2
    assert await producer.hands().once() == 2
    await producer.passes(10)
    (row,) = [row for row in await producer.notices() if str(row["endpoint_id"]) == refused.id]
    await producer.books.run("UPDATE notices SET status = 'parked', ended_at = now() WHERE id = :id", id=row["id"])
    assert await producer.hands().once() == 1
    named = [event for event in await timeline(engine, account, UUID(order.id)) if "notice" in event]
    by_endpoint = {
        str(row["endpoint_id"]): row for row in await producer.notices() if row["order_id"] == UUID(order.id)
    }
    assert named == [
        {
            "at": by_endpoint[endpoint.id]["ended_at"],
            "event": event,
            "notice": str(by_endpoint[endpoint.id]["id"]),
            "type": "order.paid",
            "endpoint": endpoint.id,
            "webhook_id": by_endpoint[endpoint.id]["webhook_id"],
            "tries": tries,
            "answer": answer,
        }
        for endpoint, event, tries, answer in (
            (refused, "notice.parked", 1, "500"),
            (taken, "notice.sent", 2, "204"),
        )
    ]
    assert len({event["webhook_id"] for event in named}) == 1, "one fact, however many hear of it"
    assert [e["event"] for e in await timeline(engine, account, UUID(other.id)) if "notice" in e] == ["notice.sent"]
    with pytest.raises(NotFound):
        await timeline(engine, await producer.books.other_account(), UUID(order.id))
