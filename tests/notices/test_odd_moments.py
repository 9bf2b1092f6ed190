"""What happens to an endpoint, a setting or PostgreSQL while a notice of it is in hand, and what a notice may hold."""

import asyncio
import json
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import text
from standardwebhooks.webhooks import WebhookVerificationError

from service.foundation.postgres.db import BY_KEY, close, create_engine
from service.foundation.postgres.sql import begin
from service.notices import Fact, endpoints, park, tell
from service.notices.lanes import claim, record, sweep
from service.notices.posting import Answer
from service.orders import get as get_order
from service.orders.model import METADATA_MAX
from tests.notices.listening import Producer, Receiver, Taken, listening, verified
from tests.operators import OPERATOR
from workers import notices as working


async def test_a_notice_whose_endpoint_is_deleted_while_it_is_sent_ends_as_it_came_out(
    producer: Producer, receiver: Receiver
) -> None:
    account, engine = await producer.books.default_account(), producer.books.engine
    for replies, before_the_answer, then in (
        ([], True, "delivered"),
        ([], False, "delivered"),
        ([b"500 Oops"], True, "dropped"),
        ([b"500 Oops"], False, "dropped"),
    ):
        endpoint = await producer.listens(receiver.url)
        await producer.tell()
        receiver.replies = list(replies)
        hands = producer.hands()
        await hands._begin()
        await endpoints.delete(engine, account, UUID(endpoint.id))
        if before_the_answer:
            assert await sweep(engine) == 1
        await asyncio.gather(*hands._sending)
        await hands._store()
        await sweep(engine)
        (row,) = [row for row in await producer.notices() if str(row["endpoint_id"]) == endpoint.id]
        assert row["status"] == then
        assert await producer.hands().once() == 0


async def test_a_secret_that_is_rolled_during_a_send_does_not_break_its_signature(
    producer: Producer, receiver: Receiver
) -> None:
    endpoint = await producer.listens(receiver.url)
    await producer.tell()
    hands = producer.hands()
    (in_hand,) = await claim(producer.books.engine, 1)
    account = await producer.books.default_account()
    rolled, _ = await endpoints.roll(producer.books.engine, account, UUID(endpoint.id), "roll-1")
    assert (await hands._post(in_hand)).is_success
    (taken,) = receiver.taken
    assert verified(taken, endpoint.secret)["type"] == "order.paid"
    with pytest.raises(WebhookVerificationError):
        verified(taken, rolled.secret)
    # A receiver that knows the new secret alone has refused it; the next try is signed with both.
    await record(producer.books.engine, [(in_hand, Answer(400, "400"))])
    await producer.passes(10)
    assert await hands.once() == 1
    assert all(verified(receiver.taken[1], secret) for secret in (endpoint.secret, rolled.secret))


@pytest.mark.parametrize(("setting", "word"), [("notice_private", "address refused"), ("notice_http", "URL refused")])
async def test_what_an_operator_forbids_later_waits_until_it_is_allowed_again(
    setting: str, word: str, producer: Producer, receiver: Receiver
) -> None:
    await producer.listens(receiver.url)
    await producer.tell()
    assert await producer.hands(**{setting: False}).once() == 1
    (row,) = await producer.notices()
    assert (row["status"], row["answer"], receiver.connections) == ("pending", word, 0)
    await producer.passes(10)
    assert await producer.hands().once() == 1
    assert (await producer.notices())[0]["status"] == "delivered"


async def test_the_largest_order_arrives_as_it_is_in_any_script(producer: Producer, receiver: Receiver) -> None:
    endpoint = await producer.listens(receiver.url)
    odd = '😀"\\\u2028é中'
    metadata = {f"{n:02d}{odd * 6}"[:40]: (odd * 80)[:500] for n in range(METADATA_MAX)}
    promise = await producer.books.order(metadata=metadata, description=(odd * 150)[:1000])
    order = await get_order(producer.books.engine, promise.account_id, promise.order_id)
    async with begin(producer.books.engine) as tx:
        await tell(tx, [Fact(promise.account_id, "order.paid", order.id, "", promise.order_id, order)])
    assert await producer.hands().once() == 1
    (taken,) = receiver.taken
    assert len(taken.body) > 50_000
    assert verified(taken, endpoint.secret)["data"] == json.loads(msgspec.json.encode(order))


async def test_an_answer_stored_twice_changes_no_notice(producer: Producer) -> None:
    await producer.listens("https://shop.example/")
    await producer.tell(3)
    claimed = await claim(producer.books.engine, 3)
    answers = [(n, Answer(s, str(s))) for n, s in zip(claimed, (204, 500, 410), strict=True)]
    await record(producer.books.engine, answers)
    once = await producer.notices()
    await record(producer.books.engine, answers)
    assert await producer.notices() == once


async def test_what_is_parked_in_hand_and_taken_all_the_same_is_delivered(
    producer: Producer, receiver: Receiver
) -> None:
    await producer.listens(receiver.url)
    await producer.tell()
    hands = producer.hands()
    await hands._begin()
    (row,) = await producer.notices()
    await park(producer.books.engine, row["id"], who=OPERATOR)
    await asyncio.gather(*hands._sending)
    await hands._store()
    assert (await producer.notices())[0]["status"] == "delivered"


async def test_an_answer_that_comes_while_postgresql_is_away_is_kept_and_stored(
    producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every connection ends, as at a restart, between a notice's claim and its answer."""
    monkeypatch.setattr(working, "_AGAIN_S", 0.05)
    arrived, answer = asyncio.Event(), asyncio.Event()
    taken: list[Taken] = []

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        taken.append(Taken("", {}, head))
        arrived.set()
        await answer.wait()
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()

    engine = create_engine(producer.books.settings, name="notices", pool=2, session=BY_KEY)
    async with listening(reply) as receiver, asyncio.timeout(30):
        await producer.listens(receiver.url)
        await producer.tell()
        hands, stop = producer.hands(), asyncio.Event()
        hands._engine = engine
        running = asyncio.create_task(hands.run(stop))
        await arrived.wait()
        await producer.books.engine.dispose()
        async with producer.owner.connect() as owner:
            await owner.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        answer.set()
        while (await producer.notices())[0]["status"] != "delivered":
            await asyncio.sleep(0.02)
        stop.set()
        await running
    await close(engine)
    (row,) = await producer.notices()
    assert (row["tries"], len(taken)) == (1, 1), "it was not sent again"
