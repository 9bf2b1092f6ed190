"""Which life the database is in, from when on it may have forgotten, and when sending is allowed (R31)."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from service.effects.opening import open_effects
from service.foundation.postgres.migrate import downgrade, upgrade
from service.recovery import lives
from service.recovery.lives import Life, margin
from tests.charges.world import Books
from tests.recovery.forgetting import begin_another_life, no_lives_yet
from workers.effects import KINDS

pytestmark = pytest.mark.slow

FOUND = {"adopted": 0}


async def here(books: Books) -> Life:
    return await lives.current(books.engine, books.settings)


async def listed(books: Books, life: Life) -> Life:
    """A complete listing for `life`, begun now."""
    verifier = uuid4()
    began = await lives.take(books.engine, books.settings, life, verifier)
    assert began is not None
    assert await lives.verified(books.engine, life, verifier, began=began, found=FOUND)
    return await here(books)


async def margin_passes(books: Books) -> None:
    await books.run("UPDATE lives SET seen_at = seen_at - margin WHERE identity = database_identity()")


async def test_nothing_is_opened_under_a_life_that_is_not_verified(books: Books) -> None:
    promise = await books.order()
    await begin_another_life(books)
    opened = await open_effects(books.engine, [promise.outbox_id], books.settings, KINDS)
    assert (opened.is_verified, opened.effects) == (False, [])
    assert await books.status(promise) == "pending"
    assert (await books.open_row(promise))["deliveries"] == 0
    await listed(books, await here(books))
    assert len(await books.open(promise)) == 1


async def test_a_charge_of_before_is_not_taken_over_under_a_life_that_is_not_verified(books: Books) -> None:
    promise = await books.order()
    before = await books.open_one(promise)
    await books.leases_end()
    await begin_another_life(books)
    assert not (await open_effects(books.engine, [promise.outbox_id], books.settings, KINDS)).is_verified
    assert (await books.charge(promise))["token"] == before.token


async def test_a_first_listing_is_good_for_an_hour_and_a_second_one_for_ever(books: Books) -> None:
    await begin_another_life(books)
    life = await listed(books, await here(books))
    assert (life.verified, life.closed, life.due) == (True, False, False)
    await margin_passes(books)
    assert (await here(books)).due, "the second listing, once no worker of the life before can be sending"
    await books.run(
        "UPDATE lives SET verified_until = verified_until - interval '1 hour' WHERE verified_until < 'infinity'"
    )
    assert not (await here(books)).verified
    life = await listed(books, await here(books))
    assert (life.verified, life.closed, life.due) == (True, True, False)


async def test_the_first_life_is_bound_by_the_installations_birth(books: Books) -> None:
    await no_lives_yet(books)
    born = (await books.one("SELECT created_at FROM instance"))["created_at"]
    assert (await here(books)).bound == born - margin(books.settings)


async def test_the_first_life_after_an_upgrade_is_bound_by_the_newest_charge(books: Books) -> None:
    promise = await books.order()
    await books.open_one(promise)
    await no_lives_yet(books)
    assert (await here(books)).bound == (await books.charge(promise))["created_at"] - margin(books.settings)


async def test_a_backup_of_the_version_before_has_the_same_name_at_stripe_as_what_was_lost(books: Books) -> None:
    async def migrated_again() -> UUID:
        await books.engine.dispose()
        await asyncio.to_thread(downgrade, books.settings.database_url, "0003")
        await asyncio.to_thread(upgrade, books.settings.database_url)
        name: UUID = (await books.one("SELECT uuid FROM instance"))["uuid"]
        return name

    await books.run("UPDATE orders SET payment_method = NULL WHERE id = :id", id=(await books.order()).order_id)
    assert await migrated_again() == await migrated_again()


async def test_a_later_life_is_bound_by_the_last_heartbeat(books: Books) -> None:
    beat_at = datetime(2026, 11, 20, tzinfo=UTC)
    await books.run("UPDATE lives SET heartbeat_at = :at", at=beat_at)
    await begin_another_life(books)
    assert (await here(books)).bound == beat_at - margin(books.settings)


async def test_a_life_that_ends_before_it_is_closed_hands_its_bound_on(books: Books) -> None:
    await books.run("UPDATE lives SET heartbeat_at = :at", at=datetime(2026, 11, 20, tzinfo=UTC))
    await begin_another_life(books)
    first = await listed(books, await here(books))
    await books.run("UPDATE lives SET heartbeat_at = now() WHERE identity = database_identity()")
    await begin_another_life(books)
    second = await here(books)
    assert second.bound == first.bound, "what a first listing has seen is not all that the life before can have done"
    await margin_passes(books)
    assert (await listed(books, second)).closed
    await begin_another_life(books)
    assert (await here(books)).bound > first.bound, "a closed life hands nothing on, nor do those before it"


async def test_a_bound_is_frozen_whatever_is_written_afterwards(books: Books) -> None:
    await begin_another_life(books)
    bound = (await here(books)).bound
    await books.run("UPDATE lives SET heartbeat_at = now() + interval '1 day' WHERE identity LIKE 'before%'")
    assert (await here(books)).bound == bound


async def test_the_longest_lease_ever_configured_is_kept(books: Books) -> None:
    longer = replace(books.settings, charge_lease_s=50.0)
    await lives.note_margin(books.engine, longer)
    await lives.note_margin(books.engine, books.settings)
    await begin_another_life(books)
    await here(books)
    (kept,) = await books.all("SELECT margin FROM lives WHERE identity = database_identity()")
    assert kept["margin"] == timedelta(seconds=50 + 20 + 300)


async def test_the_heart_beats_once_a_minute_and_only_in_a_verified_life(books: Books) -> None:
    await books.run("UPDATE lives SET heartbeat_at = now() - interval '59 seconds'")
    early = (await books.one("SELECT heartbeat_at FROM lives"))["heartbeat_at"]
    await lives.beat(books.engine)
    assert (await books.one("SELECT heartbeat_at FROM lives"))["heartbeat_at"] == early
    await books.run("UPDATE lives SET heartbeat_at = now() - interval '61 seconds'")
    await lives.beat(books.engine)
    assert (await books.one("SELECT heartbeat_at > now() - interval '5 seconds' AS beaten FROM lives"))["beaten"]
    await books.run("UPDATE lives SET heartbeat_at = now() - interval '61 seconds', verified_until = '-infinity'")
    await lives.beat(books.engine)
    assert not (await books.one("SELECT heartbeat_at > now() - interval '5 seconds' AS beaten FROM lives"))["beaten"]


async def test_one_lists_at_a_time_and_one_that_fell_silent_is_followed_by_another(books: Books) -> None:
    await begin_another_life(books)
    life, first, second = await here(books), uuid4(), uuid4()
    assert await lives.take(books.engine, books.settings, life, first)
    assert await lives.take(books.engine, books.settings, life, first), "it says between pages that it is still there"
    assert await lives.take(books.engine, books.settings, life, second) is None
    await books.run("UPDATE lives SET verifier_until = now() - interval '1 second' WHERE verifier IS NOT NULL")
    began = await lives.take(books.engine, books.settings, life, second)
    assert began is not None
    assert not await lives.verified(books.engine, life, first, began=began, found=FOUND)
    assert await lives.verified(books.engine, life, second, began=began, found=FOUND)


async def test_a_listing_for_a_life_that_is_over_verifies_nothing(books: Books) -> None:
    await begin_another_life(books)
    life, verifier = await here(books), uuid4()
    began = await lives.take(books.engine, books.settings, life, verifier)
    assert began is not None
    await begin_another_life(books)
    assert not await lives.verified(books.engine, life, verifier, began=began, found=FOUND)
    assert await lives.take(books.engine, books.settings, life, verifier) is None
    assert not (await here(books)).verified
