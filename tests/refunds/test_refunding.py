"""Money goes back once per refund, never more than was taken, and the books say where it is (R26, R37)."""

import asyncio
from typing import Any

import pytest
from stripe.params import RefundCreateParams

from tests.charges.wishes import ask_capture, ask_refund
from tests.charges.world import Promise, World
from tests.refunds.giving_back import (
    REFUNDS,
    assert_given_back_once,
    booked,
    calls,
    given_back,
    once,
    paid,
    refund,
    sums,
)

NOT_EXECUTED = ("drop_before", "html_502", "rate_limited", "conflict_409", "lock_timeout", "error_500_before")
EXECUTED = ("executed_reply_lost", "cut_body", "html_502_executed", "executed_500", "no_request_id", "wrong_amount")


@pytest.mark.parametrize("amount", [1999, 1200, 1])
async def test_a_refund_gives_so_much_back_once(world: World, amount: int) -> None:
    promise = await paid(world)
    await world.deliver(asked := await ask_refund(world, promise, amount))
    await assert_given_back_once(world, promise, asked, amount)
    left = {"assets:stripe:balance": 1999 - amount} if amount < 1999 else {}
    assert await booked(world, promise) == {**left, "contra:refunds": amount, "revenue:orders": -1999}
    assert await world.status(promise) == "paid"


async def test_a_refund_tells_stripe_whose_it_is_and_what_its_producer_said(world: World) -> None:
    promise = await paid(world)
    asked = await ask_refund(
        world, promise, 500, key="refund-of-cart:17", reason="requested_by_customer", metadata={"case": "42"}
    )
    await world.deliver(asked)
    request = (await refund(world, asked))["request"]
    instance = str((await world.one("SELECT uuid FROM instance"))["uuid"])
    assert request.keys() <= RefundCreateParams.__annotations__.keys(), "the SDK knows each of its parameters"
    assert request["reason"] == "requested_by_customer"
    assert request["metadata"] == {
        "case": "42",
        "eo_account": str(promise.account_id),
        "eo_order": str(promise.order_id),
        "eo_refund": str(asked.effect),
        "eo_key": "refund-of-cart:17",
        "eo_instance": instance,
    }
    assert (await refund(world, asked))["idempotency_key"].startswith("eo1:"), "never a readable suffix (R1)"


async def test_two_equal_partial_refunds_are_two(world: World) -> None:
    """Seen elsewhere: collapsed into one, by a key made of charge and amount."""
    promise = await paid(world)
    first, second = await ask_refund(world, promise, 500), await ask_refund(world, promise, 500)
    await world.deliver(first, second)
    assert given_back(world, promise) == (2, 1000)
    assert await sums(world, promise) == (1000, 0, 0)
    rows = [await refund(world, asked) for asked in (first, second)]
    assert len({row["stripe_refund_id"] for row in rows}) == len({row["idempotency_key"] for row in rows}) == 2
    await world.balanced()


async def test_while_a_refund_is_under_way_its_amount_is_counted(world: World) -> None:
    promise = await paid(world)
    asked = await ask_refund(world, promise, 700)
    assert await sums(world, promise) == (0, 700, 0)
    await world.open_effects(asked)
    assert await sums(world, promise) == (0, 700, 0)


async def test_what_was_captured_in_part_is_given_back_whole(world: World) -> None:
    promise = await world.order(capture="manual")
    await world.deliver(promise)
    await world.deliver(await ask_capture(world, promise, 1200))
    await world.deliver(asked := await ask_refund(world, promise, 1200))
    await assert_given_back_once(world, promise, asked, 1200)
    assert "assets:stripe:balance" not in await booked(world, promise)


@pytest.mark.parametrize("fault", [*NOT_EXECUTED, *EXECUTED])
async def test_whatever_is_answered_to_a_refund_the_money_goes_back_once(world: World, fault: str) -> None:
    promise = await paid(world)
    world.stripe.faults(once(fault))
    asked = await ask_refund(world, promise, 1200)
    if fault == "error_500_before":  # it is saved: the key says so for a day
        for _ in range(4):
            await world.deliver(asked)
        assert given_back(world, promise) == (0, 0)
        assert (await refund(world, asked))["status"] == "processing"
        return
    await world.work()
    await assert_given_back_once(world, promise, asked, 1200)
    assert world.stripe.fired() == [1]


async def test_a_lost_reply_to_a_refund_is_asked_for_under_the_same_key_with_the_same_bytes(world: World) -> None:
    promise = await paid(world)
    world.stripe.faults(once("executed_reply_lost"))
    await world.deliver(asked := await ask_refund(world, promise, 500))
    first = await refund(world, asked)
    assert (first["status"], first["stripe_refund_id"], first["maybe_executed"]) == ("processing", None, True)
    await world.deliver(asked)
    again = await refund(world, asked)
    assert (again["idempotency_key"], again["request"]) == (first["idempotency_key"], first["request"])
    assert await calls(world, asked) == ["send", "send"]
    await assert_given_back_once(world, promise, asked, 500)


async def test_two_workers_make_one_refund(world: World) -> None:
    promise = await paid(world)
    asked = await ask_refund(world, promise, 500)
    workers = [await world.worker() for _ in range(3)]
    await asyncio.gather(*(world.deliver(asked, worker=worker) for worker in workers))
    await world.work()
    await assert_given_back_once(world, promise, asked, 500)
    assert await calls(world, asked) == ["send"]


async def test_a_takeover_while_the_first_send_is_still_running_makes_one_refund(world: World) -> None:
    promise = await paid(world)
    world.stripe.faults(once("stall", stall_s=0.4, then="answer"))
    asked = await ask_refund(world, promise, 500)
    first, second = await world.worker(), await world.worker()
    delivering = asyncio.create_task(world.deliver(asked, worker=first))
    while (await refund(world, asked))["status"] == "pending":
        await asyncio.sleep(0.002)
    await world.leases_end()
    await world.deliver(asked, worker=second)
    await delivering
    await world.work()
    await assert_given_back_once(world, promise, asked, 500)


async def test_refunds_of_many_orders_and_faults_at_once_go_back_once_each(world: World) -> None:
    promises = await world.orders(12)
    await world.work()
    faults = "executed_reply_lost cut_body drop_before html_502 conflict_409 rate_limited executed_500".split()
    world.stripe.faults(*({"fault": f, **REFUNDS, "probability": 0.1} for f in faults), seed=7)
    asked: list[tuple[Promise, Any, int]] = []
    for promise in promises:
        asked += [(promise, await ask_refund(world, promise, amount), amount) for amount in (700, 700, 599)]
    await world.work()
    for promise in promises:
        assert given_back(world, promise) == (3, 1999)
        assert await sums(world, promise) == (1999, 0, 0)
    assert {(await refund(world, one))["status"] for _, one, _ in asked} == {"succeeded"}
    await world.balanced()
