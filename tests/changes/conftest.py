"""The same two sides as the tests of charges have."""

from tests.charges.conftest import a_day_passes, books, own_stripe, own_world, shared_stripe, stripe, world

__all__ = ["a_day_passes", "books", "own_stripe", "own_world", "shared_stripe", "stripe", "world"]
