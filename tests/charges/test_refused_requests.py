"""Stripe refuses what we send: no order fails by it, everybody is told why nothing moves, and then all is paid once."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from service.effects.request import STRIPE_VERSION, Request, request_to_send
from service.foundation.settings import Settings
from service.monitoring.heartbeats import Heart
from service.monitoring.readiness import ReadyCheck
from service.orders.timeline import timeline
from service.web.health import status_of
from tests.charges.conftest import QUICK
from tests.charges.refusing import RefusingStripe, everything, sends
from tests.charges.world import Promise, World
from tests.sandbox.process import SandboxProcess

pytestmark = pytest.mark.slow

ORDERS = 12
OLD_VERSION = "2026-08-26.dahlia"


@pytest.fixture
def refusing(stripe: SandboxProcess) -> Any:
    with RefusingStripe(stripe.base) as refusing:
        yield refusing


@pytest.fixture
async def world(
    engine: AsyncEngine, settings: Settings, stripe: SandboxProcess, refusing: RefusingStripe
) -> AsyncIterator[World]:
    """Both sides, and between them a Stripe that may refuse."""
    async with World(engine, replace(settings, stripe_api_base=refusing.base, **QUICK), stripe) as world:
        yield world


async def ready(world: World) -> tuple[int, str, str]:
    """What /health/ready says: HTTP status, status, reasons."""
    async with Redis.from_url(world.settings.redis_url) as redis:
        for part in ("relay", "worker"):  # they are the test itself here
            await Heart(redis, part).beat()
    readiness = ReadyCheck(world.settings, lambda: 0.0)
    health = await readiness.ask()
    await readiness.close()
    return status_of(health), health.status, " ".join(health.reasons)


async def statuses(world: World, promises: list[Promise]) -> set[str]:
    return {await world.status(promise) for promise in promises}


async def why(world: World, promise: Promise) -> str:
    """The last that the order's timeline says."""
    events = await timeline(world.engine, promise.account_id, promise.order_id)
    (due,) = [event for event in events if event["event"] == "outbox.due"]
    return str(due["reason"])


async def delivered_again_and_again(world: World, promises: list[Promise], times: int = 10) -> None:
    for _ in range(times):
        await world.deliver(*promises)


@pytest.mark.parametrize("refuses", [everything, sends])
async def test_a_stripe_that_refuses_what_we_send_fails_no_order_says_why_and_is_paid_once_afterwards(
    world: World, refusing: RefusingStripe, refuses: Any
) -> None:
    refusing.refuses = refuses
    promises = await world.orders(ORDERS)
    await delivered_again_and_again(world, promises)
    assert await statuses(world, promises) <= {"pending", "processing"}
    status, word, reasons = await ready(world)
    assert (status, word) == (200, "degraded")
    assert "400 parameter_unknown" in reasons
    for promise in promises:
        assert (await why(world, promise)).startswith("breaker open: ")
        assert "400 parameter_unknown" in await why(world, promise)
    refusing.refuses = None
    await world.work()
    await world.assert_charged_once(*promises)
    assert await ready(world) == (200, "ok", "")


async def test_while_it_refuses_hardly_anything_is_sent(world: World, refusing: RefusingStripe) -> None:
    refusing.refuses = sends
    promises, worker = await world.orders(ORDERS), await world.worker(breaker_s=300)
    for _ in range(30):
        await world.deliver(*promises, worker=worker)
    assert refusing.posts == ORDERS, "the calls of the first message were under way, and no other follows"


async def test_the_timeline_of_a_refused_order_says_whose_fault_it_is(world: World, refusing: RefusingStripe) -> None:
    refusing.refuses = sends
    promise = await world.order()
    await world.deliver(promise)
    events = await timeline(world.engine, promise.account_id, promise.order_id)
    (answered,) = [event for event in events if event["event"] == "charge.answered"]
    assert answered["refused"] == "400 parameter_unknown (payment_method_types)"
    assert answered["fault"] == "our request"
    charge = await world.charge(promise)
    assert (charge["status"], charge["maybe_executed"], charge["first_sent_at"]) == ("sending", False, None)


async def test_a_refusal_of_a_resend_proves_nothing_and_counts_for_nothing(
    world: World, refusing: RefusingStripe
) -> None:
    promise, other = await world.order(), await world.order()
    world.stripe.faults({"fault": "executed_reply_lost", "method": "POST", "times": 1})
    await world.deliver(promise)
    refusing.refuses = sends
    await world.deliver(promise)
    charge = await world.charge(promise)
    assert (charge["status"], charge["maybe_executed"], charge["next_call"]) == ("unknown", True, "lookup")
    refusing.refuses = None
    await world.deliver(other)
    assert await world.status(other) == "paid", "the breaker is closed"
    await world.work()
    await world.assert_charged_once(promise, other)


async def test_an_orders_own_fault_fails_it_and_nobody_else(world: World, refusing: RefusingStripe) -> None:
    bad, good = await world.order(customer="cus_bad"), await world.order()
    refusing.error = {
        "type": "invalid_request_error", "code": "resource_missing", "param": "customer", "message": "No such customer",
    }  # fmt: skip
    refusing.refuses = lambda _, form: parse_qs(form).get("customer") == ["cus_bad"]
    await world.deliver(bad, good)
    assert await world.status(bad) == "failed"
    assert (await world.charge(bad))["failure"]["code"] == "resource_missing"
    await world.assert_charged_once(good)


async def test_an_order_refused_alone_for_no_known_reason_waits_and_then_a_human_is_asked(
    world: World, refusing: RefusingStripe
) -> None:
    odd = await world.order(customer="cus_odd")
    refusing.error = {"type": "invalid_request_error", "code": "of_tomorrow", "message": "?"}
    refusing.refuses = lambda _, form: parse_qs(form).get("customer") == ["cus_odd"]
    for _ in range(world.settings.breaker_after + 1):
        others = await world.orders(2)
        await world.deliver(odd, *others)
        await world.assert_charged_once(*others)
    assert await world.status(odd) == "processing"
    assert (await world.open_row(odd))["parked_at"] is None
    assert await ready(world) == (200, "ok", ""), "one order stops nobody"
    # 20 hours later, on our side alone: nothing of it was ever at Stripe.
    await world.run(
        "UPDATE charges SET history = jsonb_set(history, '{0,at}', to_jsonb(now() - interval '20 hours'))"
        " WHERE order_id = :id", id=odd.order_id,
    )  # fmt: skip
    await world.deliver(odd)
    row = await world.open_row(odd)
    assert row["parked_at"] is not None
    assert row["last_error"].startswith("refused: 400 of_tomorrow")
    assert await world.status(odd) == "processing", "parked, not failed"


# --- requests of older versions


def test_only_what_is_proven_not_to_have_run_is_built_anew() -> None:
    stored, built = Request({"a": 1}, OLD_VERSION), Request({"b": 2}, STRIPE_VERSION)
    assert request_to_send(stored, lambda: built, maybe_executed=True) == stored
    assert request_to_send(stored, lambda: built, maybe_executed=False) == built


async def test_after_a_deploy_that_mends_the_request_refused_orders_are_sent_in_the_new_form(
    world: World, refusing: RefusingStripe
) -> None:
    """The stored request is one of an older version of ours, which Stripe refuses for a parameter it dropped."""
    refusing.refuses = lambda method, form: method == "POST" and "payment_method_types" in form
    promises = await world.orders(3)
    for promise in promises:  # as a worker of the older version has left them
        await world.open(promise)
    await world.run(
        "UPDATE charges SET maybe_executed = false, first_sent_at = NULL, last_sent_at = NULL, token = NULL,"
        " lease_until = NULL, stripe_version = :old, request ="
        " ((request::jsonb - 'automatic_payment_methods') || '{\"payment_method_types\": [\"card\"]}')::json",
        old=OLD_VERSION,
    )
    await world.deliver(*promises)
    assert refusing.refused == 0
    await world.assert_charged_once(*promises)
    for promise in promises:
        charge = await world.charge(promise)
        assert "payment_method_types" not in charge["request"]
        assert charge["stripe_version"] == STRIPE_VERSION


async def test_what_may_have_run_is_sent_again_as_it_was(world: World) -> None:
    promise = await world.order()
    world.stripe.faults({"fault": "executed_reply_lost", "method": "POST", "times": 1})
    await world.deliver(promise)
    before = await world.charge(promise)
    await world.run("UPDATE orders SET description = 'two mugs' WHERE id = :id", id=promise.order_id)
    await world.work()
    after = await world.charge(promise)
    assert (after["request"], after["stripe_version"]) == (before["request"], before["stripe_version"])
    await world.assert_charged_once(promise)


async def test_a_form_that_only_some_orders_have_does_not_hold_up_the_others(
    world: World, refusing: RefusingStripe
) -> None:
    """Say a description, were Stripe to drop it: whoever has none is paid."""
    refusing.refuses = lambda method, form: method == "POST" and "description" in parse_qs(form)
    some, others = await world.order(description="a mug"), await world.orders(5)
    await world.deliver(some)
    await world.work(done=lambda: _all_paid(world, others))
    more = await world.orders(5)
    await world.deliver(some, *more)
    await world.assert_charged_once(*others, *more)
    assert await world.status(some) == "processing"
    assert (await world.open_row(some))["last_error"].startswith("400 parameter_unknown")
    refusing.refuses = None
    await world.work()
    await world.assert_charged_once(some)


async def _all_paid(world: World, promises: list[Promise]) -> bool:
    return await statuses(world, promises) == {"paid"}
