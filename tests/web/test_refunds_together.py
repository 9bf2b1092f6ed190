"""Refunds that are asked for at the same time go by one statement, which says what each would be told by itself."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service import orders, refunds
from service.foundation.errors import Conflict, Problem
from service.foundation.postgres.db import create_engine
from service.foundation.postgres.durability import Durability
from service.foundation.postgres.pools import WAKE_UP
from service.foundation.postgres.sql import Statement, begin
from service.foundation.settings import Settings
from service.orders.identity import REFUND
from service.orders.operations import Operations, Wish
from service.outbox import Waker
from service.refunds import RefundDoor, RefundRequest, placing
from service.refunds.placing import Wanted, place
from tests.web.afterwards import one, order_in, rows
from tests.web.conftest import Api, count

GATE = 7


@pytest.fixture
async def operations(engine: AsyncEngine, settings: Settings) -> AsyncIterator[Operations]:
    waker = Waker(create_engine(settings, name="wake-up", pool=WAKE_UP))
    durability = Durability(engine)
    yield Operations(engine, durability, waker)
    await asyncio.gather(waker.close(), durability.close())


@pytest.fixture
async def door(settings: Settings, operations: Operations) -> AsyncIterator[RefundDoor]:
    door = RefundDoor(settings, operations)
    yield door
    await door.close()


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Of each statement: how many were asked for, and how many it stored."""
    found = []

    async def counting(engine: AsyncEngine, wanted: Sequence[Wanted]) -> Any:
        made = await place(engine, wanted)
        found.append((len(wanted), sum(one is not None for one in made)))
        return made

    monkeypatch.setattr(placing, "place", counting)
    return found


Asked = tuple[Wish, RefundRequest]


async def asked(engine: AsyncEngine, order_id: str | UUID, key: str, **wanted: Any) -> Asked:
    request = RefundRequest(**wanted)
    account = await one(engine, "SELECT id FROM accounts")
    return Wish(REFUND, account, UUID(str(order_id)), key, request), request


async def test_refunds_of_twenty_orders_are_stored_by_one_statement(
    api: Api, engine: AsyncEngine, door: RefundDoor, batches: list[tuple[int, int]]
) -> None:
    wishes = [await asked(engine, await order_in(api, engine, "paid", f"k{n}"), f"r{n}") for n in range(20)]
    made = await asyncio.gather(*(door.refund(*wish) for wish in wishes))
    assert batches == [(20, 20)]
    assert [m.refund.idempotency_key for m in made] == [f"r{n}" for n in range(20)]
    assert [m.refund.order_id for m in made] == [str(wish.order_id) for wish, _ in wishes]
    under_way = await rows(engine, "SELECT amount_refunding_minor AS minor FROM orders")
    assert [row["minor"] for row in under_way] == [1999] * 20
    tables = ("refunds", "operations", "outbox")
    assert [await count(engine, table) for table in tables] == [20, 20, 20]


async def everything_asked(api: Api, engine: AsyncEngine, side: str) -> list[Asked]:
    """One of each that can be asked for, of orders of their own and under keys of their own."""

    async def paid(name: str, **changes: Any) -> str:
        return await order_in(api, engine, "paid", f"{side}-{name}".replace(" ", "-"), **changes)

    async def wish(order_id: str | UUID, name: str, **wanted: Any) -> Asked:
        return await asked(engine, order_id, f"{side}-{name}".replace(" ", "-"), **wanted)

    disputed, alias, half, shared = await paid("disputed"), uuid4(), await paid("half"), await paid("shared")
    await rows(engine, "UPDATE orders SET amount_disputed_minor = 1 WHERE id = :id", id=disputed)
    await rows(engine, "UPDATE orders SET amount_captured_minor = 999 WHERE id = :id", id=half)
    add = (
        "INSERT INTO order_aliases (id, account_id, order_id) SELECT :alias, account_id, id FROM orders WHERE id = :id"
    )
    await rows(engine, add, alias=alias, id=await paid("of the alias"))
    crowns = {"amount": 20_000, "currency": "isk"}
    return [
        await wish(await paid("all"), "all"),
        await wish(await paid("part"), "part", amount=500, reason="duplicate", metadata={"a": "b"}),
        await wish(half, "half"),
        await wish(await paid("too much"), "too much", amount=2000),
        await wish(await paid("its currency"), "its currency", currency="usd"),
        await wish(await paid("another"), "another", currency="eur"),
        await wish(await paid("stepped", **crowns), "stepped", amount=200),
        await wish(await paid("between", **crowns), "between", amount=150),
        await wish(disputed, "disputed"),
        await wish(await order_in(api, engine, "failed", f"{side}-failed"), "failed"),
        await wish(alias, "alias"),
        await wish(uuid4(), "nowhere"),
        await wish(shared, "first", amount=1000),
        await wish(shared, "second", amount=1000),
        await wish(await paid("repeated"), "repeated", amount=100),
        await wish(await paid("key taken"), "repeated", amount=100),
    ]


async def told(refund: Any) -> tuple[Any, ...]:
    try:
        made = await refund
    except Problem as problem:
        return type(problem), problem.code, problem.detail
    return made.replayed, made.refund.amount, made.refund.currency, made.refund.reason, made.refund.metadata


async def test_each_is_told_what_it_would_be_told_by_itself(
    api: Api, engine: AsyncEngine, operations: Operations, door: RefundDoor, batches: list[tuple[int, int]]
) -> None:
    alone = [await told(refunds.refund(operations, *wish)) for wish in await everything_asked(api, engine, "alone")]
    together = await asyncio.gather(
        *(told(door.refund(*wish)) for wish in await everything_asked(api, engine, "together"))
    )
    assert together[:-2] == alone[:-2]
    assert sorted(map(repr, together[-2:])) == sorted(map(repr, alone[-2:]))  # of one key at once either may be first
    assert batches == [(16, 6)]
    counts = "SELECT count(*), sum(amount_minor) FROM refunds WHERE producer_key LIKE :side"
    assert await rows(engine, counts, side="alone%") == await rows(engine, counts, side="together%")
    sums = "SELECT sum(amount_refunding_minor) FROM orders WHERE idempotency_key LIKE :side"
    assert await one(engine, sums, side="alone%") == await one(engine, sums, side="together%")
    again = "SELECT count(*) FROM operations WHERE idempotency_key LIKE :side"
    assert await one(engine, again, side="alone%") == await one(engine, again, side="together%") == 9


async def test_an_order_that_is_held_holds_up_no_other(api: Api, engine: AsyncEngine, door: RefundDoor) -> None:
    held, free = [await order_in(api, engine, "paid", key) for key in ("k1", "k2")]
    async with begin(engine) as tx:
        await orders.lock(tx, [UUID(held)])
        waiting = asyncio.create_task(door.refund(*await asked(engine, held, "r1")))
        await door.refund(*await asked(engine, free, "r2"))
        assert not waiting.done()
    assert (await waiting).refund.order_id == held


async def test_what_the_statement_fails_for_is_tried_one_by_one(
    api: Api, engine: AsyncEngine, door: RefundDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(engine: AsyncEngine, wanted: object) -> None:
        raise ValueError("nobody can store this")

    monkeypatch.setattr(placing, "place", broken)
    wishes = [await asked(engine, await order_in(api, engine, "paid", f"k{n}"), f"r{n}") for n in range(3)]
    made = await asyncio.gather(*(door.refund(*wish) for wish in wishes))
    assert len({m.refund.id for m in made}) == await count(engine, "refunds") == 3


async def test_a_client_that_goes_away_cancels_no_other(api: Api, engine: AsyncEngine, door: RefundDoor) -> None:
    wishes = [await asked(engine, await order_in(api, engine, "paid", f"k{n}"), f"r{n}") for n in range(2)]
    leaving, staying = [asyncio.create_task(door.refund(*wish)) for wish in wishes]
    await asyncio.sleep(0)  # both have asked
    leaving.cancel()
    with suppress(asyncio.CancelledError):
        await leaving
    assert (await staying).refund.idempotency_key == "r1"


async def test_what_was_refunded_after_the_statement_began_is_counted(
    api: Api, engine: AsyncEngine, operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is held up after it has begun and before it locks the order: the cap is judged by the newest row (R26)."""
    gated = placing._PLACE.template.replace(
        "FROM unnest(", f"FROM (SELECT pg_advisory_xact_lock({GATE})) AS gate, unnest(", 1
    )
    monkeypatch.setattr(placing, "_PLACE", Statement(gated).returning(placing._PLACE.record))
    order_id = await order_in(api, engine, "paid")
    late, early = (
        await asked(engine, order_id, "late", amount=1000),
        await asked(engine, order_id, "early", amount=1000),
    )
    async with begin(engine) as tx:
        await tx.run(Statement(f"SELECT pg_advisory_xact_lock({GATE})"))
        beginning = asyncio.create_task(place(engine, [Wanted(str(uuid4()), *late)]))
        async with asyncio.timeout(20):
            while not await one(engine, "SELECT count(*) FROM pg_locks WHERE NOT granted"):
                await asyncio.sleep(0.01)
        await refunds.refund(operations, *early)
    assert await beginning == [None]
    with pytest.raises(Conflict):
        await refunds.refund(operations, *late)
    assert await one(engine, "SELECT amount_refunding_minor FROM orders") == 1000
    assert await count(engine, "operations") == await count(engine, "refunds") == 1
