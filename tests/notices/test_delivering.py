"""From the fact to the receiver: signed, at least once, again after its pause, and never for ever."""

import asyncio
import json
import re
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from standardwebhooks.webhooks import WebhookVerificationError

from service import notices
from service.foundation.postgres.db import BY_KEY, create_engine
from service.foundation.postgres.sql import begin
from service.notices import endpoints, lanes
from service.notices.lanes import PAUSES_S, sweep
from tests.notices.listening import Producer, Receiver, Taken, listening, verified
from tests.operators import OPERATOR


async def test_a_notice_is_delivered_once_signed_and_with_the_object(producer: Producer, receiver: Receiver) -> None:
    endpoint = await producer.listens(receiver.url)
    (order,) = await producer.tell()
    hands = producer.hands()
    assert [await hands.once(), await hands.once()] == [1, 0]
    (taken,) = receiver.taken
    body = verified(taken, endpoint.secret)
    assert body["type"] == "order.paid"
    assert datetime.fromisoformat(body["timestamp"]).tzinfo == UTC
    assert body["data"] == json.loads(msgspec.json.encode(order))
    assert taken.target == "/hook?of=shop"
    assert taken.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert taken.headers["content-type"] == "application/json"
    (row,) = await producer.notices()
    assert (row["status"], row["tries"], row["answer"]) == ("delivered", 1, "204")
    assert taken.headers["webhook-id"] == row["webhook_id"]


async def test_a_changed_body_or_another_secret_is_no_notice_of_ours(producer: Producer, receiver: Receiver) -> None:
    endpoint, other = await producer.listens(receiver.url), await producer.listens(receiver.url)
    await producer.tell()
    await producer.hands().once()
    for taken in receiver.taken:
        secrets = [endpoint.secret, other.secret]
        signed_with = [secret for secret in secrets if _is_signed(taken, secret)]
        assert len(signed_with) == 1
        taken.body += b" "
        assert not any(_is_signed(taken, secret) for secret in secrets)


def _is_signed(taken: Taken, secret: str | None) -> bool:
    try:
        verified(taken, secret)
    except WebhookVerificationError:
        return False
    return True


async def test_a_failed_try_comes_again_after_its_pause_under_the_same_id(
    producer: Producer, receiver: Receiver
) -> None:
    await producer.listens(receiver.url)
    await producer.tell()
    hands = producer.hands()
    pauses = []
    receiver.replies = [b"500 Oops"] * 7
    for _ in range(7):
        assert await hands.once() == 1
        (row,) = await producer.notices()
        pauses.append((row["deliver_after"] - row["tried_at"]).total_seconds())
        assert await hands.once() == 0, "before its time"
        await producer.passes(pauses[-1])
    for pause, wanted in zip(pauses, (*PAUSES_S, 21_600, 21_600), strict=True):
        assert wanted <= pause <= wanted * 1.1 + 5
    assert await hands.once() == 1
    assert (await producer.notices())[0]["status"] == "delivered"
    assert len({taken.headers["webhook-id"] for taken in receiver.taken}) == 1


async def test_after_three_days_it_is_parked_and_a_resend_tries_anew(producer: Producer, receiver: Receiver) -> None:
    await producer.listens(receiver.url)
    await producer.tell()
    receiver.replies = [b"503 Busy"] * 2
    await producer.hands().once()
    await producer.passes(71 * 3600)
    await sweep(producer.books.engine)
    assert await producer.hands().once() == 1, "not yet"
    await producer.passes(3600)
    assert await sweep(producer.books.engine) == 1
    assert await producer.hands().once() == 0
    (row,) = await producer.notices()
    assert (row["status"], row["answer"]) == ("parked", "503")
    assert await notices.resend(producer.books.engine, who=OPERATOR) == [row["id"]]
    assert await producer.hands().once() == 1
    assert (await producer.notices())[0]["status"] == "delivered"
    assert await notices.resend(producer.books.engine, [row["id"]], who=OPERATOR) == [row["id"]], "a delivered one, too"
    await producer.hands().once()
    assert [taken.headers["webhook-id"] for taken in receiver.taken] == [row["webhook_id"]] * 4


async def test_an_endpoint_that_answers_410_is_sent_nothing_any_more(producer: Producer, receiver: Receiver) -> None:
    endpoint = await producer.listens(receiver.url)
    await producer.tell(2)
    receiver.replies = [b"410 Gone"] * 2
    await producer.hands().once()
    assert [row["status"] for row in await producer.notices()] == ["parked"] * 2
    await producer.tell()
    assert len(await producer.notices()) == 2
    account = await producer.books.default_account()
    shown = await endpoints.get(producer.books.engine, account, UUID(endpoint.id))
    assert shown.status == "gone"


async def test_what_a_deleted_endpoint_was_owed_is_dropped(producer: Producer, receiver: Receiver) -> None:
    endpoint = await producer.listens(receiver.url)
    await producer.tell(3)
    account = await producer.books.default_account()
    await endpoints.delete(producer.books.engine, account, UUID(endpoint.id))
    assert await producer.hands().once() == 0
    assert await sweep(producer.books.engine) == 3
    assert {row["status"] for row in await producer.notices()} == {"dropped"}
    assert await notices.resend(producer.books.engine, who=OPERATOR) == []
    assert receiver.taken == []


async def test_for_a_day_after_a_roll_both_secrets_sign(producer: Producer, receiver: Receiver) -> None:
    endpoint = await producer.listens(receiver.url)
    account, engine = await producer.books.default_account(), producer.books.engine
    rolled, _ = await endpoints.roll(engine, account, UUID(endpoint.id), "roll-1")
    assert rolled.secret not in (None, endpoint.secret)
    await producer.tell()
    await producer.hands().once()
    assert all(_is_signed(receiver.taken[0], secret) for secret in (endpoint.secret, rolled.secret))
    await producer.passes(24 * 3600)
    await producer.tell()
    await producer.hands().once()
    assert [_is_signed(receiver.taken[1], secret) for secret in (endpoint.secret, rolled.secret)] == [False, True]


async def test_a_fact_told_twice_is_one_notice(producer: Producer, receiver: Receiver) -> None:
    await producer.listens(receiver.url)
    (order,) = await producer.tell()
    (row,) = await producer.notices()
    fact = notices.Fact(row["account_id"], "order.paid", order.id, "", row["order_id"], order)
    async with begin(producer.books.engine) as tx:
        await notices.tell(tx, [fact, fact])
    assert len(await producer.notices()) == 1


async def test_whoever_dies_with_a_notice_in_hand_leaves_it_to_others(producer: Producer, receiver: Receiver) -> None:
    await producer.listens(receiver.url)
    await producer.tell()
    dead = producer.hands()
    await dead._begin()  # its try is counted; then it dies, perhaps after it was sent
    for task in dead._sending:
        task.cancel()
    assert await producer.hands().once() == 0, "it may still be sending"
    await producer.passes(30)
    assert await producer.hands().once() == 1
    (row,) = await producer.notices()
    assert (row["status"], row["tries"]) == ("delivered", 2)


async def test_two_workers_at_once_send_each_notice_once(producer: Producer, receiver: Receiver) -> None:
    await producer.listens(receiver.url)
    await producer.tell(40)
    both = [producer.hands(), producer.hands()]
    while await asyncio.gather(*(hands.once() for hands in both)) != [0, 0]:
        pass
    ids = [taken.headers["webhook-id"] for taken in receiver.taken]
    assert len(ids) == len(set(ids)) == 40


async def test_an_endpoint_that_hangs_holds_up_no_other(producer: Producer, receiver: Receiver) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    async with listening(hang) as silent:
        await producer.listens(silent.url)
        await producer.tell(48)
        good = await producer.listens(receiver.url)
        await producer.tell()
        hands = producer.hands()
        stop = asyncio.Event()
        running = asyncio.create_task(hands.run(stop))
        while not receiver.taken:
            await asyncio.sleep(0.01)
        (row,) = await producer.books.all(
            "SELECT count(*) AS n FROM notices WHERE in_hand AND endpoint_id <> CAST(:id AS uuid)", id=UUID(good.id)
        )
        assert row["n"] <= 16
        stop.set()
        await running


async def test_one_that_has_failed_for_minutes_gets_one_notice_at_a_time_until_it_takes_one(
    producer: Producer, receiver: Receiver
) -> None:
    await producer.listens(receiver.url)
    await producer.tell(5)
    hands = producer.hands()
    receiver.replies = [b"500 Oops"] * 20
    assert await hands.once() == 5
    await producer.passes(200)
    assert await hands.once() == 5, "it rests from now on"
    await producer.passes(200)
    assert await hands.once() == 1
    await producer.passes(10)
    assert await hands.once() == 0
    receiver.replies = []
    await producer.passes(200)
    assert await hands.once() == 1
    await producer.passes(1)
    assert await hands.once() == 4


async def test_what_nobody_takes_is_not_sent_before_what_somebody_would(producer: Producer, receiver: Receiver) -> None:
    bad = await producer.listens("http://127.0.0.1:9/")
    await producer.books.run(
        """INSERT INTO notices (id, account_id, endpoint_id, webhook_id, type, object_id, body)
           SELECT gen_random_uuid(), e.account_id, e.id, 'msg_' || n, 'order.paid', n::text, '{}'
             FROM webhook_endpoints e, generate_series(1, 5000) n"""
    )
    await producer.books.run(
        "UPDATE webhook_endpoints SET failures = 9, failing_since = now() - interval '1 h',"
        " resting_until = now() + interval '1 min' WHERE id = CAST(:id AS uuid)",
        id=UUID(bad.id),
    )
    await producer.listens(receiver.url)
    await producer.tell(3)
    assert await producer.hands().once() == 3
    assert len(receiver.taken) == 3


async def test_a_lane_is_read_by_its_own_index_however_much_is_due_in_another(producer: Producer) -> None:
    full, _ = await producer.listens("http://127.0.0.1:9/"), await producer.listens("http://127.0.0.1:9/other")
    await producer.books.run(
        """INSERT INTO notices (id, account_id, endpoint_id, webhook_id, type, object_id, body, in_hand, deliver_after)
           SELECT gen_random_uuid(), e.account_id, e.id, 'msg_' || n, 'order.paid', n::text, '{}', n <= 16,
                  now() + CASE WHEN n <= 16 THEN interval '1 min' ELSE interval '-1 min' END
             FROM webhook_endpoints e, generate_series(1, 5000) n WHERE id = CAST(:id AS uuid)""",
        id=UUID(full.id),
    )
    async with producer.owner.begin() as owner:
        await owner.exec_driver_sql("ANALYZE notices")
    engine = create_engine(producer.books.settings, name="notices", pool=1, session=BY_KEY)
    explained = "EXPLAIN (ANALYZE, FORMAT JSON) " + lanes._CLAIM.template
    values = {"most": "256", "lease": "interval '30 s'", "overlap": "interval '1 day'"}
    for name, value in values.items():
        explained = re.sub(rf":{name}\b", value, explained)
    async with engine.begin() as connection:
        plan = (await connection.exec_driver_sql(explained)).scalar_one()
    await engine.dispose()
    assert "notices_due" in str(plan)
    assert max(map(int, re.findall(r"'Rows Removed by Filter': (\d+)", str(plan))), default=0) < 100
