"""An order may have outbox rows of other kinds: what comes back takes none of them for its charge's."""

from typing import Any
from uuid import UUID

import pytest

from tests.charges.world import World
from tests.recovery.forgetting import asked, begin_another_life, forgotten, fresh_key

pytestmark = pytest.mark.slow

_PROMISE = """
INSERT INTO outbox (id, account_id, order_id, kind, payload)
SELECT gen_random_uuid(), account_id, id, 'cancel', jsonb_build_object('effect', gen_random_uuid())
  FROM orders WHERE id = :id
"""


async def other(world: World, order_id: UUID) -> dict[str, Any]:
    return await world.one("SELECT * FROM outbox WHERE order_id = :id AND kind = 'cancel'", id=order_id)


async def test_a_payment_that_comes_back_is_settled_by_its_own_promise(world: World) -> None:
    promise = await world.order()
    await world.run(_PROMISE, id=promise.order_id)
    before = await other(world, promise.order_id)
    await (await forgotten(world, promise.key, order_id=promise.order_id)).sent(world)
    await begin_another_life(world)
    assert await asked(world) is None
    await world.assert_charged_once(promise)
    assert await other(world, promise.order_id) == before


async def test_a_payment_whose_promise_is_gone_is_promised_anew(world: World) -> None:
    promise = await world.order()
    await world.run(_PROMISE, id=promise.order_id)
    await world.run("DELETE FROM outbox WHERE id = :id", id=promise.outbox_id)
    before = await other(world, promise.order_id)
    await (await forgotten(world, promise.key, order_id=promise.order_id)).sent(world)
    await begin_another_life(world)
    assert await asked(world) is None
    await world.assert_charged_once(promise)
    assert await other(world, promise.order_id) == before


async def test_a_key_that_stripe_has_for_another_request_parks_the_charge_alone(world: World) -> None:
    lost = await forgotten(world, fresh_key())
    await lost.sent(world)
    repeat = UUID((await lost.repeated(world, amount=2500)).order.id)
    await world.run(_PROMISE, id=repeat)
    assert await asked(world) is None
    charge = await world.one("SELECT * FROM outbox WHERE order_id = :id AND kind = 'charge'", id=repeat)
    assert charge["parked_at"] is not None
    assert (await other(world, repeat))["parked_at"] is None
    assert [
        row["attempt"] for row in await world.all("SELECT attempt FROM charges WHERE order_id = :id", id=repeat)
    ] == [1]
