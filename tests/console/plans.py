"""What a statement reads on its way to what it shows, by PostgreSQL's own account."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.sql import Statement, connect


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)


async def rows_read(engine: AsyncEngine, statement: Statement[Any], **values: object) -> int:
    """How many rows of tables the statement reads, shown or not."""
    explain = Statement("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + statement.template)
    async with connect(engine) as connection:
        (told,) = await connection.column(explain, {name: values[name] for name in explain.names})
    scans = [node for node in _nodes(told[0]["Plan"]) if "Relation Name" in node]
    removed = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
    return sum(int(n["Actual Loops"] * (n["Actual Rows"] + sum(n.get(name, 0) for name in removed))) for n in scans)
