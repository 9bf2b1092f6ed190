"""An installation with orders is migrated while orders go on: nobody waits for what reads all of them."""

import asyncio

import asyncpg
import pytest

from service.foundation.postgres import migrate
from service.foundation.postgres.migrate import upgrade

pytestmark = pytest.mark.slow

INDEX = "orders_by_status"
_INSERT = """
INSERT INTO orders (id, account_id, idempotency_key, fingerprint, amount_minor, currency, payment_method)
VALUES (gen_random_uuid(), gen_random_uuid(), 'k', '\\x01', 1999, 'usd', 'pm_card_visa')
"""
_CHARGE = """
WITH placed AS (
  INSERT INTO orders (id, account_id, idempotency_key, fingerprint, amount_minor, currency, payment_method)
  VALUES (gen_random_uuid(), gen_random_uuid(), 'k', '\\x01', 1999, 'usd', 'pm_card_visa') RETURNING *)
INSERT INTO charges (id, account_id, order_id, attempt, idempotency_key, amount_minor, currency, status, request,
                     stripe_version, maybe_executed, life)
SELECT gen_random_uuid(), account_id, id, 1, 'k', amount_minor, currency, 'processing', '{}', '', true, 1 FROM placed
"""
_WAITS = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX%' AND wait_event_type = 'Lock'"
_BREAK_OFF = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX%' AND state = 'active'"
_VALID = f"SELECT indisvalid FROM pg_index WHERE indexrelid = '{INDEX}'::regclass"


@pytest.fixture
def before(database: str) -> str:
    """A database as it was before the index."""
    migrate.downgrade(database, migrate._revisions()["0007"])
    return database


async def test_orders_are_placed_while_the_index_is_built(before: str) -> None:
    placing, other = await asyncpg.connect(before), await asyncpg.connect(before)
    await other.execute("SET lock_timeout = '2s'")  # one that had to wait would fail
    transaction = placing.transaction()
    await transaction.start()
    await placing.execute(_INSERT)
    migrating = asyncio.create_task(asyncio.to_thread(upgrade, before))
    try:
        while not await other.fetchval(_WAITS):
            assert not migrating.done(), "the index has not waited for the order that was under way"
            await asyncio.sleep(0.05)
        await other.execute(_INSERT)
    finally:
        await transaction.commit()
        await migrating
    assert await other.fetchval(_VALID)
    await placing.close()
    await other.close()


async def test_a_build_that_was_broken_off_is_repeated(before: str) -> None:
    connection = await asyncpg.connect(before)
    await connection.execute(f"CREATE INDEX {INDEX} ON orders (account_id, status, id)")
    await connection.execute(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{INDEX}'::regclass")
    await asyncio.to_thread(upgrade, before)
    assert await connection.fetchval(_VALID)
    await connection.close()


@pytest.fixture
def before_movements(database: str) -> str:
    """A database as it was before charges are found by the index of their movements."""
    migrate.downgrade(database, "0012")
    return database


async def test_charges_are_made_while_the_index_of_movements_is_built(before_movements: str) -> None:
    """And its build, broken off under way, is repeated."""
    charging, other = await asyncpg.connect(before_movements), await asyncpg.connect(before_movements)
    await other.execute("SET lock_timeout = '2s'")
    transaction = charging.transaction()
    await transaction.start()
    await charging.execute(_CHARGE)
    broken = asyncio.create_task(asyncio.to_thread(upgrade, before_movements))
    try:
        while not await other.fetchval(_WAITS):
            assert not broken.done(), "the index has not waited for the charge that was under way"
            await asyncio.sleep(0.05)
        await other.execute(_CHARGE)
        assert await other.fetchval(_BREAK_OFF)
        with pytest.raises(Exception, match="cancel"):
            await broken
    finally:
        await transaction.commit()
    await asyncio.to_thread(upgrade, before_movements)
    assert await other.fetchval("SELECT bool_and(indisvalid) FROM pg_index")
    await charging.close()
    await other.close()


@pytest.fixture
def before_old_rows_are_read(database: str) -> str:
    """A database whose tables are changed, and whose old rows are not."""
    migrate.downgrade(database, "0009")
    return database


async def test_old_rows_are_read_while_an_order_is_placed(before_old_rows_are_read: str) -> None:
    placing = await asyncpg.connect(before_old_rows_are_read)
    transaction = placing.transaction()
    await transaction.start()
    await placing.execute(_INSERT)
    async with asyncio.timeout(10):
        await asyncio.to_thread(upgrade, before_old_rows_are_read, "0010")
    await transaction.commit()
    assert await placing.fetchval("SELECT bool_and(convalidated) FROM pg_constraint")
    await placing.close()
