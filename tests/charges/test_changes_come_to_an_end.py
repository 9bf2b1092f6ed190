"""A capture or cancellation comes to its end, also where a worker came late to it, was overtaken, or met a used key."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from service.changes import CHANGE, OpenChange
from service.effects.answers import judge_send
from service.effects.model import Outcome, Settlement
from service.effects.opening import open_effects
from service.effects.settling import settle
from service.stripe_gateway.client import StripeGateway
from tests.charges.answers import change, ok
from tests.charges.world import Promise, World
from workers.effects import KINDS

CUSTOMER = "pm_card_authenticationRequired"


async def cancel_wanted(world: World, promise: Promise, hours: float) -> UUID:
    """The producer's wish of so many hours ago to cancel a payment that waits for its customer."""
    change = uuid4()
    await world.run(
        """INSERT INTO changes (id, account_id, order_id, charge_id, kind, wanted_by, nth, request, stripe_version,
                                created_at)
           SELECT :id, account_id, order_id, id, 'cancel', 'producer', 1, '{}', '', now() - make_interval(hours => :h)
             FROM charges WHERE order_id = :order""",
        id=change,
        order=promise.order_id,
        h=hours,
    )
    await world.run(
        """INSERT INTO outbox (id, account_id, order_id, kind, payload)
           VALUES (gen_random_uuid(), :account, :order, 'cancel', jsonb_build_object('effect', CAST(:id AS uuid)))""",
        id=change,
        account=promise.account_id,
        order=promise.order_id,
    )
    return change


async def waiting_for_its_customer(world: World) -> Promise:
    """An order whose 3-D Secure is not finished."""
    promise = await world.order(payment_method=CUSTOMER)
    await world.deliver(promise)
    assert await world.status(promise) == "requires_action"
    return promise


async def opened(world: World, change: UUID) -> OpenChange:
    """The change, opened by a worker; the one before fell silent."""
    await world.run("UPDATE changes SET lease_until = now() - interval '1 second' WHERE id = :id", id=change)
    row = await world.one("SELECT id FROM outbox WHERE payload ->> 'effect' = CAST(:id AS text)", id=str(change))
    (effect,) = (await open_effects(world.engine, [row["id"]], world.settings, KINDS)).effects
    assert isinstance(effect, OpenChange)
    return effect


@pytest.mark.parametrize("hours", [0, 5, 21, 30])
async def test_a_cancellation_that_waited_for_its_worker_is_carried_out(world: World, hours: int) -> None:
    promise = await waiting_for_its_customer(world)
    change = await cancel_wanted(world, promise, hours)
    await world.work(done=lambda: _is_canceled(world, promise))
    row = await world.one("SELECT status, nth FROM changes WHERE id = :id", id=change)
    assert (row["status"], row["nth"]) == ("done", 1)


async def test_a_proof_by_a_worker_that_was_overtaken_leaves_the_change_its_promise(world: World) -> None:
    promise = await waiting_for_its_customer(world)
    change = await cancel_wanted(world, promise, hours=0)
    overtaken = await opened(world, change)
    await opened(world, change)
    async with StripeGateway(world.settings) as gateway:
        answer = await CHANGE.send(gateway, overtaken)
    proof = Settlement(overtaken, judge_send(CHANGE, overtaken, answer), answer)
    assert not await settle(world.engine, CHANGE, [proof], world.settings)
    assert await world.status(promise) == "canceled", "Stripe's proof counts whoever brings it (R21)"
    await world.run("UPDATE changes SET lease_until = now() - interval '1 second' WHERE id = :id", id=change)
    await world.all_due()
    await world.work()
    assert (await world.one("SELECT status FROM changes WHERE id = :id", id=change))["status"] == "done"


async def test_after_a_used_key_a_change_is_sent_under_the_next(world: World) -> None:
    promise = await waiting_for_its_customer(world)
    change = await cancel_wanted(world, promise, hours=0)
    conflict = Outcome(status="sending", next_call="retrieve", unclear_answers=1, key_conflict=True, retry_s=0.0)
    assert await settle(world.engine, CHANGE, [Settlement(await opened(world, change), conflict)], world.settings)
    await world.work(done=lambda: _is_canceled(world, promise))
    row = await world.one("SELECT status, nth FROM changes WHERE id = :id", id=change)
    assert (row["status"], row["nth"]) == ("done", 2)


async def _is_canceled(world: World, promise: Promise) -> bool:
    return await world.status(promise) == "canceled"


def test_the_replay_of_a_capture_that_tells_no_moment_leads_to_its_payment() -> None:
    """The money may have been taken hours before, while the books name the moment at which it was."""
    capture = change("capture", first_send=False)
    assert judge_send(CHANGE, capture, ok()).status == "done"
    outcome = judge_send(CHANGE, capture, replace(ok(), replayed=True))
    assert (outcome.status, outcome.next_call, outcome.next_try, outcome.retry_s) == ("sending", "retrieve", False, 0.0)
