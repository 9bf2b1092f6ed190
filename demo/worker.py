"""The service's own worker with a counter on two of its guards. `python -m demo.worker`."""

import runpy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest.mock import patch
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from demo.events import DemoEvent
from service.effects import Kinds, Opened, open_effects
from service.foundation.log import event
from service.foundation.postgres.sql import Connection
from service.foundation.settings import Settings
from service.ledger import JournalEntry, PostResult, post


async def open_and_count(
    engine: AsyncEngine, outbox_ids: Sequence[UUID], settings: Settings, kinds: Kinds, *, alone: bool | None = None
) -> Opened:
    """Open as the service does, and log how many rows came and how many of them were absorbed."""
    opened = await open_effects(engine, outbox_ids, settings, kinds, alone=alone)
    event(DemoEvent.DELIVERED, count=len(outbox_ids))
    if opened.absorbed:
        event(DemoEvent.ABSORBED, count=opened.absorbed)
    return opened


async def post_and_count(connection: Connection, entries: Sequence[JournalEntry]) -> PostResult:
    """Post as the service does, and log how many entries were posted before."""
    result = await post(connection, entries)
    if result.repeated:
        event(DemoEvent.REPEATED, count=len(result.repeated))
    return result


@contextmanager
def counting_repeated_entries() -> Iterator[None]:
    """Count the repeated entries of all that posts in this process."""
    with patch("service.ledger.post", post_and_count):
        yield


if __name__ == "__main__":
    with patch("workers.charge.open_effects", open_and_count), counting_repeated_entries():
        runpy.run_module("workers.main", run_name="__main__")
