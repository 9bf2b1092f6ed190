"""The shared fixtures keep their promises: every test finds a migrated, empty database that is its own."""

import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres import roles
from service.foundation.postgres.migrate import check
from service.foundation.settings import Settings


@pytest.mark.parametrize("turn", [1, 2])
async def test_each_test_has_a_database_of_its_own(engine: AsyncEngine, turn: int) -> None:
    async with engine.begin() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM accounts"))).scalar() == 1
        await connection.execute(text(f"INSERT INTO accounts (id, name) VALUES (gen_random_uuid(), 'turn {turn}')"))


async def test_the_engine_finds_the_newest_schema_and_acts_as_the_role_without_power(engine: AsyncEngine) -> None:
    await check(engine)
    async with engine.connect() as connection:
        assert (await connection.execute(text(f"SELECT current_user = {roles.NAME}"))).scalar()


@pytest.mark.parametrize("turn", [1, 2])
async def test_each_test_has_an_empty_redis(settings: Settings, turn: int) -> None:
    async with Redis.from_url(settings.redis_url) as redis:
        assert await redis.dbsize() == 0
        await redis.set("turn", turn)
