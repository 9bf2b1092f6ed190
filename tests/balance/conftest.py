"""Each test has a moment of its own: what is young is young by the database's clock."""

import pytest

from tests.balance import support


@pytest.fixture(autouse=True)
def its_moment() -> None:
    """The moment at which the test began."""
    support.begin()
