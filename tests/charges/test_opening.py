"""Opening: before anything is sent, one transaction says that something may be executed from now on.

Whatever is delivered, how often, in which order and to how many workers: an attempt is opened by one of them at a time.
"""

import asyncio
import random
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from service import outbox
from service.effects.model import Outcome
from service.effects.opening import open_effects
from service.effects.parking import KEY_IS_ANOTHERS, POISON
from service.foundation.settings import Settings
from service.orders.identity import wire_key
from service.orders.keys import RESERVED_PREFIX
from tests.charges.answers import intent
from tests.charges.world import Books, Promise, planner_without
from tests.operators import OPERATOR
from workers.effects import KINDS

UNDECIDED = Outcome(status="unknown", next_call="send", unclear_answers=1)
NOT_RUN = Outcome(status="sending", next_call="send", proven_unexecuted=True)
FAILED = Outcome(status="declined", order_status="failed", failure={"code": "card_declined"})


async def pays(books: Books, promise: Promise) -> None:
    """The order's first attempt, opened and settled with success."""
    opened = await books.open_one(promise)
    paid = intent(id=f"pi_{opened.id.hex}", latest_charge=f"ch_{opened.id.hex}", metadata=opened.marks.metadata({}))
    assert await books.settle(opened, Outcome(status="succeeded", order_status="paid", intent=paid))


async def count(books: Books, table: str) -> int:
    return int((await books.one(f"SELECT count(*) AS n FROM {table}"))["n"])


async def test_a_first_open_writes_down_that_it_may_have_run_before_anything_is_sent(books: Books) -> None:
    promise = await books.order("cart:17", metadata={"b": "1", "a": "2"}, description="a mug")
    opened = await books.open_one(promise)
    assert opened.first_send
    row = await books.charge(promise)
    assert (row["status"], row["maybe_executed"], row["token"]) == ("sending", True, opened.token)
    assert row["first_sent_at"] == row["last_sent_at"] == opened.opened_at
    assert (row["lease_until"] - opened.opened_at).total_seconds() == books.settings.charge_lease_s
    assert await books.status(promise) == "processing"
    waiting = await books.open_row(promise)
    assert waiting["deliveries"] == 1
    assert waiting["deliver_after"] > row["lease_until"], "a row that comes back within the lease only makes work"


async def test_the_same_event_twice_in_a_message_and_in_two_messages_is_one_charge(books: Books) -> None:
    promise = await books.order()
    assert len(await books.open(promise, promise)) == 1
    assert await books.open(promise) == []
    assert await count(books, "charges") == 1


async def test_eight_workers_opening_the_same_events_under_any_plan_never_deadlock_and_lease_each_once(
    books: Books, settings: Settings
) -> None:
    promises = await books.orders(48)
    for promise in reversed(promises):  # rows lie on disk in another order than in their index
        await books.run("UPDATE outbox SET deliveries = deliveries WHERE id = :id", id=promise.outbox_id)
    ids = [p.outbox_id for p in promises]
    # The order in which rows are found is the plan's affair: half of the workers walk an index, half of them the table.
    plans = [("seqscan", "bitmapscan", "hashjoin", "mergejoin"), ("indexscan", "bitmapscan")]
    engines = [planner_without(settings, *plans[n % 2], pool=1) for n in range(8)]
    failed: list[object] = []
    for engine in engines:
        event.listen(engine.sync_engine, "handle_error", lambda context: failed.append(context.original_exception))
    rng = random.Random(5)

    async def one(engine: AsyncEngine) -> list[UUID]:
        shuffled = rng.sample(ids, len(ids))
        return [c.id for c in (await open_effects(engine, shuffled, settings, KINDS, alone=True)).effects]

    try:
        for _ in range(settings.poison_opens):
            await books.leases_end()
            leased = [charge for share in await asyncio.gather(*map(one, engines)) for charge in share]
            assert len(leased) == len(set(leased)) == len(ids)
        assert failed == [], "a deadlock, even one that was repeated away"
    finally:
        for engine in engines:
            await engine.dispose()
    assert await count(books, "charges") == len(ids)


async def test_a_canceled_order_is_never_charged_and_its_promise_is_dropped(books: Books) -> None:
    promise = await books.order()
    await books.run("UPDATE orders SET status = 'canceled' WHERE id = :id", id=promise.order_id)
    assert await books.open(promise) == []
    assert await count(books, "charges") == 0
    assert await books.row(promise) is None
    assert await books.status(promise) == "canceled"


async def test_a_cancel_that_was_first_at_the_orders_row_wins_over_the_open_that_waits_for_it(books: Books) -> None:
    promise = await books.order()
    async with books.engine.begin() as cancel:
        await cancel.exec_driver_sql(f"UPDATE orders SET status = 'canceled' WHERE id = '{promise.order_id}'")
        opening = asyncio.create_task(books.open(promise))
        async with asyncio.timeout(10):
            while not await books.all("SELECT 1 FROM pg_locks WHERE NOT granted"):
                await asyncio.sleep(0.002)
    assert await opening == []
    assert await count(books, "charges") == 0


async def test_what_is_final_is_absorbed_and_its_promise_dropped(books: Books) -> None:
    promise = await books.order()
    await pays(books, promise)
    again = await books.attempt(promise, 1)  # the same attempt, promised twice
    await books.run("UPDATE orders SET status = 'paid'")
    opened = await open_effects(books.engine, [again.outbox_id], books.settings, KINDS)
    assert (opened.effects, opened.absorbed) == ([], 1)
    assert await books.row(again) is None


async def test_what_a_live_worker_leases_is_absorbed_left_alone_and_comes_back_after_the_lease(books: Books) -> None:
    promise = await books.order()
    first = await books.open_one(promise)
    await books.all_due()
    opened = await open_effects(books.engine, [promise.outbox_id], books.settings, KINDS)
    assert (opened.effects, opened.absorbed) == ([], 1)
    row, charge = await books.open_row(promise), await books.charge(promise)
    assert charge["token"] == first.token
    assert row["deliver_after"] > charge["lease_until"]
    assert row["deliveries"] == 1, "a duplicate is no delivery"


async def test_an_expired_lease_is_taken_over_with_a_new_token_and_as_a_resend(books: Books) -> None:
    promise = await books.order(metadata={"z": "1", "a": "2"})
    first = await books.open_one(promise)
    await books.leases_end()
    second = await books.open_one(promise)
    assert second.id == first.id
    assert second.token != first.token
    assert (first.first_send, second.first_send) == (True, False)
    row = await books.charge(promise)
    assert row["token"] == second.token
    assert row["lease_until"] > second.opened_at
    assert row["first_sent_at"] == first.opened_at
    assert row["last_sent_at"] == second.opened_at
    assert list(second.request) == list(first.request)
    assert second.request == first.request


async def test_a_resend_is_made_from_the_stored_request_and_not_from_the_order(books: Books) -> None:
    promise = await books.order(description="a mug")
    first = await books.open_one(promise)
    await books.leases_end()
    await books.run("UPDATE orders SET description = 'two mugs', metadata = '{\"x\": \"y\"}'")
    assert (await books.open_one(promise)).request == first.request


async def test_a_gone_row_is_absorbed(books: Books) -> None:
    opened = await open_effects(books.engine, [uuid4(), uuid4()], books.settings, KINDS)
    assert (opened.effects, opened.absorbed, opened.parked) == ([], 2, 0)


async def test_a_parked_row_is_not_opened_whoever_delivers_it(books: Books) -> None:
    promise = await books.order()
    await outbox.park(books.engine, promise.outbox_id, "by hand", who=OPERATOR)
    assert await books.open(promise) == []
    assert await count(books, "charges") == 0


async def test_a_key_that_already_charges_something_else_is_parked_and_its_neighbours_are_opened(books: Books) -> None:
    one, two = await books.order(), await books.order()
    await books.open_one(one)
    await books.leases_end()
    await books.run("UPDATE charges SET idempotency_key = :key", key=two.key)
    third = await books.order()
    assert [c.order_id for c in await books.open(two, third)] == [third.order_id]
    parked = await books.open_row(two)
    assert (parked["parked_at"] is not None, parked["last_error"]) == (True, KEY_IS_ANOTHERS)


async def test_a_poison_parks_after_five_opens_that_never_settled(books: Books) -> None:
    promise = await books.order()
    for _ in range(5):
        assert len(await books.open(promise)) == 1
        await books.leases_end()
    opened = await open_effects(books.engine, [promise.outbox_id], books.settings, KINDS)
    assert (opened.effects, opened.parked) == ([], 1)
    row = await books.open_row(promise)
    assert (row["last_error"], row["deliveries"]) == (POISON, 5)
    assert row["parked_at"] is not None


async def test_whoever_settles_in_between_is_no_poison(books: Books) -> None:
    promise = await books.order()
    for _ in range(7):
        opened = await books.open_one(promise)
        assert await books.settle(opened, UNDECIDED)
        assert (await books.open_row(promise))["opens_unsettled"] == 0
    assert (await books.open_row(promise))["deliveries"] == 7


async def test_deliveries_count_opens_and_not_publishes(books: Books) -> None:
    promise = await books.order()
    eager = replace(books.settings, outbox_lease_s=0.0, retry_max_s=0.0)
    for _ in range(20):
        assert (await outbox.claim(books.engine, eager, republish_max=10)).ids == [promise.outbox_id]
    row = await books.open_row(promise)
    assert (row["published"], row["deliveries"], row["parked_at"]) == (20, 0, None)
    assert len(await books.open(promise)) == 1


async def test_a_cleared_charge_is_a_first_send_again(books: Books) -> None:
    promise = await books.order()
    assert await books.settle(await books.open_one(promise), NOT_RUN)
    row = await books.charge(promise)
    assert (row["maybe_executed"], row["first_sent_at"], row["last_sent_at"]) == (False, None, None)
    assert (await books.open_one(promise)).first_send


async def test_an_order_older_than_a_key_lives_is_looked_up_before_it_is_sent(books: Books) -> None:
    promise = await books.order()
    await books.run("UPDATE orders SET created_at = created_at - interval '20 hours'")
    opened = await books.open_one(promise)
    assert (opened.call, opened.first_send) == ("lookup", False)
    row = await books.charge(promise)
    assert row["first_sent_at"] == opened.born_at
    assert (row["last_sent_at"], row["maybe_executed"]) == (None, True)


async def test_an_order_just_younger_is_sent(books: Books) -> None:
    promise = await books.order()
    await books.run("UPDATE orders SET created_at = created_at - interval '19 hours 59 minutes'")
    assert (await books.open_one(promise)).call == "send"


@pytest.mark.parametrize("hours", [20, 24, 1000])
async def test_a_key_as_old_as_20_hours_is_never_posted_again(books: Books, hours: int) -> None:
    promise = await books.order()
    assert await books.settle(await books.open_one(promise), UNDECIDED)
    await books.run("UPDATE charges SET first_sent_at = first_sent_at - make_interval(hours => :h)", h=hours)
    opened = await books.open_one(promise)
    assert opened.call == "lookup"
    assert (await books.charge(promise))["last_sent_at"] < opened.opened_at, "a look-up is not a send"


async def test_a_key_that_stripe_has_for_another_request_is_never_posted_again(books: Books) -> None:
    promise = await books.order()
    assert await books.settle(await books.open_one(promise), UNDECIDED)
    await books.run("UPDATE charges SET key_conflict = true, next_call = 'send'")
    assert (await books.open_one(promise)).call == "lookup"


async def test_a_known_payment_intent_is_asked_for_and_never_posted_again(books: Books) -> None:
    promise = await books.order()
    opened = await books.open_one(promise)
    waiting = intent("requires_action", metadata=opened.marks.metadata({}))
    assert await books.settle(opened, Outcome(status="requires_action", order_status="requires_action", intent=waiting))
    again = await books.open_one(promise)
    assert (again.call, again.payment_intent_id) == ("retrieve", "pi_1")


async def test_the_default_accounts_first_attempt_bears_the_producers_key_and_every_other_a_hash(books: Books) -> None:
    mine = await books.order("cart:17")
    theirs = await books.order("cart:17", account_id=await books.other_account())
    first, other = await books.open_one(mine), await books.open_one(theirs)
    assert await books.settle(first, FAILED)
    second = await books.open_one(await books.attempt(mine, 2))
    assert first.idempotency_key == "cart:17"
    keys = {first.idempotency_key, other.idempotency_key, second.idempotency_key}
    assert len(keys) == 3
    assert all(k.startswith(RESERVED_PREFIX) for k in keys - {"cart:17"})
    assert second.request["metadata"]["eo_attempt"] == "2"
    again = wire_key(account_id=mine.account_id, is_default=True, operation="charge", order_key="cart:17", attempt=2)
    assert second.idempotency_key == again, "the same attempt has the same key in every life of the database"


async def test_a_second_attempt_does_not_disturb_the_first_ones_row(books: Books) -> None:
    promise = await books.order()
    assert await books.settle(await books.open_one(promise), FAILED)
    second = await books.attempt(promise, 2)
    await books.open_one(second)
    assert (await books.charge(promise, 1))["status"] == "declined"
    assert (await books.charge(promise, 2))["status"] == "sending"


async def test_a_charge_proven_unsent_is_dropped_once_its_order_is_paid(books: Books) -> None:
    """Attempt 2 was refused for the moment; meanwhile attempt 1 turns out to have succeeded."""
    promise = await books.order()
    first = await books.open_one(promise)
    assert await books.settle(first, FAILED)
    second = await books.attempt(promise, 2)
    assert await books.settle(await books.open_one(second), NOT_RUN)
    proof = Outcome(status="succeeded", order_status="paid", intent=intent(metadata=first.marks.metadata({})))
    assert await books.settle(first, proof)
    assert await books.open(second) == []
    assert await books.row(second) is None
    assert (await books.charge(promise, 2))["status"] == "canceled"


async def test_a_charge_that_may_have_run_is_looked_up_and_not_sent_again_once_its_order_is_paid(books: Books) -> None:
    promise = await books.order()
    first = await books.open_one(promise)
    assert await books.settle(first, FAILED)
    second = await books.attempt(promise, 2)
    assert await books.settle(await books.open_one(second), UNDECIDED)
    proof = Outcome(status="succeeded", order_status="paid", intent=intent(metadata=first.marks.metadata({})))
    assert await books.settle(first, proof)
    assert (await books.open_one(second)).call == "lookup"
