"""What is parked, by whom, and what that survives; what kills a worker, and what only was in its process (R10)."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from service import ledger, outbox
from service.charges.ending import fail_by_hand
from service.effects.model import Outcome
from service.effects.opening import open_effects
from service.effects.parking import HELP, POISON, Parked
from service.foundation.errors import Misconfigured
from service.foundation.postgres.sql import Connection, Statement
from service.outbox.rows import SUSPECT_OPENS
from tests.charges.answers import paid
from tests.charges.world import Books, Promise, World
from tests.operators import OPERATOR
from workers import charge
from workers.effects import KINDS
from workers.room import Room

UNDECIDED = Outcome(status="unknown", next_call="lookup")
BY_HAND = "the customer has called"


def test_each_reason_says_what_a_human_does_and_the_page_says_the_same() -> None:
    assert set(HELP) == set(Parked)
    page = (Path(__file__).parents[2] / "docs/reference/parking-reasons.md").read_text()
    for reason, (means, do) in HELP.items():
        assert f"| `{reason}` | {means} | {do} |" in page


async def test_a_row_that_a_human_parked_stays_so_whatever_a_call_in_flight_brings(books: Books) -> None:
    promise = await books.order()
    opened = await books.open_one(promise)
    await outbox.park(books.engine, promise.outbox_id, BY_HAND, who=OPERATOR)
    assert await books.settle(opened, UNDECIDED)
    row = await books.open_row(promise)
    assert (row["parked_at"] is not None, row["last_error"]) == (True, BY_HAND)
    assert (await books.charge(promise))["status"] == "unknown", "what is known is kept all the same"
    assert await books.open(promise) == []
    assert await outbox.retry(books.engine, who=OPERATOR) == [promise.outbox_id]
    assert len(await books.open(promise)) == 1


async def test_a_reason_of_ours_does_not_take_the_place_of_a_humans(books: Books) -> None:
    promise = await books.order()
    opened = await books.open_one(promise)
    await outbox.park(books.engine, promise.outbox_id, BY_HAND, who=OPERATOR)
    assert await books.settle(opened, Outcome(status="unknown", parked="key_conflict: …"))
    assert (await books.open_row(promise))["last_error"] == BY_HAND


async def test_a_final_answer_ends_a_parked_row_because_nothing_is_left_to_decide(books: Books) -> None:
    promise = await books.order()
    opened = await books.open_one(promise)
    await outbox.park(books.engine, promise.outbox_id, BY_HAND, who=OPERATOR)
    assert await books.settle(opened, paid(opened))
    assert await books.status(promise) == "paid"
    assert await books.row(promise) is None
    await books.balanced()


async def test_a_message_that_comes_before_its_time_is_absorbed(books: Books) -> None:
    """Stripe said `Retry-After: 600`; a duplicate of the message called it at once."""
    promise = await books.order()
    opened = await books.open_one(promise)
    assert await books.settle(opened, Outcome(status="sending", proven_unexecuted=True, retry_s=600.0))
    early = await open_effects(books.engine, [promise.outbox_id], books.settings, KINDS)
    assert (early.effects, early.absorbed) == ([], 1)
    row = await books.open_row(promise)
    assert row["deliveries"] == 1
    await books.run("UPDATE outbox SET deliver_after = deliver_after - interval '800 seconds'")
    (claimed,) = (await outbox.claim(books.engine, books.settings, republish_max=10)).ids
    assert len((await open_effects(books.engine, [claimed], books.settings, KINDS)).effects) == 1


async def test_what_waits_for_stripes_pause_is_not_called_by_a_duplicate(world: World) -> None:
    promise = await world.order()
    world.stripe.faults(
        {"fault": "rate_limited", "metadata_order": str(promise.order_id), "times": 1, "retry_after": 30}
    )
    await world.deliver(promise)
    worker = await world.worker()
    for _ in range(3):
        await worker.charge([promise.outbox_id])
    assert world.stripe.fired() == [1]
    assert world.charges_at_stripe(promise) == 0
    await world.deliver(promise)
    await world.assert_charged_once(promise)


async def test_a_row_that_waits_for_its_time_is_not_put_back_to_a_sooner_one(books: Books) -> None:
    """A duplicate of the message met an open breaker, and Stripe had said `Retry-After: 600`."""
    promise = await books.order()
    opened = await books.open_one(promise)
    assert await books.settle(opened, Outcome(status="sending", proven_unexecuted=True, retry_s=600.0))
    before = await books.open_row(promise)
    await outbox.put_back(books.engine, [promise.outbox_id], after_s=1.0, reason="breaker open")
    after = await books.open_row(promise)
    assert after["deliver_after"] == before["deliver_after"]
    assert after["last_error"] == "breaker open"


async def test_an_order_is_not_ended_by_hand_while_its_call_is_in_flight(books: Books) -> None:
    promise = await books.order()
    opened = await books.open_one(promise)
    await outbox.park(books.engine, promise.outbox_id, BY_HAND, who=OPERATOR)
    with pytest.raises(Misconfigured, match="in a minute"):
        await fail_by_hand(books.engine, promise.order_id, BY_HAND, who=OPERATOR)
    assert await books.status(promise) == "processing"
    assert await books.settle(opened, UNDECIDED)
    await fail_by_hand(books.engine, promise.order_id, BY_HAND, who=OPERATOR)
    assert await books.status(promise) == "failed"


async def _dies(books: Books, *promises: Promise, alone: bool | None = None) -> None:
    """A worker opens these and is gone."""
    ids = [p.outbox_id for p in promises]
    opened = await open_effects(books.engine, ids, books.settings, KINDS, alone=alone)
    assert len(opened.effects) + len(opened.suspects) == len(promises)
    await books.leases_end()


async def test_who_only_shared_a_process_with_what_kills_it_is_never_called_a_poison(books: Books) -> None:
    """Five deaths, each with the same orders in hand: a deploy that kills, or another order that is a poison."""
    promises = await books.orders(4)
    for _ in range(7):
        await _dies(books, *promises)
    for promise in promises:
        row = await books.open_row(promise)
        assert row["parked_at"] is None
        assert row["opens_unsettled"] == SUSPECT_OPENS, "a suspect is not opened beside others"
        opened = await books.open_one(promise)
        assert await books.settle(opened, paid(opened))


@pytest.mark.parametrize("state", ["53100", "57P01", "58030"])
async def test_an_order_that_postgres_takes_no_answer_for_waits_and_is_no_poison(
    world: World, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    refusal = Statement(f"DO $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '{state}'; END $$")

    async def has_no_room(tx: Connection, _entries: object) -> None:
        await tx.rows(refusal, {})

    monkeypatch.setattr(charge, "while_cut_off", _once)
    promise, worker = await world.order(), await world.worker()
    with monkeypatch.context() as full:
        full.setattr(ledger, "post", has_no_room)
        for _ in range(world.settings.poison_opens + SUSPECT_OPENS):
            with pytest.raises(ExceptionGroup):
                await world.deliver(promise, worker=worker)
            row = await world.open_row(promise)
            assert (row["parked_at"], row["opens_unsettled"], row["opens_alone"]) == (None, 0, 0)
            await world.leases_end()
    await world.deliver(promise, worker=worker)
    await world.assert_charged_once(promise)


async def test_an_excuse_that_postgres_does_not_take_is_made_before_the_next_open(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charge, "while_cut_off", _once)
    promise, other = await world.orders(2)
    worker, excuse = await world.worker(), outbox.excuse

    async def away(*_: object) -> None:
        raise ConnectionRefusedError

    for name in ("excuse", "settle"):
        monkeypatch.setattr(outbox if name == "excuse" else charge, name, away)
    for _ in range(2):
        with pytest.raises(ExceptionGroup):
            await world.deliver(promise, worker=worker)
        await world.leases_end()
    assert (await world.open_row(promise))["opens_unsettled"] == SUSPECT_OPENS
    monkeypatch.setattr(outbox, "excuse", excuse)
    with pytest.raises(ExceptionGroup):
        await world.deliver(other, worker=worker)
    assert (await world.open_row(promise))["opens_unsettled"] == 0


async def _once(run: Callable[[], Awaitable[Any]], *, for_s: float) -> Any:
    """PostgreSQL does not come back within any bound."""
    del for_s
    return await run()


async def test_deaths_beside_others_do_not_count_for_those_alone(books: Books) -> None:
    promise = await books.order()
    await books.run("UPDATE outbox SET opens_unsettled = 50")
    assert not (await open_effects(books.engine, [promise.outbox_id], books.settings, KINDS)).parked
    await books.leases_end()
    for alone in (1, 2):
        await _dies(books, promise)
        assert (await books.open_row(promise))["opens_alone"] == alone + 1
    opened = await open_effects(books.engine, [promise.outbox_id], books.settings, KINDS)
    assert opened.parked == 1
    assert (await books.open_row(promise))["last_error"] == POISON


async def test_a_process_that_is_stopped_excuses_what_it_has_in_hand(books: Books) -> None:
    promise = await books.order()
    for _ in range(9):
        assert len(await books.open(promise)) == 1
        await outbox.excuse(books.engine, [promise.outbox_id])
        await books.leases_end()
    row = await books.open_row(promise)
    assert (row["opens_unsettled"], row["opens_alone"], row["deliveries"]) == (0, 0, 9)


async def test_a_worker_opens_a_suspect_when_nothing_else_is_open_in_its_process(world: World) -> None:
    suspect, other = await world.order(), await world.order()
    await world.open(suspect)
    await world.leases_end()
    await world.run("UPDATE outbox SET opens_unsettled = 2 WHERE id = :id", id=suspect.outbox_id)
    slow = {"fault": "stall", "metadata_order": str(other.order_id), "stall_s": 0.5, "then": "answer"}
    world.stripe.faults(slow)
    worker = await world.worker()
    both = asyncio.gather(worker.charge([other.outbox_id]), worker.charge([suspect.outbox_id, other.outbox_id]))
    await both
    await world.assert_charged_once(suspect, other)
    times = await world.all(
        "SELECT c.order_id AS id, max((h ->> 'at')::timestamptz) AS done,"
        " max((h ->> 'at')::timestamptz) FILTER (WHERE h ? 'call') AS called"
        " FROM charges c, jsonb_array_elements(c.history) AS h GROUP BY c.order_id"
    )
    at = {row["id"]: row for row in times}
    assert at[suspect.order_id]["called"] >= at[other.order_id]["done"], "the suspect came when the other was done"


async def test_the_room_is_shared_or_taken_alone() -> None:
    room, seen = Room(), list[str]()

    async def work(name: str, *, alone: bool) -> None:
        async with room.alone() if alone else room.shared():
            seen.append(f"+{name}")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            seen.append(f"-{name}")

    async with asyncio.timeout(5):
        await asyncio.gather(
            work("a", alone=False), work("b", alone=False), work("S", alone=True), work("T", alone=True),
            work("c", alone=False), work("d", alone=False),
        )  # fmt: skip
    text = "".join(seen)
    assert "+S-S" in text
    assert "+T-T" in text
    assert len(seen) == 12


async def test_who_gives_up_waiting_to_be_alone_lets_the_others_in() -> None:
    room = Room()
    async with room.shared():
        waiting = asyncio.create_task(_alone(room))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        async with asyncio.timeout(timedelta(seconds=5).total_seconds()), room.shared():
            pass


async def _alone(room: Room) -> None:
    async with room.alone():
        pass
