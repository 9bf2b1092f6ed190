"""Orders of all accounts, for the operator: the newest ones, those in one state, and one order with its history."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.console.order_page import subject
from service.console.story import Scene, Teller, clock, headline, lines_of, summary
from service.foundation.errors import Misconfigured, NotFound
from service.orders import all_accounts, get
from service.orders.model import Order
from service.orders.timeline import timeline
from service.states import ORDER_FINAL

_LOOK_AGAIN_S = 0.5
_NONE = "There is no such order. `eo orders list` shows the newest."


@dataclass(frozen=True, slots=True)
class Story:
    """One order as it is now, its account, and its events, oldest first."""

    account: str
    order: Order
    timeline: list[dict[str, Any]]


async def newest(engine: AsyncEngine, *, status: str | None, limit: int) -> list[dict[str, Any]]:
    """Up to `limit` orders of all accounts, newest first, of one state or of all."""
    return [dict(row.items()) for row in await all_accounts.newest(engine, status=status, limit=limit)]


async def find(engine: AsyncEngine, name: str) -> tuple[UUID, str, UUID]:
    """Account, its name, and id of the order with this id or idempotency key. Raises NotFound or Misconfigured."""
    order_id = _as_id(name)
    named = await all_accounts.by_id(engine, order_id) if order_id is not None else None
    found = [named] if named is not None else await all_accounts.by_key(engine, name)
    if not found:
        raise NotFound(_NONE)
    if len(found) > 1:
        ids = ", ".join(f"{row.id} ({row.account})" for row in found)
        raise Misconfigured(f"{len(found)} accounts have an order with this key. Name one by its id: {ids}.")
    return found[0].account_id, found[0].account, found[0].id


async def story(engine: AsyncEngine, name: str) -> Story:
    """The order with this id or idempotency key, and its timeline. Raises as `find` does."""
    account_id, account, order_id = await find(engine, name)
    return Story(account, await get(engine, account_id, order_id), await timeline(engine, account_id, order_id))


async def follow(engine: AsyncEngine, name: str) -> AsyncIterator[dict[str, Any]]:
    """Yield the order's past events, then each new one, until its state is final. Raises as `find` does."""
    account_id, _, order_id = await find(engine, name)
    told: list[dict[str, Any]] = []
    while True:
        order = await get(engine, account_id, order_id)
        for event in await timeline(engine, account_id, order_id):
            lasting = _lasting(event)
            if lasting not in told:
                told.append(lasting)
                yield event
        if order.status in ORDER_FINAL:
            return
        await asyncio.sleep(_LOOK_AGAIN_S)


def _lasting(event: dict[str, Any]) -> dict[str, Any]:
    """All of an event that does not count down: its seconds are left out, and those in its words."""
    lasting = {part: value for part, value in event.items() if part != "due_in_s"}
    return lasting | {"waits_for": re.sub(r"\d+ s\b", "", event.get("waits_for", ""))}


async def retell(engine: AsyncEngine, name: str, width: int) -> AsyncIterator[str]:
    """Yield the order's story as lines of text, as far as it is known and then as it goes on; as `follow`."""
    account_id, account, order_id = await find(engine, name)
    about = subject(await get(engine, account_id, order_id), account)
    teller, scenes = Teller(about), list[Scene]()
    yield headline(about)
    async for event in follow(engine, str(order_id)):
        scene = teller.scene(len(scenes), event)
        if not scenes:
            yield clock(scene.at)
        scenes.append(scene)
        for line in lines_of(scene, scenes[0].at, width):
            yield line
    yield summary(scenes)


async def follow_all(engine: AsyncEngine, *, limit: int) -> AsyncIterator[dict[str, Any]]:
    """Yield the newest `limit` orders, oldest first, and then each of them again when its state has changed."""
    told: dict[UUID, str] = {}
    while True:
        rows = await newest(engine, status=None, limit=limit)
        for row in reversed(rows):
            if told.get(row["id"]) != row["status"]:
                yield row
        told = {row["id"]: row["status"] for row in rows}
        await asyncio.sleep(_LOOK_AGAIN_S)


def _as_id(name: str) -> UUID | None:
    try:
        return UUID(name)
    except ValueError:
        return None
