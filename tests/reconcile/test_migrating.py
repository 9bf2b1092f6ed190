"""What an older version has found is open after the migration, and is examined again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres import migrate
from service.foundation.postgres.db import create_engine
from service.foundation.settings import Settings
from tests.reconcile.conftest import NOW
from tests.reconcile.records import default_account, write
from tests.reconcile.world import HOUR, paid

pytestmark = pytest.mark.slow

_RUN = text("INSERT INTO reconciliation_runs (id, window_start, window_end, source) VALUES (:run, :at, :at, 'api')")
_FOUND = text("""
INSERT INTO discrepancies (fingerprint, class, order_id, payment_intent_id, ours, first_run_id, last_run_id,
                           first_seen_at)
VALUES ('a', 'amount_mismatch', :order, :pi, '{}', :run, :run, :at),
       ('b', 'ledger_imbalance', NULL, NULL, jsonb_build_object('entry', CAST(:reference AS text)), :run, :run, :at)
""")


def test_old_discrepancies_are_open_and_know_what_they_are_about(database: str) -> None:
    def run(work: Callable[[AsyncEngine], Awaitable[Any]]) -> Any:
        async def once() -> Any:
            engine = create_engine(Settings(database_url=database), name="test", as_app=False)
            try:
                return await work(engine)
            finally:
                await engine.dispose()

        return asyncio.run(once())

    account: UUID = run(default_account)
    story = paid(account, NOW - HOUR)
    run(lambda engine: write(engine, [story]))
    migrate.downgrade(database, "0004")

    async def find(engine: AsyncEngine) -> None:
        async with engine.begin() as tx:
            await tx.execute(_RUN, {"run": UUID(int=1), "at": NOW})
            values = {"order": story.order.id, "pi": story.intent.id, "reference": story.entries[0].reference}
            await tx.execute(_FOUND, {**values, "run": UUID(int=1), "at": NOW})

    run(find)
    migrate.upgrade(database)

    async def read(engine: AsyncEngine) -> list[Any]:
        async with engine.connect() as connection:
            return list((await connection.execute(text("SELECT * FROM discrepancies ORDER BY fingerprint"))).all())

    found = run(read)
    assert [(row.account_id, row.reference) for row in found] == [
        (account, None),
        (account, story.entries[0].reference),
    ]
    assert [(row.opened_at, row.resolved_at) for row in found] == [(NOW, None)] * 2
