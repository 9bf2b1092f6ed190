"""What each guard absorbs is counted once, after the commit, by its order; and added to the fleet's counts exactly."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest

from service import changes, duplicates, ledger
from service.charges import CHARGE
from service.duplicates import Flusher, Guard, absorbed
from service.duplicates.absorbing import MEMORY, MOST, Memory
from service.duplicates.flushing import ROWS_OF_AN_ORDER, UNNAMED
from service.effects.model import Settlement
from service.effects.opening import open_effects
from service.effects.settling import settle
from service.foundation.postgres.sql import Connection, Statement, begin
from service.inbox import read
from service.inbox.storing import store
from service.orders.model import OrderRequest
from service.orders.operations import Wish
from service.orders.store import Candidate, place
from tests.charges import answers
from tests.charges.answers import paid
from tests.charges.faults import once
from tests.charges.wishes import api
from tests.charges.world import Books, Promise, World
from tests.inbox.conftest import snapshot
from workers.effects import KINDS

OF_NO_ORDER = UUID(int=0)


@pytest.fixture(autouse=True)
def nothing_absorbed() -> Iterator[None]:
    """What other tests of this process absorb is not this one's."""
    MEMORY.take()
    yield
    MEMORY.take()


def taken() -> dict[tuple[Guard, UUID], int]:
    """What was absorbed since the last look, by guard and order."""
    counts = MEMORY.take()
    if counts is None:
        return {}
    found = {key: one.times for key, one in counts.by_order.items()}
    for guard, times in counts.by_guard.items():
        if rest := times - sum(n for (of, _), n in found.items() if of is guard):
            found[guard, OF_NO_ORDER] = rest
    return found


def candidate(promise: Promise, amount: int = 1999) -> Candidate:
    """The same request once more, or one for another amount under its key."""
    request = {"amount": amount, "currency": "usd", "payment_method": "pm_card_visa"}
    return Candidate.of(promise.account_id, promise.key, msgspec.convert(request, OrderRequest))


async def test_a_key_is_counted_each_time_it_repeats_and_not_where_its_body_is_another(books: Books) -> None:
    one, two = await books.orders(2)
    assert taken() == {}
    new = [candidate(replace(one, key="new")) for _ in range(3)]
    await place(books.engine, [candidate(one), candidate(one), candidate(two), candidate(two, 1), *new])
    order_id = (await books.one("SELECT id FROM orders WHERE idempotency_key = 'new'"))["id"]
    expected = {one.order_id: 2, two.order_id: 1, order_id: 2}
    assert taken() == {(Guard.IDEMPOTENCY_KEY, order): times for order, times in expected.items()}


async def test_an_operation_is_counted_each_time_its_key_repeats_and_not_where_it_is_refused(books: Books) -> None:
    promise = await books.order()
    wish = Wish("cancel", promise.account_id, promise.order_id, "k", changes.CancelRequest())
    for _ in range(3):
        await changes.cancel(api(books.engine), wish)
    with pytest.raises(Exception, match="This idempotency key was used"):
        await changes.cancel(api(books.engine), replace(wish, order_id=(await books.order()).order_id))
    assert taken() == {(Guard.OPERATION_KEY, promise.order_id): 2}


async def test_a_delivery_is_counted_in_whose_hand_its_row_is_or_where_it_is_gone(world: World) -> None:
    opened, done, canceled = await world.orders(3)
    await world.open(opened)
    await world.deliver(done)
    await world.run("UPDATE orders SET status = 'canceled' WHERE id = :id", id=canceled.order_id)
    assert taken() == {}
    await world.deliver(opened, done, canceled, replace(done, outbox_id=uuid4()))
    await world.deliver(done)
    assert taken() == {
        (Guard.DELIVERY, opened.order_id): 1,
        (Guard.DELIVERY, done.order_id): 2,
        (Guard.DELIVERY, OF_NO_ORDER): 1,
    }


async def test_a_delivery_before_its_time_is_counted(books: Books) -> None:
    promise = await books.order()
    await books.run("UPDATE outbox SET deliver_after = now() + interval '1 hour'")
    await open_effects(books.engine, [promise.outbox_id], books.settings, KINDS)
    assert taken() == {(Guard.DELIVERY, promise.order_id): 1}


async def test_a_charge_that_the_index_refused_is_counted(books: Books) -> None:
    one, two = await books.orders(2)
    await books.open_one(one)
    await books.run("UPDATE charges SET idempotency_key = :key", key=two.key)
    assert await books.open(two) == []
    assert taken() == {(Guard.CHARGE_INDEX, two.order_id): 1}


async def test_an_answer_whose_token_is_anothers_is_counted(books: Books) -> None:
    promise, other = await books.orders(2)
    zombie, alone = await books.open(promise, other)
    await books.leases_end()
    holder = await books.open_one(promise)
    settlements = [Settlement(one, paid(one), answers.ok()) for one in (alone, holder)]
    await settle(books.engine, CHARGE, settlements, books.settings)
    assert taken() == {}
    zombie = zombie if zombie.order_id == promise.order_id else alone
    assert not await books.settle(zombie, paid(zombie), answer=answers.ok())
    assert taken() == {(Guard.TOKEN, promise.order_id): 1}


async def test_what_stripe_repeats_is_counted(world: World) -> None:
    promise = await world.order()
    world.stripe.faults(once("executed_reply_lost", promise))
    await world.work()
    await world.assert_charged_once(promise)
    assert taken() == {(Guard.STRIPE_KEY, promise.order_id): 1}


async def test_a_settlement_whose_booking_is_on_the_books_is_counted(books: Books) -> None:
    promise = await books.order()
    charge = await books.open_one(promise)
    outcome = paid(charge)
    intent = outcome.intent
    assert intent is not None
    entry = ledger.charge_entry(
        account_id=charge.account_id,
        order_id=charge.order_id,
        payment_intent_id=intent.id,
        stripe_charge_id=str(intent.charge_id),
        amount_minor=charge.amount,
        currency=charge.currency,
        occurred_at=datetime.fromtimestamp(intent.charged_at or intent.created, UTC),
    )
    async with begin(books.engine) as tx:
        await ledger.post(tx, [entry])
    assert taken() == {}
    await books.settle(charge, outcome, answer=answers.ok())
    assert taken() == {(Guard.LEDGER_REFERENCE, promise.order_id): 1}
    assert len(await books.entries(promise)) == 1


async def test_each_delivery_of_an_event_but_its_first_is_counted_and_a_fetched_one_is_not(books: Books) -> None:
    order = str((await books.order()).order_id)
    one = read(json.dumps(snapshot(about={"id": "pi_1", "metadata": {"eo_order": order}})).encode())
    other = read(json.dumps(snapshot()).encode())
    await store(books.engine, [one, one, other], "webhook")
    await store(books.engine, [other], "webhook")
    await store(books.engine, [one, other], "sync")
    assert taken() == {(Guard.EVENT, UUID(order)): 1, (Guard.EVENT, OF_NO_ORDER): 1}


async def test_nothing_is_counted_of_a_transaction_that_is_rolled_back(books: Books) -> None:
    async def refused() -> None:
        async with begin(books.engine) as tx:
            tx.after_commit(partial(absorbed, Guard.DELIVERY))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await refused()
    assert taken() == {}


async def test_everything_twice_is_counted_to_the_last_one(world: World) -> None:
    promises = await world.orders(20)
    assert taken() == {}
    await place(world.engine, [candidate(promise) for promise in promises])
    workers = [await world.worker() for _ in range(2)]
    await asyncio.gather(*(world.deliver(*promises, worker=worker) for worker in workers))
    await world.deliver(*promises)
    await world.work()
    await world.assert_charged_once(*promises)
    flusher = Flusher(world.engine, "worker")
    await flusher.flush()
    found = {guard: times for guard, times in (await duplicates.totals(world.engine)).items() if times}
    assert found == {Guard.IDEMPOTENCY_KEY: 20, Guard.DELIVERY: 40}
    for promise in promises:
        shown = await duplicates.of_order(world.engine, promise.order_id)
        assert {row.guard: row.times for row in shown} == {"idempotency_key": 1, "delivery": 2}
        assert all(row.process.startswith("worker ") for row in shown)


class Away:
    """PostgreSQL as a flush meets it: it goes before a statement, or after it and before its answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.before = self.after = False
        self._rows = Connection.rows
        monkeypatch.setattr(Connection, "rows", self._answer())

    def _answer(self) -> Any:
        async def rows(connection: Connection, statement: Statement[Any], values: Mapping[str, object]) -> Any:
            is_flush = "batch" in values
            if is_flush and self.before:
                raise asyncpg.ConnectionDoesNotExistError
            found = await self._rows(connection, statement, values)
            if is_flush and self.after:
                raise asyncpg.ConnectionDoesNotExistError
            return found

        return rows


async def test_a_batch_whose_answer_was_lost_is_added_once(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    order_id = (await books.order()).order_id
    memory, away = Memory(), Away(monkeypatch)
    flusher = Flusher(books.engine, "api", memory)
    memory.add(Guard.TOKEN, order_id, 3)
    away.after = True
    with pytest.raises(asyncpg.ConnectionDoesNotExistError):
        await flusher.flush()
    memory.add(Guard.TOKEN, order_id, 2)
    away.after = False
    for _ in range(3):
        await flusher.flush()
    assert (await duplicates.totals(books.engine))[Guard.TOKEN] == 5
    assert [row.times for row in await duplicates.of_order(books.engine, order_id)] == [3, 2]


async def test_while_postgresql_is_away_counts_are_kept_in_bounded_memory(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, away = Memory(), Away(monkeypatch)
    flusher = Flusher(books.engine, "api", memory)
    away.before = True
    stop = asyncio.Event()
    running = asyncio.create_task(flusher.run(stop))
    for _ in range(MOST + 7):
        memory.add(Guard.DELIVERY, uuid4(), 1)
    with pytest.raises(asyncpg.ConnectionDoesNotExistError):
        await flusher.flush()
    away.before = False
    stop.set()
    await running
    assert (await duplicates.totals(books.engine))[Guard.DELIVERY] == MOST + 7
    assert (await books.one("SELECT count(*) AS n FROM absorptions"))["n"] == MOST
    assert (await books.one("SELECT value FROM tallies WHERE name = :name", name=UNNAMED))["value"] == 7


async def test_of_one_order_a_few_rows_are_kept_and_all_are_counted(books: Books) -> None:
    memory, order_id = Memory(), (await books.order()).order_id
    flusher = Flusher(books.engine, "api", memory)
    for _ in range(ROWS_OF_AN_ORDER + 5):
        memory.add(Guard.IDEMPOTENCY_KEY, order_id, 1)
        await flusher.flush()
    assert len(await duplicates.of_order(books.engine, order_id)) == ROWS_OF_AN_ORDER
    assert (await duplicates.totals(books.engine))[Guard.IDEMPOTENCY_KEY] == ROWS_OF_AN_ORDER + 5


async def test_what_is_shown_of_orders_is_forgotten_after_days_and_the_counts_stay(books: Books) -> None:
    memory, (old, young) = Memory(), await books.orders(2)
    flusher = Flusher(books.engine, "api", memory)
    for promise in (old, young):
        memory.add(Guard.TOKEN, promise.order_id, 1)
    await flusher.flush()
    await books.run("UPDATE absorptions SET at = now() - interval '8 days' WHERE order_id = :id", id=old.order_id)
    await duplicates.forget(books.engine)
    assert await duplicates.of_order(books.engine, old.order_id) == []
    assert len(await duplicates.of_order(books.engine, young.order_id)) == 1
    assert (await duplicates.totals(books.engine))[Guard.TOKEN] == 2
