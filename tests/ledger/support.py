"""What the ledger's tests share: entries to book, a way to book them, and the superuser who can plant damage."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from service import ledger
from service.foundation.postgres.db import bare_engine, sqlstate
from service.foundation.postgres.sql import Connection, begin

ALICE = UUID("0192e4a0-0000-7000-8000-00000000000a")
BOB = UUID("0192e4a0-0000-7000-8000-00000000000b")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TRIGGERED = ("ledger_accounts", "journal_entries", "postings")


def charged(name: str, amount_minor: int = 1999, currency: str = "usd", **changes: Any) -> ledger.JournalEntry:
    """The entry of a charge `ch_<name>`, of Alice at noon unless said otherwise."""
    content: dict[str, Any] = {
        "account_id": ALICE,
        "order_id": None,
        "payment_intent_id": f"pi_{name}",
        "occurred_at": NOON,
        **changes,
    }
    return ledger.charge_entry(stripe_charge_id=f"ch_{name}", amount_minor=amount_minor, currency=currency, **content)


async def book(engine: AsyncEngine, *entries: ledger.JournalEntry) -> ledger.PostResult:
    """Post in a transaction of its own."""
    async with begin(engine) as connection:
        return await ledger.post(connection, entries)


@asynccontextmanager
async def undone(engine: AsyncEngine) -> AsyncIterator[Connection]:
    """A transaction that is rolled back at its end."""
    with suppress(_UndoError):
        async with begin(engine) as connection:
            yield connection
            raise _UndoError


class _UndoError(Exception):
    """Rolls a transaction back."""


async def count(engine: AsyncEngine, table: str) -> int:
    """Rows of a table."""
    async with engine.connect() as connection:
        return int((await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())


async def balance_of(engine: AsyncEngine, account: str, **filters: Any) -> int:
    """The balance of one chart account over all currencies and owners."""
    return sum(row["balance"] for row in await ledger.balances(engine, **filters) if row["account"] == account)


@asynccontextmanager
async def superuser(database: str, *before: str) -> AsyncIterator[AsyncConnection]:
    """A transaction of the superuser, who also owns the tables, with `before` run first."""
    engine = bare_engine(database)
    try:
        async with engine.begin() as connection:
            for statement in before:
                await connection.execute(text(statement))
            yield connection
    finally:
        await engine.dispose()


async def damage(database: str, *statements: str) -> None:
    """Run statements with the ledger's triggers switched off."""
    off = [f"ALTER TABLE {table} DISABLE TRIGGER ALL" for table in TRIGGERED]
    always = [f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_no_change" for table in TRIGGERED]
    async with superuser(database, *off) as connection:
        for statement in (*statements, *always):
            await connection.execute(text(statement))


async def refused(connection: AsyncConnection, statement: str, parameters: Any = None) -> tuple[str | None, str]:
    """(SQLSTATE, message) of the refusal; fails where the statement is accepted."""
    with pytest.raises(DBAPIError) as caught:
        async with connection.begin_nested():
            await connection.execute(text(statement), parameters or {})
    return sqlstate(caught.value), str(caught.value)


async def insert_raw(connection: AsyncConnection, postings: Sequence[tuple[str, int]], **entry: Any) -> None:
    """An entry by hand, past every check of our code. `postings`: (currency, amount) each, on Alice's USD account."""
    lines = ", ".join(f"({n}, '{currency}', {amount})" for n, (currency, amount) in enumerate(postings, 1))
    await connection.execute(
        text(f"""
        WITH entry AS (
          INSERT INTO journal_entries (id, account_id, reference, kind, digest, occurred_at)
          VALUES (gen_random_uuid(), :account_id, 'charge:ch_raw', 'charge', '', now()) RETURNING *
        )
        INSERT INTO postings (entry_id, line, ledger_account_id, currency, amount_minor, occurred_at)
        SELECT entry.id, p.line, :ledger_account_id, p.currency, p.amount_minor, entry.occurred_at
          FROM entry, (VALUES {lines}) AS p (line, currency, amount_minor)
        """),
        entry,
    )
