"""A list of orders reads what it shows, however many orders there are and however rare the state is."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.sql import Statement, connect
from service.orders import reading
from service.states import ORDER_STATUSES

MANY, LIMIT = 100_000, 20
# Of the first account nearly all are paid, as always; of the second nearly all wait, as while Stripe is away.
_FILL = Statement("""
INSERT INTO orders (id, account_id, idempotency_key, fingerprint, amount_minor, currency, payment_method, status)
SELECT CAST(lpad(to_hex(n), 8, '0') || '-0000-7000-8000-000000000000' AS uuid),
       CASE WHEN n % 2 = 0 THEN CAST(:paying AS uuid) ELSE CAST(:waiting AS uuid) END, CAST(n AS text), '\\x01',
       1999, 'usd', 'pm_card_visa',
       CASE WHEN n <= 60 THEN (CAST(:statuses AS text[]))[1 + n / 2 % 6]
            WHEN n % 2 = 0 THEN 'paid' ELSE 'pending' END
  FROM generate_series(1, CAST(:many AS int)) AS n
""")
_ANALYZE = {table: Statement(f"ANALYZE {table}") for table in ("orders", "refunds")}


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


async def rows_read(engine: AsyncEngine, statement: Statement[Any], account: UUID, **more: object) -> int:
    """What a page's statement touches, shown or not."""
    values = {"account": account, "limit": LIMIT + 1, "before": UUID(int=2**127), "status": None, **more}
    async with connect(engine) as connection:
        explain = Statement("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + statement.template)
        (told,) = await connection.column(explain, {name: values[name] for name in explain.names})
    return sum(int(node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) for node in nodes(told[0]["Plan"]))


@pytest.fixture
async def accounts(engine: AsyncEngine) -> list[UUID]:
    """The two accounts' ids."""
    paying, waiting = uuid4(), uuid4()
    async with connect(engine) as connection:
        values = {"paying": paying, "waiting": waiting, "many": MANY, "statuses": list(ORDER_STATUSES)}
        await connection.rows(_FILL, values)
    return [paying, waiting]


async def test_a_list_of_any_state_reads_no_more_than_it_shows(
    engine: AsyncEngine, accounts: list[UUID], database: str
) -> None:
    await analyze(database)
    for account in accounts:
        read = {s: await rows_read(engine, reading._PAGE_OF_STATUS, account, status=s) for s in ORDER_STATUSES}
        read["any"] = await rows_read(engine, reading._PAGE, account)
        read["key"] = await rows_read(engine, reading._PAGE_OF_KEY, account, key="17")
        # The index passes the page on to the limit: each row counts twice.
        assert max(read.values()) <= 2 * (LIMIT + 1), read
    assert await rows_read(engine, reading._PAGE, uuid4()) == 0, "an account without orders"


async def analyze(database: str, table: str = "orders") -> None:
    """As the owner: the application's role may not."""
    from service.foundation.postgres.db import create_engine
    from service.foundation.settings import Settings

    owner = create_engine(Settings(database_url=database), name="owner", as_app=False, pool=1)
    async with connect(owner) as connection:
        await connection.rows(_ANALYZE[table], {})
    await owner.dispose()
