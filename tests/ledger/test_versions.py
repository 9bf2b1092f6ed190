"""The ledger's statements on the older PostgreSQL versions that are promised to be enough."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service import ledger
from service.foundation.errors import Misconfigured
from service.foundation.postgres.db import create_engine
from service.foundation.postgres.migrate import upgrade
from service.foundation.settings import Settings
from service.ops.embedded import Postgres, postgres_programs
from tests.ledger.support import BOB, NOON, balance_of, book, charged, refused


@pytest.fixture(scope="module", params=[16, 15])
def older_database(request: pytest.FixtureRequest, servers_folder: Path) -> Iterator[str]:
    try:
        postgres_programs(request.param)
    except Misconfigured:
        pytest.skip(f"PostgreSQL {request.param} is not on this machine")
    with Postgres(servers_folder / f"ledger{request.param}", version=request.param) as server:
        url = server.database_url("postgres")
        upgrade(url)
        yield url


@pytest.fixture
async def older(older_database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(Settings(database_url=older_database), name="test")
    yield engine
    await engine.dispose()


@pytest.mark.slow
async def test_books_are_kept_the_same_on_older_versions(older: AsyncEngine) -> None:
    await book(older, charged("a"), charged("b", 500, "jpy", account_id=BOB))
    assert await ledger.rollup(older) == 4
    again = await book(older, charged("a"), charged("b", 501, "jpy", account_id=BOB), charged("c", 1))
    assert [len(part) for part in (again.booked, again.repeated, again.conflicting)] == [1, 1, 1]
    assert await balance_of(older, "revenue:orders") == 1999 + 500 + 1
    assert await balance_of(older, "revenue:orders", as_of=NOON) == 0
    assert await ledger.verify(older) == []


@pytest.mark.slow
async def test_older_versions_refuse_a_change_too(older: AsyncEngine) -> None:
    await book(older, charged("d"))
    async with older.begin() as connection:
        for statement in ("UPDATE postings SET line = line", "DELETE FROM postings", "TRUNCATE postings"):
            assert (await refused(connection, statement))[0] == "42501"
        assert (await connection.scalars(text("SELECT count(*) FROM postings"))).one() > 0
