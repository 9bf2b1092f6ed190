"""A pending order is called canceled only where no worker of an earlier life can still charge it (R31)."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service import orders
from service.foundation.settings import Settings
from service.recovery import current
from tests.charges.world import Books, World
from tests.recovery.forgetting import asked, begin_another_life, charges_of, forgotten, fresh_key, no_lives_yet
from tests.web.afterwards import ask, one, owed
from tests.web.conftest import Api, api, assert_problem, count, serve

__all__ = ["api"]

pytestmark = pytest.mark.slow

LISTED = "UPDATE lives SET verified_until = now() + interval '1 hour' WHERE identity = database_identity()"
CLOSED = "UPDATE lives SET verified_until = 'infinity' WHERE identity = database_identity()"
OLDER = "UPDATE lives SET seen_at = seen_at - interval '1 hour' WHERE identity = database_identity()"


async def refused(api: Api, engine: AsyncEngine, order_id: str) -> None:
    """The cancellation is not confirmed, and nothing of it is remembered."""
    answer = await ask(api, order_id, "cancel", "c1")
    said = assert_problem(answer, 503, "not-confirmed")
    assert "The order is not canceled" in said["detail"]
    assert int(answer.headers["retry-after"]) > 0
    assert await one(engine, "SELECT status FROM orders") == "pending"
    assert await count(engine, "operations") == 0
    assert await owed(engine) == [("charge", {"attempt": 1})]


async def canceled(api: Api, engine: AsyncEngine, order_id: str) -> None:
    answer = await ask(api, order_id, "cancel", "c1")
    assert (answer.status_code, answer.json()["status"]) == (200, "canceled")
    assert "idempotent-replayed" not in answer.headers
    assert await owed(engine) == []


async def test_an_order_of_an_earlier_life_is_canceled_once_this_life_is_closed(
    api: Api, engine: AsyncEngine, books: Books
) -> None:
    order_id = str((await api.order("k1")).json()["id"])
    await begin_another_life(books)
    await refused(api, engine, order_id)  # nobody has seen this life
    await current(engine, books.settings)
    await refused(api, engine, order_id)  # nobody has asked Stripe
    await books.run(LISTED)
    await refused(api, engine, order_id)  # a worker of the life before may still be sending
    await books.run(CLOSED)
    await canceled(api, engine, order_id)


async def test_an_order_of_the_first_life_is_canceled_once_stripe_was_asked(
    api: Api, engine: AsyncEngine, books: Books
) -> None:
    await no_lives_yet(books)
    await current(engine, books.settings)
    order_id = str((await api.order("k1")).json()["id"])
    await refused(api, engine, order_id)  # a restored backup may be from before the first life was noted
    await books.run(LISTED)
    await canceled(api, engine, order_id)


async def test_an_order_that_is_older_than_the_first_known_life_waits_until_it_is_closed(
    api: Api, engine: AsyncEngine, books: Books
) -> None:
    order_id = str((await api.order("k1")).json()["id"])
    await no_lives_yet(books)
    await current(engine, books.settings)
    await books.run(LISTED)
    await refused(api, engine, order_id)
    await books.run(CLOSED)
    await canceled(api, engine, order_id)


async def test_a_repeat_is_not_canceled_while_a_worker_of_the_forgotten_order_may_charge_it(world: World) -> None:
    """The repeat was made in this life, after Stripe was asked, and the charge of the first came only then."""
    lost = await forgotten(world, fresh_key())
    assert await asked(world) is None
    repeat = (await lost.repeated(world)).order
    async with serve(world.settings) as there:
        await refused(there, world.engine, repeat.id)
        await lost.sent(world)  # by a worker that outlived its database
        await world.run(OLDER)
        await world.run("UPDATE lives SET verified_until = now() WHERE identity = database_identity()")
        assert await asked(world) is None
        assert_problem(await ask(there, repeat.id, "cancel", "c1"), 409, "conflict")
    assert charges_of(world, lost.marks.order_id) == 1
    assert (await orders.get(world.engine, lost.marks.account_id, lost.marks.order_id)).status == "paid"


async def test_a_repeat_whose_first_order_was_never_charged_is_canceled_in_the_end(
    world: World, settings: Settings
) -> None:
    lost = await forgotten(world, fresh_key())
    repeat = (await lost.repeated(world)).order
    await current(world.engine, settings)
    await world.run(OLDER)
    assert await asked(world) is None
    async with serve(world.settings) as there:
        await canceled(there, world.engine, repeat.id)
