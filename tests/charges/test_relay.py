"""The relay: every due promise is published, at least once, and never so many that a backlog leaves PostgreSQL."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import dramatiq
import pytest
import redis
from sqlalchemy import text

from service import outbox
from service.foundation.broker_keys import CHARGE_QUEUE, NAMESPACE
from service.foundation.errors import NotFound
from service.foundation.settings import Settings
from service.ops.embedded import Valkey, free_port
from service.outbox import CLAIM_MAX
from tests.charges.world import Books, Promise, World, planner_without
from tests.operators import OPERATOR
from workers.broker import make_broker
from workers.relay import Relay

MANY = 10**6


class Recorder:
    """A broker that only remembers; `refuses` after so many messages."""

    def __init__(self, refuses: int | None = None) -> None:
        self.messages: list[list[str]] = []
        self._refuses = refuses

    def enqueue(self, message: Any) -> None:
        if self._refuses is not None and len(self.messages) >= self._refuses:
            raise ConnectionError("the broker is away")
        self.messages.append(message.args[0])

    @property
    def ids(self) -> list[UUID]:
        return [UUID(i) for message in self.messages for i in message]


def relay(books: Books, broker: Any = None, **changes: Any) -> Relay:
    """A relay with these settings changed."""
    return Relay(books.engine, broker or Recorder(), replace(books.settings, **changes))


def ids_of(promises: list[Promise]) -> list[UUID]:
    return [p.outbox_id for p in promises]


async def waiting(books: Books) -> dict[str, Any]:
    """How many rows are due, out, waiting for their time, and parked."""
    async with books.engine.connect() as connection:
        return dict((await connection.execute(_BACKLOG)).mappings().one())


_BACKLOG = text("""
SELECT count(*) FILTER (WHERE parked_at IS NULL AND deliver_after <= now()) AS due,
       count(*) FILTER (WHERE parked_at IS NULL AND deliver_after > now() AND published > 0) AS out,
       count(*) FILTER (WHERE parked_at IS NULL AND deliver_after > now() AND published = 0) AS waiting,
       count(*) FILTER (WHERE parked_at IS NOT NULL) AS parked
  FROM outbox
""")


async def come_due(books: Books) -> None:
    """The rows that are out are due again: nobody has answered for them."""
    await books.run("UPDATE outbox SET deliver_after = now() - interval '1 s' WHERE published > 0")


async def test_a_due_promise_is_published_once_and_then_hidden_for_its_lease(books: Books) -> None:
    promise, broker = await books.order(), Recorder()
    one = relay(books, broker)
    assert await one.run_once() == 1
    assert await one.run_once() == 0
    assert broker.ids == [promise.outbox_id]
    row = await books.one("SELECT *, extract(epoch FROM deliver_after - now())::float AS hidden_s FROM outbox")
    assert (row["published"], row["deliveries"]) == (1, 0)
    assert books.settings.outbox_lease_s - 1 < row["hidden_s"] <= books.settings.outbox_lease_s * 1.25


async def test_publishing_completes_nothing(books: Books) -> None:
    promise = await books.order()
    await relay(books).run_once()
    assert await books.row(promise) is not None
    assert await books.status(promise) == "pending"


async def test_messages_carry_ids_and_nothing_else_at_most_so_many_each(books: Books) -> None:
    promises, broker = await books.orders(10), Recorder()
    await relay(books, broker, relay_message_events=4).run_once()
    assert [len(m) for m in broker.messages] == [4, 4, 2]
    assert sorted(broker.ids) == sorted(ids_of(promises))


async def test_what_was_opened_and_never_settled_travels_alone(books: Books) -> None:
    """It may be what kills its worker; in company, its neighbours' opens would be counted, and they parked, with it."""
    promises, broker = await books.orders(6), Recorder()
    suspects = ids_of(promises[:2])
    await books.run("UPDATE outbox SET opens_unsettled = 2 WHERE id = ANY(:ids)", ids=suspects)
    await relay(books, broker).run_once()
    assert sorted(len(m) for m in broker.messages) == [1, 1, 4]
    assert sorted(broker.ids) == sorted(ids_of(promises))
    assert {UUID(m[0]) for m in broker.messages if len(m) == 1} == set(suspects)


async def test_the_oldest_due_are_claimed_first_whatever_finds_them(books: Books, settings: Settings) -> None:
    promises = await books.orders(9)
    for n, promise in enumerate(promises):  # by time, not by id: ids are not handed out in the order of commits
        await books.run(
            "UPDATE outbox SET deliver_after = now() - make_interval(secs => :age) WHERE id = :id",
            age=n + 1,
            id=promise.outbox_id,
        )
    engine = planner_without(settings, "indexscan", "bitmapscan")
    claim = await outbox.claim(engine, replace(settings, relay_window=3), republish_max=MANY)
    await engine.dispose()
    assert set(claim.ids) == set(ids_of(promises)[-3:])


async def test_what_is_not_yet_due_is_left_alone(books: Books) -> None:
    await books.order()
    await books.run("UPDATE outbox SET deliver_after = now() + interval '1 s'")
    assert await relay(books).run_once() == 0


async def test_parked_rows_are_never_claimed_and_come_back_by_retry(books: Books) -> None:
    promise, other = await books.orders(2)
    await outbox.park(books.engine, promise.outbox_id, "look at it", who=OPERATOR)
    broker = Recorder()
    one = relay(books, broker)
    await one.run_once()
    assert broker.ids == [other.outbox_id]
    assert await outbox.retry(books.engine, [other.outbox_id, uuid4()], who=OPERATOR) == [], (
        "only what is parked comes back"
    )
    assert await outbox.retry(books.engine, [promise.outbox_id], who=OPERATOR) == [promise.outbox_id]
    await one.run_once()
    assert broker.ids == [other.outbox_id, promise.outbox_id]


async def test_parking_says_why_and_refuses_what_is_not_there(books: Books) -> None:
    promise, _ = await books.orders(2)
    await outbox.park(books.engine, promise.outbox_id, "look at it", who=OPERATOR)
    (parked,) = await outbox.list_rows(books.engine, parked=True)
    assert (parked["id"], parked["last_error"]) == (promise.outbox_id, "look at it")
    assert len(await outbox.list_rows(books.engine, parked=False)) == 1
    for unknown in (promise.outbox_id, uuid4()):
        with pytest.raises(NotFound):
            await outbox.park(books.engine, unknown, "again", who=OPERATOR)
    assert (await waiting(books))["parked"] == 1


async def test_retry_without_ids_brings_all_back_with_a_fresh_count_of_opens(books: Books) -> None:
    promises = await books.orders(3)
    await books.run("UPDATE outbox SET opens_unsettled = 5, parked_at = now()")
    assert set(await outbox.retry(books.engine, who=OPERATOR)) == set(ids_of(promises))
    assert {(await books.open_row(p))["opens_unsettled"] for p in promises} == {0}
    assert (await waiting(books))["due"] == 3


async def test_a_row_that_is_put_back_is_no_delivery(books: Books) -> None:
    promise = await books.order()
    await relay(books).run_once()
    await outbox.put_back(books.engine, [promise.outbox_id], after_s=0, reason="breaker open")
    row = await books.open_row(promise)
    assert (row["published"], row["deliveries"], row["last_error"]) == (0, 0, "breaker open")
    assert await relay(books).run_once() == 1


# --- several relays, odd plans ---


async def test_what_one_relay_holds_another_skips_and_neither_waits(books: Books, settings: Settings) -> None:
    promises = await books.orders(6)
    held = ids_of(promises)[:2]
    async with books.engine.begin() as tx:
        await tx.execute(text("SELECT 1 FROM outbox WHERE id = ANY(:ids) FOR UPDATE"), {"ids": held})
        async with asyncio.timeout(5):
            claim = await outbox.claim(books.engine, settings, republish_max=MANY)
    assert set(claim.ids) == set(ids_of(promises)) - set(held)


async def test_relays_at_the_same_time_publish_each_row_once(books: Books) -> None:
    promises, broker = await books.orders(200), Recorder()
    relays = [relay(books, broker, relay_window=MANY) for _ in range(4)]
    for _ in range(3):
        await asyncio.gather(*(one.run_once() for one in relays))
    assert sorted(broker.ids) == sorted(ids_of(promises))


# The first leaves only a nested loop that runs its inner side again for each outer row.
@pytest.mark.parametrize(
    "forbidden",
    ["hashjoin mergejoin hashagg sort material memoize", "hashjoin nestloop", "indexscan bitmapscan", "seqscan"],
)
async def test_the_limit_holds_under_every_plan(books: Books, settings: Settings, forbidden: str) -> None:
    await books.orders(60)
    engine = planner_without(settings, *forbidden.split())
    claim = await outbox.claim(engine, replace(settings, relay_window=7), republish_max=MANY)
    await engine.dispose()
    assert len(claim.ids) == 7
    assert (await waiting(books))["out"] == 7


# --- never more than the window is out (R11) ---


async def test_only_so_many_are_out_and_answers_make_room(books: Books) -> None:
    promises, broker = await books.orders(12), Recorder()
    one = relay(books, broker, relay_window=5)
    assert await one.run_once() == 5
    assert await one.run_once() == 0
    assert (await waiting(books))["out"] == 5
    await outbox.put_back(books.engine, broker.ids[:2], after_s=60)  # answered, and come back later
    assert await one.run_once() == 2
    assert (await waiting(books))["out"] == 5
    assert len(set(broker.ids)) == 7
    assert len(promises) == 12


async def test_a_full_window_is_filled_up_by_the_eighth_not_row_by_row(books: Books) -> None:
    await books.orders(100)
    broker = Recorder()
    one = relay(books, broker, relay_window=80)
    assert await one.run_once() == 80
    await outbox.put_back(books.engine, broker.ids[:9], after_s=60)  # answered, and come back later
    assert await one.run_once() == 0
    await outbox.put_back(books.engine, broker.ids[9:10], after_s=60)
    assert await one.run_once() == 10


async def test_a_wiped_brokers_rows_and_new_ones_together_stay_within_the_window(books: Books) -> None:
    await books.orders(5)
    one = relay(books, relay_window=5)
    assert await one.run_once() == 5
    await books.orders(5)
    await come_due(books)
    assert await one.run_once() == 5
    assert (await waiting(books))["out"] == 5


async def test_a_claim_is_bounded_whatever_the_window(books: Books) -> None:
    await books.orders(CLAIM_MAX + 10)
    assert await relay(books, relay_window=MANY).run_once() == CLAIM_MAX


async def test_after_a_wiped_broker_rows_are_published_again_at_a_bounded_rate(books: Books) -> None:
    await books.orders(40)
    one = relay(books, relay_window=MANY, relay_republish_rps=10)
    assert await one.run_once() == 40, "a first publish is not bounded"
    await come_due(books)
    assert await one.run_once() == 10
    assert await one.run_once() <= 1  # what a moment has added
    fresh = await books.orders(3)
    assert await one.run_once() >= len(fresh), "new rows do not wait for the old ones' budget"


async def test_nobody_answering_makes_the_pauses_longer(books: Books) -> None:
    promise = await books.order()
    one = relay(books, retry_max_s=10_000, outbox_lease_s=100)
    hidden = []
    for _ in range(3):
        await one.run_once()
        row = await books.one("SELECT extract(epoch FROM deliver_after - now())::float AS s FROM outbox")
        hidden.append(row["s"])
        await come_due(books)
    for seconds, grown in zip(hidden, (100, 200, 400), strict=True):
        assert grown - 5 < seconds <= grown * 1.25
    assert (await books.open_row(promise))["parked_at"] is None


# --- the broker is away, or forgets ---


async def test_a_broker_that_is_away_costs_time_and_nothing_else(books: Books) -> None:
    promise = await books.order()
    away = make_broker(replace(books.settings, redis_url=f"redis://127.0.0.1:{free_port()}"))
    with pytest.raises(redis.ConnectionError):
        await relay(books, away).run_once()
    row = await books.open_row(promise)
    assert (row["published"], row["deliveries"], row["parked_at"]) == (0, 0, None)
    await books.all_due()
    broker = Recorder()
    assert await relay(books, broker).run_once() == 1
    assert broker.ids == [promise.outbox_id]


async def test_a_broker_that_fails_between_two_messages_gets_all_of_them_again(books: Books) -> None:
    promises, failing = await books.orders(6), Recorder(refuses=2)
    with pytest.raises(ConnectionError):
        await relay(books, failing, relay_message_events=2).run_once()
    await books.all_due()
    broker = Recorder()
    await relay(books, broker).run_once()
    assert set(broker.ids) == set(ids_of(promises)), "a repeat is harmless, a loss is not"


def take_all(broker: Any) -> list[UUID]:
    """The events of every message that lies in the broker, which then forgets them."""
    messages = [dramatiq.Message.decode(m) for m in broker.client.hvals(f"{NAMESPACE}:{CHARGE_QUEUE}.msgs")]
    broker.client.flushall()
    return [UUID(i) for message in messages for i in message.args[0]]


async def test_a_flushed_broker_loses_time_and_every_order_is_charged_once(world: World, valkey: Valkey) -> None:
    promises = await world.orders(20)
    broker, worker = make_broker(world.settings), await world.worker()
    one = relay(world, broker, relay_message_events=4, relay_window=8)
    await one.run_once()
    valkey.command("FLUSHALL")
    assert take_all(broker) == []
    async with asyncio.timeout(20):
        while await world.all("SELECT 1 FROM outbox"):
            await come_due(world)
            await one.run_once()
            delivered = take_all(broker)
            await worker.charge(delivered + delivered[:3])
            valkey.command("FLUSHALL")
    broker.close()
    await world.assert_charged_once(*promises)


async def test_a_relay_that_runs_publishes_what_comes_and_stops_when_told(books: Books) -> None:
    broker = Recorder()
    stop, woken = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(relay(books, broker, relay_poll_ms=2).run(stop, woken))
    promise = await books.order()
    async with asyncio.timeout(10):
        while broker.ids != [promise.outbox_id]:
            await asyncio.sleep(0.002)
    stop.set()
    woken.set()
    await asyncio.wait_for(running, 5)


async def test_a_running_relay_outlives_a_broker_that_comes_back(books: Books) -> None:
    promise, broker = await books.order(), Recorder(refuses=0)
    stop, woken = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(relay(books, broker, relay_poll_ms=2).run(stop, woken))
    async with asyncio.timeout(20):
        while (await waiting(books))["waiting"] != 1:  # it was put back
            await asyncio.sleep(0.002)
        broker._refuses = None
        await books.all_due()
        while broker.ids != [promise.outbox_id]:
            await asyncio.sleep(0.01)
    stop.set()
    woken.set()
    await asyncio.wait_for(running, 5)
