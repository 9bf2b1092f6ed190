"""The inbox as an operator sees it: the newest events, those that are not settled, one by its id."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.errors import NotFound
from service.foundation.postgres.sql import Record, Statement, connect


class _Listed(Record):
    """An event as it is shown; `kept` is JSON."""

    id: str
    type: str
    state: str
    object_id: str | None
    thin: bool
    source: str
    received: int
    stripe_created: datetime
    received_at: datetime
    settled_at: datetime | None
    look_at: datetime | None
    looks: int
    note: str | None
    kept: str


_COLUMNS = """
  id, type, CASE WHEN settled_at IS NULL THEN 'unsettled' ELSE 'settled' END AS state, object_id, thin, source,
  received, stripe_created, received_at, settled_at, CASE WHEN settled_at IS NULL THEN look_at END AS look_at,
  looks::int AS looks, note, kept::text AS kept
"""

_UNSETTLED = Statement(f"""
SELECT {_COLUMNS} FROM stripe_events WHERE settled_at IS NULL ORDER BY received_at DESC, id DESC LIMIT :limit
""").returning(_Listed)

# By a block-range index, which finds an hour and sorts nothing: so hours are tried before years.
_SINCE = Statement(f"""
SELECT {_COLUMNS} FROM stripe_events
 WHERE received_at > now() - CAST(:span AS interval) ORDER BY received_at DESC, id DESC LIMIT :limit
""").returning(_Listed)
_SPANS = (timedelta(hours=1), timedelta(days=1), timedelta(days=36_500))


async def newest(engine: AsyncEngine, *, unsettled: bool, limit: int) -> list[dict[str, Any]]:
    """Up to `limit` events, newest first: all, or those that are not settled."""
    async with connect(engine) as connection:
        if unsettled:
            return [_shown(row) for row in await connection.rows(_UNSETTLED, {"limit": limit})]
        rows: list[_Listed] = []
        for span in _SPANS:
            rows = await connection.rows(_SINCE, {"span": span, "limit": limit})
            if len(rows) == limit:
                break
    return [_shown(row) for row in rows]


_FIND = Statement(f"""
SELECT {_COLUMNS} FROM stripe_events WHERE id = :name OR object_id = :name ORDER BY received_at DESC, id DESC LIMIT 1
""").returning(_Listed)


async def find(engine: AsyncEngine, name: str) -> dict[str, Any]:
    """The event with this id, or the newest one about the object with this id. Raises NotFound."""
    async with connect(engine) as connection:
        row = await connection.row(_FIND, {"name": name})
    if row is None:
        raise NotFound("There is no such event here. `eo events list` shows the newest, `eo events sync` fetches more.")
    return _shown(row)


def _shown(row: _Listed) -> dict[str, Any]:
    return {**dict(row.items()), "kept": msgspec.json.decode(row.kept)}
