"""R10: an open whose answer PostgreSQL did not take counts for nothing, also where several messages met it at once."""

import asyncio
from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from service import outbox
from service.foundation.postgres.driver import PostgresAway
from workers.in_hand import InHand


async def test_messages_that_meet_the_same_outage_uncount_each_open_once(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_away, uncounted = True, list[UUID]()

    async def excuse(_engine: AsyncEngine, ids: Sequence[UUID]) -> None:
        await asyncio.sleep(0)
        if is_away:
            raise PostgresAway("it is away")
        uncounted.extend(ids)

    monkeypatch.setattr(outbox, "excuse", excuse)
    hand, rows = InHand(engine), [uuid4() for _ in range(3)]

    async def fails(row: UUID) -> None:
        async with hand.holding({row}):
            raise BaseExceptionGroup("its answer was not stored", [PostgresAway("it is away")])

    await asyncio.gather(*map(fails, rows), return_exceptions=True)
    is_away = False
    await asyncio.gather(*(hand.make_excuses() for _ in rows))
    assert sorted(uncounted) == sorted(rows)
