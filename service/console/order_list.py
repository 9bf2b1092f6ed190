"""What `/console/orders` shows: a page of orders, or what a search found, each with what it still owes."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.console.finding import Found, find
from service.foundation.text.glyphs import is_plain
from service.orders.all_accounts import Listed, newest
from service.outbox.reading import Owing, owing

LIMIT = 50
SEARCHED_MAX = 300  # characters


@dataclass(frozen=True, slots=True)
class OrderList:
    """Orders, and what the outbox still holds of each. `next_before`: the next page begins after it."""

    orders: Sequence[Listed]
    owing: dict[UUID, Owing]
    next_before: UUID | None = None
    found: Found | None = None


async def page(engine: AsyncEngine, *, status: str | None, before: UUID | None) -> OrderList:
    """A page of the orders of all accounts, newest first, by three statements at most."""
    rows = await newest(engine, status=status, before=before, limit=LIMIT + 1)
    shown = rows[:LIMIT]
    return OrderList(shown, await _owing(engine, shown), shown[-1].id if len(rows) > LIMIT else None)


async def search(engine: AsyncEngine, text: str) -> OrderList:
    """The orders that a text names. What no id or key can be names none."""
    found = await find(engine, text) if is_plain(text) and len(text) <= SEARCHED_MAX else Found([])
    return OrderList(found.orders, await _owing(engine, found.orders), found=found)


async def _owing(engine: AsyncEngine, orders: Sequence[Listed]) -> dict[UUID, Owing]:
    return {row.order_id: row for row in await owing(engine, [order.id for order in orders])}
