"""A capture or cancellation that was asked for long before a worker came to it (R17, R37).

With no send on record its key is taken to be as old as the wish; the payment's present state tells that nothing ran.
"""

from uuid import UUID, uuid4

import pytest

from tests.charges.world import Promise, World

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


@pytest.mark.parametrize("hours", [0, 5, 21, 30])
async def test_a_cancellation_that_waited_for_its_worker_is_carried_out(world: World, hours: int) -> None:
    promise = await world.order(payment_method=CUSTOMER)
    await world.deliver(promise)
    assert await world.status(promise) == "requires_action"
    change = await cancel_wanted(world, promise, hours)
    await world.work(done=lambda: _is_canceled(world, promise))
    row = await world.one("SELECT status, nth FROM changes WHERE id = :id", id=change)
    assert (row["status"], row["nth"]) == ("done", 1)


async def _is_canceled(world: World, promise: Promise) -> bool:
    return await world.status(promise) == "canceled"
