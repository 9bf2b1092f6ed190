"""Settling: charge, order, journal and outbox change together, for the token's holder or on proof of success."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger, outbox
from service.charges import CHARGE
from service.charges.model import OpenCharge
from service.effects import patience
from service.effects.model import Outcome, Settlement
from service.effects.patience import backoff_s
from service.effects.settling import settle
from service.foundation.postgres.sql import begin
from service.foundation.settings import Settings
from tests.charges import answers
from tests.charges.answers import paid
from tests.charges.world import Books, Promise, planner_without
from tests.operators import OPERATOR

if TYPE_CHECKING:
    from service.stripe_gateway.objects import Answer

UNDECIDED = Outcome(status="unknown", next_call="lookup", unclear_answers=1)
NOT_RUN = Outcome(status="sending", next_call="send", proven_unexecuted=True)
FAILED = Outcome(status="declined", order_status="failed", failure={"code": "card_declined"})
CANCELED = Outcome(status="canceled", order_status="canceled")


async def balance(books: Books, account: str) -> int:
    return sum(row["balance"] for row in await ledger.balances(books.engine) if row["account"] == account)


async def kinds(books: Books, promise: Promise) -> list[str]:
    return [entry["kind"] for entry in await books.entries(promise)]


async def test_a_success_moves_charge_order_journal_and_outbox_together(books: Books) -> None:
    promise = await books.order()
    opened = await books.open_one(promise)
    assert await books.settle(opened, paid(opened), answer=answers.ok())
    charge = await books.charge(promise)
    assert (charge["status"], charge["token"], charge["lease_until"]) == ("succeeded", None, None)
    assert charge["payment_intent_id"] == f"pi_{opened.id.hex}"
    assert await books.status(promise) == "paid"
    assert await kinds(books, promise) == ["charge"]
    assert await books.row(promise) is None
    await books.balanced()


async def test_settling_twice_books_once(books: Books) -> None:
    promise = await books.order()
    opened = await books.open_one(promise)
    assert await books.settle(opened, paid(opened))
    assert not await books.settle(opened, paid(opened))
    assert await kinds(books, promise) == ["charge"]


@pytest.mark.parametrize("outcome", [FAILED, UNDECIDED, NOT_RUN, CANCELED], ids=lambda o: o.status)
async def test_a_zombies_word_changes_nothing_after_a_takeover(books: Books, outcome: Outcome) -> None:
    promise = await books.order()
    zombie = await books.open_one(promise)
    await books.leases_end()
    holder = await books.open_one(promise)
    before = await books.charge(promise)
    assert not await books.settle(zombie, outcome)
    assert await books.charge(promise) == before
    assert before["token"] == holder.token
    assert before["maybe_executed"]
    assert await books.status(promise) == "processing"
    assert await books.row(promise) is not None


async def test_a_zombies_proof_of_success_settles_and_the_holders_decline_changes_nothing(books: Books) -> None:
    promise = await books.order()
    zombie = await books.open_one(promise)
    await books.leases_end()
    holder = await books.open_one(promise)
    assert await books.settle(zombie, paid(zombie))
    assert not await books.settle(holder, FAILED)
    assert await books.status(promise) == "paid"
    assert await kinds(books, promise) == ["charge"]
    assert await books.row(promise) is None


async def test_a_decline_fails_the_order_and_keeps_the_promise_no_longer(books: Books) -> None:
    promise = await books.order()
    assert await books.settle(await books.open_one(promise), FAILED)
    assert await books.status(promise) == "failed"
    assert (await books.charge(promise))["failure"] == {"code": "card_declined"}
    assert await books.row(promise) is None
    assert await kinds(books, promise) == []


@pytest.mark.parametrize(("told", "state"), [(FAILED, "failed"), (CANCELED, "canceled")], ids=["failed", "canceled"])
async def test_proof_of_success_outranks_what_was_final(books: Books, told: Outcome, state: str) -> None:
    promise = await books.order()
    opened = await books.open_one(promise)
    assert await books.settle(opened, told)
    assert await books.status(promise) == state
    assert await books.settle(opened, paid(opened))
    assert await books.status(promise) == "paid"
    order = await books.one("SELECT failure FROM orders WHERE id = :id", id=promise.order_id)
    assert order["failure"] is None
    assert (await books.charge(promise))["status"] == "succeeded"
    assert await kinds(books, promise) == ["charge"]
    await books.balanced()


async def two_attempts(books: Books) -> tuple[Promise, OpenCharge, OpenCharge]:
    """An order whose first attempt was declined, and whose second is under way."""
    promise = await books.order()
    first = await books.open_one(promise)
    assert await books.settle(first, FAILED)
    return promise, first, await books.open_one(await books.attempt(promise, 2))


async def assert_second_is_in_suspense(books: Books, promise: Promise) -> None:
    states = [(await books.charge(promise, n))["status"] for n in (1, 2)]
    assert sorted(states) == ["duplicate", "succeeded"]
    assert sorted(await kinds(books, promise)) == ["charge", "duplicate"]
    assert await books.status(promise) == "paid"
    assert await balance(books, "suspense:stripe") == 1999
    await books.balanced()


async def test_a_second_success_of_an_order_is_booked_to_suspense(books: Books) -> None:
    promise, first, second = await two_attempts(books)
    assert await books.settle(second, paid(second))
    assert await books.settle(first, paid(first))
    await assert_second_is_in_suspense(books, promise)
    assert (await books.charge(promise, 1))["status"] == "duplicate"


async def test_two_successes_of_an_order_in_one_batch_are_one_success_and_one_duplicate(books: Books) -> None:
    promise, first, second = await two_attempts(books)
    both = [Settlement(first, paid(first)), Settlement(second, paid(second))]
    assert await settle(books.engine, CHARGE, both, books.settings) == {first.id, second.id}
    await assert_second_is_in_suspense(books, promise)


async def test_two_successes_of_an_order_at_the_same_time_are_one_success_and_one_duplicate(books: Books) -> None:
    promise, first, second = await two_attempts(books)
    await asyncio.gather(books.settle(first, paid(first)), books.settle(second, paid(second)))
    await assert_second_is_in_suspense(books, promise)


# --- one bad item never holds up its neighbours (R22) ---


async def offended(books: Books, bad: Outcome | None = None, **changes: Any) -> Promise:
    """Settle three charges in one batch, the middle one with something wrong; returns its promise."""
    promises = await books.orders(3)
    opened = [await books.open_one(p) for p in promises]
    outcomes = [paid(c) for c in opened]
    outcomes[1] = bad or paid(opened[1], **changes)
    settlements = [Settlement(c, o) for c, o in zip(opened, outcomes, strict=True)]
    assert await settle(books.engine, CHARGE, settlements, books.settings) == {opened[0].id, opened[2].id}
    for neighbour in (promises[0], promises[2]):
        assert await books.status(neighbour) == "paid"
        assert await books.row(neighbour) is None
    assert await books.status(promises[1]) == "processing"
    assert (await books.open_row(promises[1]))["parked_at"] is not None
    await books.balanced()
    return promises[1]


async def test_a_payment_intent_that_is_another_charges_is_parked_with_its_id_and_its_neighbours_settled(
    books: Books,
) -> None:
    taken = await books.order()
    opened = await books.open_one(taken)
    assert await books.settle(opened, paid(opened, id="pi_taken"))
    bad = await offended(books, id="pi_taken")
    assert "pi_taken" in (await books.open_row(bad))["last_error"]


async def test_a_reference_that_is_booked_with_other_content_is_parked_and_its_neighbours_settled(books: Books) -> None:
    other = ledger.charge_entry(
        account_id=await books.default_account(),
        order_id=None,
        payment_intent_id="pi_x",
        stripe_charge_id="ch_taken",
        amount_minor=1,
        currency="usd",
        occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    async with begin(books.engine) as tx:
        await ledger.post(tx, [other])
    bad = await offended(books, latest_charge="ch_taken")
    assert "pi_" in (await books.open_row(bad))["last_error"]
    assert (await books.charge(bad))["status"] == "sending"


@pytest.mark.parametrize("text", ["a\x00b", "\ud800"], ids=["NUL", "half a character"])
async def test_text_that_no_database_can_hold_is_parked_and_its_neighbours_settled(books: Books, text: str) -> None:
    await offended(books, Outcome(status="declined", order_status="failed", failure={"code": "x", "message": text}))


async def test_a_moment_outside_of_time_is_parked_and_its_neighbours_settled(books: Books) -> None:
    await offended(books, created=10**15)


async def meet(books: Books, promises: list[Promise], *runs: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Let all `runs` come to wait for one order in the middle, then let them go on: crossing locks would meet here."""
    middle = sorted(p.order_id for p in promises)[len(promises) // 2]
    async with books.engine.begin() as holder:
        await holder.execute(text("SELECT 1 FROM orders WHERE id = :id FOR UPDATE"), {"id": middle})
        tasks = [asyncio.ensure_future(run()) for run in runs]
        async with asyncio.timeout(10):
            while len(await books.all("SELECT 1 FROM pg_locks WHERE NOT granted")) < len(runs):
                await asyncio.sleep(0.002)
    return await asyncio.gather(*tasks)


def errors_of(*engines: AsyncEngine) -> list[object]:
    """The errors these engines meet from now on, also those that are repeated away."""
    failed: list[object] = []
    for engine in engines:
        event.listen(engine.sync_engine, "handle_error", lambda context: failed.append(context.original_exception))
    return failed


async def test_two_workers_settling_the_same_charges_under_different_plans_never_deadlock(
    books: Books, settings: Settings
) -> None:
    promises = await books.orders(8)
    opened = await books.open(*promises)
    for promise in reversed(promises):  # rows lie on disk in another order than in their index
        await books.run("UPDATE orders SET description = 'moved' WHERE id = :id", id=promise.order_id)
    by_index = planner_without(settings, "seqscan", "bitmapscan", pool=1)
    by_table = planner_without(settings, "indexscan", "bitmapscan", pool=1)
    failed = errors_of(by_index, by_table)
    settlements = [Settlement(c, paid(c)) for c in opened]
    changed = await meet(
        books,
        promises,
        lambda: settle(by_index, CHARGE, settlements, settings),
        lambda: settle(by_table, CHARGE, settlements[::-1], settings),
    )
    assert failed == []
    assert sorted(map(len, changed)) == [0, len(opened)]
    assert [await kinds(books, p) for p in promises] == [["charge"]] * len(promises)
    await by_index.dispose()
    await by_table.dispose()


async def test_an_open_and_a_settle_of_the_same_charges_never_deadlock(books: Books, settings: Settings) -> None:
    promises = await books.orders(8)
    opened = await books.open(*promises)
    await books.leases_end()
    failed = errors_of(books.engine)
    await meet(
        books,
        promises,
        lambda: settle(books.engine, CHARGE, [Settlement(c, paid(c)) for c in opened], settings),
        lambda: books.open(*promises),
    )
    assert failed == []
    assert {await books.status(p) for p in promises} == {"paid"}


# --- what is not final comes back ---


async def test_what_is_not_final_comes_back_after_a_growing_pause(books: Books) -> None:
    promise = await books.order()
    pauses = []
    for _ in range(4):
        assert await books.settle(await books.open_one(promise), UNDECIDED, answer=answers.error(500))
        row = await books.one(
            "SELECT *, extract(epoch FROM deliver_after - clock_timestamp())::float AS s FROM outbox WHERE id = :id",
            id=promise.outbox_id,
        )
        pauses.append(row["s"])
        assert (row["published"], row["opens_unsettled"], row["last_error"]) == (0, 0, "500 api_error")
    for pause, grown in zip(pauses, (1, 2, 4, 8), strict=True):
        assert grown * 0.7 < pause <= grown * 1.25


async def test_a_pause_that_stripe_asked_for_is_kept(books: Books) -> None:
    promise = await books.order()
    assert await books.settle(await books.open_one(promise), replace(UNDECIDED, retry_s=60.0))
    row = await books.one("SELECT deliver_after - clock_timestamp() > interval '59 s' AS kept FROM outbox")
    assert row["kept"]


@given(
    deliveries=st.integers(0, 10_000),
    asked=st.none() | st.floats(0.001, 3600),
    jitter=st.floats(0, 1),
)
def test_the_pause_is_never_shorter_than_asked_and_otherwise_bounded(
    deliveries: int, asked: float | None, jitter: float
) -> None:
    settings = Settings()
    settlement = Settlement(answers.charge(deliveries=deliveries), replace(UNDECIDED, retry_s=asked))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patience, "uniform", lambda low, high: low + jitter * (high - low))
        pause = backoff_s(settlement, settings)
    assert pause >= (asked or 0)
    assert pause >= settings.retry_base_s * 0.75
    assert pause <= max(asked or 0, settings.retry_max_s) * 1.25


async def test_an_outcome_for_a_human_is_parked_with_its_reason_and_can_be_brought_back(books: Books) -> None:
    promise = await books.order()
    opened = await books.open_one(promise)
    assert await books.settle(opened, replace(UNDECIDED, parked="key_conflict: …"), answer=answers.error(400))
    row = await books.open_row(promise)
    assert row["parked_at"] is not None
    assert row["last_error"] == "key_conflict: …"
    assert await books.status(promise) == "processing"
    assert await outbox.retry(books.engine, who=OPERATOR) == [promise.outbox_id]
    assert not (await books.open_one(promise)).first_send


async def test_the_history_has_each_answer_and_its_request_id_and_nothing_more(books: Books) -> None:
    promise = await books.order()
    replies: tuple[Answer, ...] = (answers.nothing(), answers.error(500, replayed=True, message="secret"), answers.ok())
    for reply in replies:
        opened = await books.open_one(promise)
        outcome = paid(opened) if reply.intent else UNDECIDED
        assert await books.settle(opened, outcome, answer=reply)
    told = [{k: v for k, v in h.items() if k not in ("at", "worker")} for h in (await books.charge(promise))["history"]]
    assert told == [
        {"call": "send"},
        {"answer": "TimeoutError", "request_id": None},
        {"call": "lookup"},
        {"answer": "500 api_error", "request_id": "req_1", "replayed": True},
        {"call": "lookup"},
        {"answer": "200 succeeded", "request_id": "req_1"},
    ]
