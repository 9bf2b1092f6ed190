"""The worker against the real Stripe stand-in with everything going wrong that may: at most one charge per order.

The witness is Stripe's own books, read past its API: what was really charged, whatever anybody was told.
"""

import asyncio
import re
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from service.charges.request import payment_intent_request
from service.effects.model import Rules
from service.effects.request import STRIPE_VERSION
from service.ops.embedded import Valkey, free_port
from service.reconcile import Span, reconcile
from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.marks import Marks
from service.stripe_gateway.objects import Answer
from service.stripe_gateway.pacing import Bucket
from tests.charges.world import POST, Promise, World
from tests.sandbox.process import SandboxProcess
from workers import charge as actor

LIST = {"method": "GET", "path": "^/v1/payment_intents$"}
Passes = Callable[[float], Awaitable[None]]


def once(fault: str, promise: Promise, **how: Any) -> dict[str, Any]:
    """A rule that strikes this order's next charge, once."""
    return {"fault": fault, **POST, "metadata_order": str(promise.order_id), "times": 1, **how}


# --- one thing goes wrong ---

STALL = {"stripe_timeout_s": 0.3, "stripe_connect_timeout_s": 0.2}
AGAIN, LOOK_UP, MISSED = ["send", "send"], ["send", "lookup"], ["send", "lookup", "send"]
# fault: (the rest of its rule, settings, what is asked of Stripe)
FAULTS: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "executed_reply_lost": ({}, {}, AGAIN),
    "cut_body": ({}, {}, AGAIN),
    "drop_before": ({}, {}, AGAIN),
    "stall": ({"stall_s": 0.5}, STALL, AGAIN),
    "stall unexecuted": ({"stall_s": 0.5, "executed": False}, STALL, AGAIN),
    "html_502": ({}, {}, AGAIN),
    "html_502_executed": ({}, {}, AGAIN),
    "wrong_amount": ({}, {}, LOOK_UP),
    "no_request_id": ({}, {}, AGAIN),
    "conflict_409": ({}, {}, AGAIN),
    "rate_limited": ({}, {}, AGAIN),
    "lock_timeout": ({}, {}, AGAIN),
    "failed_dependency_424": ({}, {}, MISSED),
    "failed_dependency_424 executed": ({"executed": True}, {}, LOOK_UP),
    "unauthorized_401": ({}, {}, AGAIN),
    "forbidden_403": ({}, {}, AGAIN),
    "executed_500": ({}, {}, LOOK_UP),
    "error_500_before unsaved": ({"saved": False}, {}, MISSED),
    "error_500_roll_forward": ({"delay_s": 0.2}, {}, LOOK_UP),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_after_one_fault_the_order_is_paid_and_was_charged_once(world: World, fault: str) -> None:
    how, settings, calls = FAULTS[fault]
    promise = await world.order(customer="cus_17")
    world.stripe.faults(once(fault.split(maxsplit=1)[0], promise, **how))
    await world.work(await world.worker(**settings))
    assert world.stripe.fired() == [1]
    await world.assert_charged_once(promise)
    assert (await world.calls(promise))[: len(calls)] == calls


async def test_a_lost_reply_is_resent_with_the_same_bytes_and_charges_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, str, str]] = []
    post = StripeGateway.create_payment_intent

    async def listened(self: StripeGateway, request: Mapping[str, Any], *, key: str, version: str) -> Answer:
        sent.append((repr(request), key, version))
        return await post(self, request, key=key, version=version)

    monkeypatch.setattr(StripeGateway, "create_payment_intent", listened)
    promise = await world.order(description="a mug", metadata={"z": "1", "a": "2"})
    world.stripe.faults(once("executed_reply_lost", promise))
    await world.deliver(promise)
    await world.run("UPDATE orders SET description = 'two mugs'")
    await world.work()
    assert len(sent) == 2
    assert sent[0] == sent[1]
    assert (await world.charge(promise))["history"][-1]["replayed"], "Stripe took it for the same request"
    await world.assert_charged_once(promise)


async def test_the_second_lost_reply_in_a_row_is_looked_up(world: World) -> None:
    promise = await world.order()
    world.stripe.faults(once("executed_reply_lost", promise, times=2))
    await world.work()
    assert await world.calls(promise) == ["send", "send", "lookup"]
    await world.assert_charged_once(promise)


async def test_a_500_is_looked_up_and_not_sent_again(world: World) -> None:
    promise = await world.order()
    world.stripe.faults(once("executed_500", promise))
    await world.work()
    assert await world.calls(promise) == ["send", "lookup"]
    await world.assert_charged_once(promise)


async def test_a_decline_is_final_and_names_its_reason(world: World) -> None:
    promise = await world.order(payment_method="pm_card_visa_chargeDeclinedInsufficientFunds")
    await world.work()
    order = await world.one("SELECT status, failure, payment_intent_id FROM orders WHERE id = :id", id=promise.order_id)
    assert order["status"] == "failed"
    assert order["failure"]["decline_code"] == "insufficient_funds"
    assert order["payment_intent_id"].startswith("pi_")
    assert world.charges_at_stripe(promise) == 0


async def test_a_replayed_decline_is_as_final_as_the_first(world: World) -> None:
    promise = await world.order(payment_method="pm_card_visa_chargeDeclined")
    world.stripe.faults(once("executed_reply_lost", promise))
    await world.work()
    assert await world.status(promise) == "failed"
    assert (await world.answers(promise))[1:] == ["402 card_declined"]
    assert (await world.charge(promise))["history"][-1]["replayed"]


async def test_a_card_that_needs_its_customer_is_asked_for_and_never_posted_again(world: World) -> None:
    promise = await world.order(payment_method="pm_card_authenticationRequired")
    await world.deliver(promise)
    assert await world.status(promise) == "requires_action"
    await world.deliver(promise)
    pi = (await world.charge(promise))["payment_intent_id"]
    world.stripe.control("POST", f"payment_intents/{pi}/complete_action", {"succeed": True})
    await world.deliver(promise)
    assert await world.calls(promise) == ["send", "retrieve", "retrieve"]
    await world.assert_charged_once(promise)


async def test_nothing_of_stripes_that_is_secret_is_kept(world: World) -> None:
    cards = ("pm_card_visa", "pm_card_visa_chargeDeclined", "pm_card_authenticationRequired")
    promises = [await world.order(payment_method=card) for card in cards]
    world.stripe.faults(once("executed_reply_lost", promises[0]))
    await world.deliver(*promises)
    await world.deliver(*promises)
    for table in ("orders", "charges", "outbox", "journal_entries"):
        for row in await world.all(f"SELECT row_to_json(t)::text AS kept FROM {table} t"):
            assert "_secret_" not in row["kept"]
            assert "4242" not in row["kept"]


async def test_a_pause_that_stripe_asks_for_is_kept(world: World) -> None:
    promise = await world.order()
    world.stripe.faults(once("rate_limited", promise, retry_after=30))
    await world.deliver(promise)
    row = await world.one("SELECT deliver_after - clock_timestamp() > interval '29 s' AS kept FROM outbox")
    assert row["kept"]
    assert not (await world.charge(promise))["maybe_executed"]


@pytest.mark.slow
async def test_one_stalled_call_never_holds_up_the_others(world: World) -> None:
    slow, *others = await world.orders(8)
    world.stripe.faults(once("stall", slow, stall_s=60))
    worker = await world.worker(stripe_timeout_s=30)
    delivering = asyncio.create_task(world.deliver(slow, *others, worker=worker))
    async with asyncio.timeout(10):
        while {await world.status(p) for p in others} != {"paid"}:
            await asyncio.sleep(0.01)
    assert not delivering.done()
    assert await world.status(slow) == "processing"
    delivering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivering
    # Its worker died over it; the next one takes over when the lease is done.
    await world.leases_end()
    await world.deliver(slow)
    await world.assert_charged_once(slow, *others)


async def test_two_workers_with_the_same_message_charge_once(world: World) -> None:
    promises = await world.orders(20)
    workers = [await world.worker() for _ in range(4)]
    await asyncio.gather(*(world.deliver(*promises, worker=worker) for worker in workers))
    await world.work()
    await world.assert_charged_once(*promises)
    assert [await world.calls(p) for p in promises] == [["send"]] * len(promises)


async def test_a_takeover_while_the_first_send_is_still_running_charges_once(world: World) -> None:
    promise = await world.order()
    world.stripe.faults(once("stall", promise, stall_s=0.4, then="answer"))
    first, second = await world.worker(), await world.worker()
    delivering = asyncio.create_task(world.deliver(promise, worker=first))
    while not await world.all("SELECT 1 FROM charges"):
        await asyncio.sleep(0.002)
    await world.leases_end()
    await world.deliver(promise, worker=second)
    await delivering
    await world.work()
    await world.assert_charged_once(promise)


@pytest.mark.slow
async def test_with_everything_going_wrong_at_once_every_order_is_charged_once_and_both_sides_agree(
    own_world: World,
) -> None:
    world = own_world
    faults = (
        "executed_reply_lost cut_body drop_before html_502 html_502_executed wrong_amount no_request_id conflict_409 "
        "rate_limited failed_dependency_424 executed_500"
    ).split()
    world.stripe.faults(*({"fault": f, **POST, "probability": 0.08} for f in faults), seed=11)
    promises = await world.orders(60)
    await world.work()
    await world.assert_charged_once(*promises)
    world.stripe.calm()
    async with (
        StripeGateway(world.settings) as gateway,
        reconcile(world.engine, gateway, Span(), grace_s=600, rules=Rules.of(world.settings)) as report,
    ):
        assert [d.name async for d in report.discrepancies() if d.name != "in_flight"] == []
        assert report.verdict == "clean"


# --- Stripe refuses us, or is away ---


@pytest.mark.slow
async def test_a_storm_of_401_opens_the_breaker_fails_no_order_and_closes_by_itself(own_world: World) -> None:
    world, key = own_world, {"key": own_world.settings.stripe_api_key}
    worker = await world.worker()
    before = await world.order()
    await world.deliver(before, worker=worker)
    world.stripe.control("POST", "keys/revoke", key)
    promises = await world.orders(8)
    await world.deliver(*promises, worker=worker)
    opens = [(await world.open_row(p))["deliveries"] for p in promises]
    await world.deliver(*promises, worker=worker)  # the breaker is open: nobody calls, nothing is counted
    assert [(await world.open_row(p))["deliveries"] for p in promises] == opens
    for promise in promises:
        assert re.match(r"breaker open: .*401", (await world.open_row(promise))["last_error"])
    assert {await world.status(p) for p in promises} == {"processing"}
    assert not any([(await world.charge(p))["maybe_executed"] for p in promises])
    world.stripe.control("POST", "keys/revoke", {**key, "revoked": False})
    await world.work(worker)
    await world.assert_charged_once(before, *promises)


async def test_a_breaker_that_one_worker_opens_is_open_for_the_fleet(world: World) -> None:
    one, two = await world.worker(breaker_s=30), await world.worker(breaker_s=30)
    for worker in (one, two):
        async with worker.breaker.admission(9) as admitted:
            assert admitted.rows == 9
    await one.breaker.trip("401")
    async with two.breaker.admission(9) as admitted:
        assert admitted.rows == 0
        assert 25 < admitted.wait_s <= 30


async def test_stripe_gone_and_back_charges_once(own_world: World) -> None:
    world = own_world
    worker = await world.worker()
    first, promise = await world.order(), await world.order()
    await world.deliver(first, worker=worker)
    world.stripe.kill()
    await world.deliver(promise, worker=worker)
    charge = await world.charge(promise)
    assert (charge["status"], charge["maybe_executed"]) == ("sending", False), "no connection, so nothing was sent"
    world.stripe.start()
    await world.work(worker)
    await world.assert_charged_once(first, promise)


async def test_stripe_dying_between_executing_and_answering_charges_once(own_world: World) -> None:
    world = own_world
    promise = await world.order()
    world.stripe.faults(once("crash_after_execution", promise))
    await world.deliver(promise)
    world.stripe.wait()
    world.stripe.start()
    await world.work()
    await world.assert_charged_once(promise)


# --- a day passes (R17, R18) ---


async def test_a_key_is_not_posted_again_after_20_hours_but_looked_up_and_found(
    own_world: World, a_day_passes: Passes
) -> None:
    world, promise = own_world, await own_world.order()
    world.stripe.faults(once("executed_reply_lost", promise))
    await world.deliver(promise)
    await a_day_passes(25)  # Stripe has forgotten the key: a post would charge again
    await world.work()
    assert await world.calls(promise) == ["send", "lookup"]
    await world.assert_charged_once(promise)


@pytest.mark.slow
async def test_what_was_never_executed_fails_after_24_h_30_and_not_before(
    own_world: World, a_day_passes: Passes
) -> None:
    world, promise = own_world, await own_world.order()
    world.stripe.faults(once("drop_before", promise))
    await world.deliver(promise)
    for hours in (20.5, 3.5, 0.4):  # 20 h 30, 24 h, 24 h 24
        await a_day_passes(hours)
        await world.deliver(promise)
        assert await world.status(promise) == "processing"
    await a_day_passes(0.2)
    await world.deliver(promise)
    assert await world.status(promise) == "failed"
    assert (await world.charge(promise))["failure"]["code"] == "never_executed"
    assert await world.calls(promise) == ["send", *["lookup"] * 4]
    assert world.charges_at_stripe(promise) == 0
    assert await world.row(promise) is None


@pytest.mark.slow
async def test_an_incomplete_listing_says_nothing_even_after_a_day(own_world: World, a_day_passes: Passes) -> None:
    world, promise = own_world, await own_world.order()
    world.stripe.faults(once("drop_before", promise), {"fault": "error_500_before", "saved": False, **LIST})
    await world.deliver(promise)
    await a_day_passes(25)
    await world.deliver(promise)
    assert await world.status(promise) == "processing"
    assert (await world.answers(promise))[-1] == "0 found, inconclusive listing"
    world.stripe.calm()
    await world.work()
    assert await world.status(promise) == "failed"


@pytest.mark.slow
async def test_a_saved_500_is_asked_for_once_more_then_only_looked_up_until_it_counts(
    own_world: World, a_day_passes: Passes
) -> None:
    world, promise = own_world, await own_world.order()
    world.stripe.faults(once("error_500_before", promise))
    for _ in range(5):
        await world.deliver(promise)
    assert await world.calls(promise) == ["send", "lookup", "send", "lookup", "lookup"]
    await a_day_passes(25)
    await world.work()
    assert await world.status(promise) == "failed"
    assert world.charges_at_stripe(promise) == 0


async def test_an_order_from_a_restored_backup_that_was_paid_in_the_life_before_is_found(
    own_world: World, a_day_passes: Passes
) -> None:
    world, promise = own_world, await own_world.order()
    request = payment_intent_request(
        marks=Marks(account_id=promise.account_id, order_id=promise.order_id, attempt=1),
        amount=1999,
        currency="usd",
        payment_method="pm_card_visa",
        customer=None,
        description=None,
        metadata={},
    )
    async with StripeGateway(world.settings) as gateway:  # the life that the backup does not know of
        await gateway.create_payment_intent(request, key=promise.key, version=STRIPE_VERSION)
    await a_day_passes(25)
    await world.work()
    assert await world.calls(promise) == ["lookup"]
    await world.assert_charged_once(promise)


async def test_an_old_order_that_stripe_has_never_seen_is_charged_after_the_look_up(
    own_world: World, a_day_passes: Passes
) -> None:
    world, promise = own_world, await own_world.order()
    await a_day_passes(30)
    await world.work()
    assert await world.calls(promise) == ["lookup", "send"]
    await world.assert_charged_once(promise)


@pytest.mark.slow
async def test_a_payment_of_this_attempt_over_another_amount_is_not_called_a_miss(
    own_world: World, a_day_passes: Passes
) -> None:
    world, promise = own_world, await own_world.order()
    world.stripe.faults(once("drop_before", promise))
    await world.deliver(promise)
    stored = (await world.charge(promise))["request"]
    async with StripeGateway(world.settings) as gateway:
        other = await gateway.create_payment_intent(
            stored | {"amount": 2000}, key="another", version="2026-10-28.endive"
        )
    assert other.intent is not None
    await a_day_passes(25)
    await world.deliver(promise)
    assert await world.status(promise) == "processing", "Stripe has taken money for it: that is no 'never executed'"
    await a_day_passes(2)
    await world.deliver(promise)
    assert (await world.open_row(promise))["parked_at"] is not None


# --- clocks, leases and accounts ---


@pytest.mark.slow
async def test_a_look_up_that_outlasts_its_lease_keeps_it_and_ends(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    promise = await world.order()
    world.stripe.faults(once("executed_500", promise))
    worker = await world.worker(stripe_timeout_s=0.3, charge_lease_s=0.5, outbox_lease_s=0.7)
    await world.deliver(promise, worker=worker)
    listed = StripeGateway.list_payment_intents

    async def slowly(self: StripeGateway, *window: Any) -> Any:
        await asyncio.sleep(1.5)  # three leases, as many pages take
        async for intent in listed(self, *window):
            yield intent

    monkeypatch.setattr(StripeGateway, "list_payment_intents", slowly)
    looking = asyncio.create_task(world.deliver(promise, worker=worker))
    await asyncio.sleep(1.0)
    await world.deliver(promise)  # another worker, which finds it leased
    await looking
    assert await world.calls(promise) == ["send", "lookup"]
    await world.assert_charged_once(promise)


async def test_a_worker_that_slept_through_its_lease_posts_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    promise = await world.order()
    worker = await world.worker()
    async with worker.breaker.admission(1) as admitted:
        assert admitted.rows == 1
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    limit = world.settings.charge_lease_s - world.settings.stripe_timeout_s
    clock = iter([now, now + limit + 0.001])
    monkeypatch.setattr(actor, "_boottime", lambda: next(clock))
    await world.deliver(promise, worker=worker)
    assert world.charges_at_stripe(promise) == 0
    charge, row = await world.charge(promise), await world.open_row(promise)
    assert (charge["status"], charge["maybe_executed"], charge["first_sent_at"]) == ("sending", False, None)
    assert row["parked_at"] is None
    monkeypatch.undo()
    await world.work(worker)
    await world.assert_charged_once(promise)


async def test_a_worker_that_slept_before_a_resend_proves_nothing_by_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    promise = await world.order()
    world.stripe.faults(once("executed_reply_lost", promise))
    worker = await world.worker()
    await world.deliver(promise, worker=worker)
    clock = iter([0.0, 1e6])
    monkeypatch.setattr(actor, "_boottime", lambda: next(clock))
    await world.deliver(promise, worker=worker)
    assert (await world.charge(promise))["maybe_executed"]
    monkeypatch.undo()
    await world.work(worker)
    await world.assert_charged_once(promise)


async def test_nothing_is_sent_to_a_stripe_whose_clock_disagrees(own_world: World) -> None:
    world, promise = own_world, await own_world.order()
    world.stripe.control("POST", "clock", {"advance_s": 400})
    await world.deliver(promise)
    assert (await world.open_row(promise))["last_error"].startswith("breaker open: the database's clock and Stripe's")
    assert await world.status(promise) == "pending"
    assert world.charges_at_stripe(promise) == 0


async def test_a_clock_that_runs_away_stops_the_sending(own_world: World) -> None:
    world = own_world
    before, after = await world.order(), await world.order()
    worker = await world.worker()
    async with worker.breaker.admission(1) as admitted:
        assert admitted.rows == 1
    world.stripe.control("POST", "clock", {"advance_s": 400})
    await world.deliver(before, worker=worker)
    await world.deliver(after, worker=worker)
    assert await world.status(before) == "paid", "the answer itself is true"
    assert await world.status(after) == "pending"
    assert world.charges_at_stripe(after) == 0


async def test_another_stripe_account_is_refused_and_never_charged(
    own_world: World, stripe: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = own_world
    first, second = await world.order(), await world.order()
    await world.deliver(first)
    ended: list[int] = []
    monkeypatch.setattr("workers.identity.os.kill", lambda _, number: ended.append(number))
    elsewhere = await world.worker(stripe_api_base=stripe.base)
    await world.deliver(second, worker=elsewhere)
    assert ended == [signal.SIGTERM], "the process ends"
    assert await world.status(second) == "pending"
    assert stripe.truth(str(second.order_id))["charges"] == 0


# --- the rate limit of the fleet ---


async def seconds_to_take(buckets: list[Bucket], each: int) -> float:
    """How long the buckets need, all at once, for `each` calls."""

    async def take(bucket: Bucket) -> None:
        left = each
        while left:
            left -= await bucket.take(min(left, 5))

    began = time.monotonic()
    await asyncio.gather(*map(take, buckets))
    return time.monotonic() - began


@pytest.fixture
async def redis(valkey: Valkey, world: World) -> Any:
    client = Redis.from_url(valkey.url)
    yield client
    await client.aclose()


async def test_two_workers_share_one_rate(redis: Redis) -> None:
    buckets = [Bucket(redis, "test", 40) for _ in range(2)]
    # One second's worth at once, the other 20 at 40 a second.
    assert await seconds_to_take(buckets, 30) >= 0.45


async def test_tokens_given_back_can_be_taken_again(redis: Redis) -> None:
    bucket = Bucket(redis, "test", 2)
    assert await bucket.take(5) == 2
    await bucket.give_back(2)
    assert await bucket.take(5) == 2


async def test_a_worker_without_redis_keeps_to_its_share_of_the_rate() -> None:
    nowhere = Redis.from_url(f"redis://127.0.0.1:{free_port()}", socket_connect_timeout=0.1)
    elapsed = await seconds_to_take([Bucket(nowhere, "test", 40)], 8)
    assert elapsed >= 0.7  # a quarter of 40 a second, and nothing saved up
    await nowhere.aclose()


async def test_without_redis_orders_are_still_charged_once(world: World) -> None:
    promises = await world.orders(5)
    alone = await world.worker(redis_url=f"redis://127.0.0.1:{free_port()}", stripe_max_rps=200)
    await world.work(alone)
    await world.assert_charged_once(*promises)


@pytest.mark.slow
async def test_a_batch_beyond_the_rate_is_charged_in_parts_each_with_a_fresh_lease(world: World) -> None:
    promises = await world.orders(12)
    limited = await world.worker(stripe_max_rps=8)
    await world.deliver(*promises, worker=limited)
    opened = await world.all("SELECT DISTINCT created_at FROM charges")
    assert len(opened) > 1
    await world.assert_charged_once(*promises)


class Ended:
    """A step of the worker that an administrator cuts off: its COMMIT is made, or not, and nobody hears."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step: str, *, made: list[bool]) -> None:
        self._run = getattr(actor, step)
        self._made = made
        monkeypatch.setattr(actor, step, self)

    async def __call__(self, *arguments: Any, **named: Any) -> Any:
        if not self._made:
            return await self._run(*arguments, **named)
        if self._made.pop(0):
            await self._run(*arguments, **named)
        raise asyncpg.QueryCanceledError("canceling statement due to user request")


@pytest.mark.slow
async def test_answers_outlast_a_settlement_that_was_cut_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    promises = await world.orders(3)
    Ended(monkeypatch, "settle", made=[False, True, False])
    await world.deliver(*promises)
    await world.assert_charged_once(*promises)


async def test_an_opening_that_was_cut_off_is_made_again_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    promises = await world.orders(3)
    Ended(monkeypatch, "open_effects", made=[False] * 3)
    await world.deliver(*promises)
    await world.assert_charged_once(*promises)


@pytest.mark.slow
async def test_an_opening_that_was_made_unheard_charges_once_after_its_lease(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    promises = await world.orders(3)
    Ended(monkeypatch, "open_effects", made=[True])
    await world.work(await world.worker(**STALL, charge_lease_s=0.6, outbox_lease_s=0.7))
    await world.assert_charged_once(*promises)


async def test_a_settlement_that_no_postgres_takes_ends_with_its_lease(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (promise,) = await world.orders(1)
    Ended(monkeypatch, "settle", made=[False] * 1_000)
    with pytest.raises(ExceptionGroup):
        await world.deliver(promise, worker=await world.worker(**STALL, charge_lease_s=0.6))
    assert world.charges_at_stripe(promise) == 1
