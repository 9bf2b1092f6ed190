"""What an order costs PostgreSQL does not depend on how few there were when a connection met its first."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service import outbox
from service.charges import CHARGE
from service.effects.model import Settlement
from service.effects.settling import settle
from service.foundation.postgres.db import BY_KEY, create_engine
from service.foundation.postgres.sql import Statement, connect
from service.foundation.settings import Settings
from tests.charges.answers import paid
from tests.charges.world import Books

pytestmark = pytest.mark.slow

UNTIL_PLANS_STAY, MANY, BATCH = 7, 8, 250
# Those of its own, found a few times over, and what the batch before has left in the outbox. A scan reads thousands.
ROWS_AN_ORDER, ROWS_DEAD = 50, 600
_FLUSH = Statement("SELECT pg_stat_force_next_flush()")
_READ = Statement("""
SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables) + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes) AS n
""")


@pytest.fixture
async def worker(settings: Settings) -> AsyncIterator[AsyncEngine]:
    """One connection, as workers and relays have them."""
    engine = create_engine(settings, name="plans", pool=1, session=BY_KEY)
    yield engine
    await engine.dispose()


async def _charge(books: Books, n: int) -> None:
    """Store `n` orders; claim them, open them twice, settle them."""
    promises = await books.orders(n)
    claim = await outbox.claim(books.engine, books.settings, republish_max=0)
    assert sorted(claim.ids) == sorted(p.outbox_id for p in promises)
    opened = await books.open(*promises)
    assert not await books.open(*promises)
    assert len(await settle(books.engine, CHARGE, [Settlement(c, paid(c)) for c in opened], books.settings)) == n


async def _rows_read(engine: AsyncEngine) -> int:
    async with connect(engine) as connection:
        await connection.rows(_FLUSH, {})
        return int((await connection.column(_READ, {}))[0])


@pytest.mark.parametrize("size", [1, 64])
async def test_a_plan_made_while_the_tables_were_small_reads_few_rows_when_they_are_large(
    worker: AsyncEngine, settings: Settings, size: int
) -> None:
    books = Books(worker, settings)
    for _ in range(UNTIL_PLANS_STAY):
        await _charge(books, size)
    for _ in range(MANY):
        await _charge(books, BATCH)
    before = await _rows_read(worker)
    await _charge(books, size)
    assert await _rows_read(worker) - before < size * ROWS_AN_ORDER + ROWS_DEAD
