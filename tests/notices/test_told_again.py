"""The same kind of fact once more: when it is another one, and when it is the same, found again."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service import changes
from service.charges.lookup import judge_lookup
from service.effects.model import Rules
from service.orders.operations import Wish
from tests.charges.wishes import api
from tests.charges.world import Promise
from tests.notices.listening import Producer

Rows = dict[str, list[str]]
TABLES = {"orders": "id", "charges": "order_id", "operations": "order_id", "outbox": "order_id"}


async def never_ran(producer: Producer, order: Promise) -> None:
    """Its attempt is lost, and a day later a complete listing does not show it."""
    books = producer.books
    row = await books.row_of(order.order_id)
    assert row is not None
    charge = await books.open_one(replace(order, outbox_id=row["id"]))
    old = replace(charge, last_sent_at=charge.opened_at - timedelta(days=2))
    outcome = judge_lookup(old, [], complete=True, rules=Rules.of(books.settings))
    assert outcome.order_status == "failed"
    assert await books.settle(charge, outcome)


async def pay(producer: Producer, order: Promise, key: str) -> None:
    request = changes.PayRequest("pm_card_mastercard")
    await changes.pay(api(producer.books.engine), Wish("pay", order.account_id, order.order_id, key, request), request)


async def test_an_attempt_that_never_ran_twice_is_told_twice_and_a_backup_tells_it_under_the_same_ids(
    producer: Producer,
) -> None:
    await producer.listens("https://shop.example/", "order.failed")
    order = await producer.books.order()
    await never_ran(producer, order)
    (first,) = await ids(producer)
    backup = await saved(producer.owner, order.order_id)
    lives = []
    for _ in range(2):
        for key in ("again", "and again"):
            await pay(producer, order, key)
            await never_ran(producer, order)
        lives.append([one for one in await ids(producer) if one != first])
        await restore(producer.owner, order.order_id, backup)
    assert len(set(lives[0])) == 2
    assert lives[0] == lives[1]


async def ids(producer: Producer) -> list[str]:
    return [row["webhook_id"] for row in await producer.notices()]


async def saved(owner: AsyncEngine, order_id: UUID) -> Rows:
    """The rows of an order, as JSON."""
    kept = {}
    async with owner.connect() as connection:
        for table, which in TABLES.items():
            found = await connection.execute(
                text(f"SELECT to_jsonb(t)::text FROM {table} t WHERE {which} = :id"), {"id": order_id}
            )
            kept[table] = list(found.scalars())
    return kept


async def restore(owner: AsyncEngine, order_id: UUID, kept: Rows) -> None:
    """The order is what it was, and nobody knows what was told of it."""
    async with owner.begin() as connection:
        await connection.execute(text("DELETE FROM notices"))
        for table, which in reversed(TABLES.items()):
            await connection.execute(text(f"DELETE FROM {table} WHERE {which} = :id"), {"id": order_id})
        for table, rows in kept.items():
            add = text(f"INSERT INTO {table} SELECT * FROM jsonb_populate_record(NULL::{table}, CAST(:row AS jsonb))")
            for row in rows:
                await connection.execute(add, {"row": row})
