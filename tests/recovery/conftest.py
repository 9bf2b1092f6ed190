"""A database that forgot, and a Stripe that did not: one for all, or one of the test's own that may grow older."""

import pytest

from tests.charges.conftest import a_day_passes, books, own_stripe, own_world, shared_stripe, stripe
from tests.charges.conftest import world as remembering
from tests.charges.world import World
from tests.recovery.forgetting import forgets_an_hour

__all__ = ["a_day_passes", "books", "own_stripe", "own_world", "remembering", "shared_stripe", "stripe"]


@pytest.fixture
async def world(remembering: World) -> World:
    """The database has begun another life, and remembers an hour less than Stripe."""
    return await forgets_an_hour(remembering)


@pytest.fixture
async def aging(own_world: World) -> World:
    """The same, with a Stripe that may grow older."""
    return await forgets_an_hour(own_world)
