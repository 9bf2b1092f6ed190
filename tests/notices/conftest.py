"""Notices on the real PostgreSQL, with receivers in the test's own event loop."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.db import bare_engine
from service.foundation.settings import Settings
from tests.charges.world import Books
from tests.notices.listening import Producer, Receiver, listening


@pytest.fixture
def books(engine: AsyncEngine, settings: Settings) -> Books:
    return Books(engine, settings)


@pytest.fixture
async def producer(books: Books, settings: Settings) -> AsyncIterator[Producer]:
    owner = bare_engine(settings.database_url)
    yield Producer(books, owner)
    await owner.dispose()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with listening() as receiver:
        yield receiver
