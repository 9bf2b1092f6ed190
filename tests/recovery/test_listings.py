"""A listing proves itself, and once more is the same (R31, R35)."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo
from itertools import count
from typing import Any, Self
from uuid import UUID

import pytest

from service.recovery import current, verification
from service.stripe_gateway.client import StripeGateway
from service.stripe_gateway.objects import IncompleteListing
from tests.charges.world import World
from tests.recovery.forgetting import (
    LIST,
    asked,
    begin_another_life,
    forgotten,
    found,
    fresh_key,
    promise_of,
    shown,
)

pytestmark = pytest.mark.slow


def unreadable(*calls: int) -> Callable[..., Awaitable[Any]]:
    """A gateway's way to read a page, which fails at these calls of it."""
    page, numbers = StripeGateway._page, count(1)

    async def sometimes(gateway: StripeGateway, path: str, params: Mapping[str, object]) -> Any:
        if next(numbers) in calls:
            raise IncompleteListing("a page could not be read")
        return await page(gateway, path, params)

    return sometimes


class SlowClock(datetime):
    """A host's clock that is half an hour behind the database's and Stripe's."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) - timedelta(minutes=30)


# --- a listing proves itself


async def test_a_listing_that_breaks_off_verifies_nothing_and_nothing_is_sent(world: World) -> None:
    lost = await forgotten(world, fresh_key())
    await lost.sent(world)
    repeat = (await lost.repeated(world)).order
    world.stripe.faults({"fault": "unauthorized_401", **LIST, "times": 1})
    assert "could not be asked" in str(await asked(world))
    assert (await world.one("SELECT status FROM orders WHERE id = :id", id=UUID(repeat.id)))["status"] == "pending"
    assert await asked(world) is None


async def test_a_listing_that_hides_what_is_known_verifies_nothing(remembering: World) -> None:
    world, promise = remembering, await remembering.order()
    await world.work()
    await begin_another_life(world)
    with hidden(await world.charge(promise)):
        assert "did not show" in str(await asked(world))
    assert await asked(world) is None


async def test_a_known_payment_that_stripe_has_deleted_stops_nothing(remembering: World) -> None:
    world, promise = remembering, await remembering.order()
    await world.work()
    await world.run("UPDATE charges SET payment_intent_id = 'pi_deleted' WHERE order_id = :id", id=promise.order_id)
    await begin_another_life(world)
    assert await asked(world) is None


async def test_a_payment_made_after_the_bound_minus_its_margin_is_on_the_listing(own_world: World) -> None:
    world = own_world
    await world.run("UPDATE lives SET heartbeat_at = now()")
    lost = await forgotten(world, fresh_key())
    await lost.sent(world)
    world.stripe.control("POST", "age", {"seconds": 300})
    await begin_another_life(world)
    assert await asked(world) is None
    assert (await found(world))["adopted"] == 1
    bound = (await current(world.engine, world.settings)).bound
    assert (await shown(world, lost))["created_at"] - bound > timedelta(0)


async def test_what_a_listing_that_broke_off_has_brought_back_is_counted_and_told_by_the_next(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = [await forgotten(world, fresh_key()) for _ in range(101)]
    for one in lost:
        await one.sent(world)
    with monkeypatch.context() as broken:
        broken.setattr(StripeGateway, "_page", unreadable(2, 3))
        assert "could not be asked" in str(await asked(world))
    assert await asked(world) is None
    assert (await found(world))["adopted"] == 101
    (told,) = [record for record in caplog.records if record.message == "recovery.loss_found"]
    assert told.__dict__["fields"]["adopted"] == 101
    assert told.__dict__["fields"]["minor_units"] == [f"{101 * 1999} usd"]


async def test_a_listing_goes_on_where_a_page_could_not_be_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = [await forgotten(world, fresh_key()) for _ in range(101)]
    for one in lost:
        await one.sent(world)
    monkeypatch.setattr(StripeGateway, "_page", unreadable(2))
    assert await asked(world) is None
    assert (await found(world))["adopted"] == 101


async def test_a_host_whose_clock_is_behind_hides_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = await forgotten(world, fresh_key())
    await lost.sent(world)
    monkeypatch.setattr(verification, "datetime", SlowClock, raising=False)
    assert await asked(world) is None
    await world.assert_charged_once(promise_of(lost))


# --- once more is the same


async def test_asking_twice_brings_nothing_back_twice(world: World) -> None:
    lost = await forgotten(world, fresh_key())
    await lost.sent(world)
    for _ in range(2):
        assert await asked(world) is None
        await world.run(
            "UPDATE lives SET seen_at = seen_at - margin, verified_until = now() WHERE identity = database_identity()"
        )
    assert (await found(world))["adopted"] == 1
    await world.assert_charged_once(promise_of(lost))


async def test_what_a_zombie_has_sent_after_the_first_listing_comes_back_by_the_second(world: World) -> None:
    assert await asked(world) is None
    lost = await forgotten(world, fresh_key())
    await lost.sent(world)
    await world.run("UPDATE lives SET seen_at = seen_at - margin")
    assert await asked(world) is None
    life = await current(world.engine, world.settings)
    assert (life.closed, (life.found or {})["adopted"]) == (True, 1)
    await world.assert_charged_once(promise_of(lost))


@contextmanager
def hidden(charge: dict[str, Any]) -> Iterator[None]:
    """A Stripe whose lists leave this charge's PaymentIntent out."""
    listing = StripeGateway.list_payment_intents

    def without(self: StripeGateway, *window: Any) -> Any:
        async def others() -> Any:
            async for intent in listing(self, *window):
                if intent.id != charge["payment_intent_id"]:
                    yield intent

        return others()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StripeGateway, "list_payment_intents", without)
        yield
