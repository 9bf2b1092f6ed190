"""P6, held by the database itself, whatever code or person is at the keyboard."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from service.foundation.postgres.db import sqlstate
from tests.ledger.support import ALICE, BOB, book, charged, count, insert_raw, refused, superuser

RAW = text("SELECT id FROM ledger_accounts WHERE account_id = :owner AND currency = :currency LIMIT 1")
INSERT_POSTINGS = """
INSERT INTO postings (entry_id, line, ledger_account_id, currency, amount_minor, occurred_at)
SELECT e.id, l.line, a.id, 'usd', l.amount, e.occurred_at
  FROM journal_entries e, ledger_accounts a, (VALUES (7, 5), (8, -5)) AS l (line, amount)
 WHERE e.reference = 'charge:ch_a' AND a.account_id = e.account_id AND a.code = 'revenue:orders'
"""
CHANGES = {
    "update": "UPDATE {table} SET currency = currency",
    "delete": "DELETE FROM {table}",
    "truncate": "TRUNCATE {table}",
    "update-entry": "UPDATE {table} SET kind = kind",
}
TABLES = {"postings": "update", "ledger_accounts": "update", "journal_entries": "update-entry"}
VERBS = [(table, verb) for table, update in TABLES.items() for verb in (update, "delete", "truncate")]
INSUFFICIENT_PRIVILEGE, RESTRICT, CHECK, FOREIGN_KEY = "42501", "23001", "23514", "23503"


@pytest.fixture
async def booked(engine: AsyncEngine) -> AsyncEngine:
    """Books with one USD charge of Alice and one EUR charge of Bob."""
    await book(engine, charged("a"), charged("b", currency="eur", account_id=BOB))
    return engine


@pytest.mark.parametrize(
    ("postings", "owner", "currency", "code", "constraint"),
    [
        ([("usd", 5), ("usd", -4)], ALICE, "usd", CHECK, "does not balance"),
        ([("usd", 5), ("eur", -5)], ALICE, "usd", CHECK, "does not balance"),
        ([("usd", 0), ("usd", 0)], ALICE, "usd", CHECK, "amount_not_zero"),
        ([("usd", 5)], ALICE, "usd", CHECK, "fewer than two postings"),
        ([("eur", 5), ("eur", -5)], ALICE, "usd", FOREIGN_KEY, "owner and currency"),
        ([("usd", 5), ("usd", -5)], BOB, "eur", FOREIGN_KEY, "owner and currency"),
    ],
    ids=["unbalanced", "balanced-across-currencies", "zero", "single", "wrong-currency", "wrong-owner"],
)
async def test_an_entry_with_wrong_postings_is_refused(
    booked: AsyncEngine, postings: list[tuple[str, int]], owner: Any, currency: str, code: str, constraint: str
) -> None:
    before = await count(booked, "postings")
    async with booked.begin() as connection:
        ledger_account_id = await _account(connection, owner, currency)
        with pytest.raises(DBAPIError, match=constraint) as caught:
            await insert_raw(connection, postings, account_id=ALICE, ledger_account_id=ledger_account_id)
        await connection.rollback()
    assert sqlstate(caught.value) == code
    assert await count(booked, "postings") == before


async def test_an_entry_without_postings_is_refused(booked: AsyncEngine) -> None:
    statement = """INSERT INTO journal_entries (id, account_id, reference, kind, digest, occurred_at)
                   VALUES (gen_random_uuid(), gen_random_uuid(), 'charge:ch_x', 'charge', '', now())"""
    async with booked.begin() as connection:
        code, message = await refused(connection, statement)
    assert (code, "fewer than two postings" in message) == (CHECK, True)


async def test_postings_cannot_be_added_to_an_old_entry(booked: AsyncEngine) -> None:
    async with booked.begin() as connection:
        code, message = await refused(connection, INSERT_POSTINGS)
    assert (code, "no entry of this transaction" in message) == (FOREIGN_KEY, True)


async def test_a_posting_without_an_entry_is_refused(booked: AsyncEngine) -> None:
    orphans = INSERT_POSTINGS.replace("e.id, l.line", "gen_random_uuid(), l.line")
    async with booked.begin() as connection:
        code, _ = await refused(connection, orphans)
    assert code in (CHECK, FOREIGN_KEY)


@pytest.mark.parametrize(("table", "verb"), VERBS)
async def test_the_application_may_not_change_the_books(booked: AsyncEngine, table: str, verb: str) -> None:
    async with booked.begin() as connection:
        code, _ = await refused(connection, CHANGES[verb].format(table=table))
    assert code == INSUFFICIENT_PRIVILEGE


@pytest.mark.parametrize("mode", ["origin", "replica"])
@pytest.mark.parametrize(("table", "verb"), VERBS)
async def test_the_owner_is_stopped_by_triggers(
    booked: AsyncEngine, database: str, table: str, verb: str, mode: str
) -> None:
    async with superuser(database, f"SET LOCAL session_replication_role = {mode}") as connection:
        code, message = await refused(connection, CHANGES[verb].format(table=table))
    assert (code, "append-only" in message) == (RESTRICT, True)


async def test_replica_mode_does_not_switch_the_balance_check_off(booked: AsyncEngine, database: str) -> None:
    async with superuser(database, "SET LOCAL session_replication_role = replica") as connection:
        ledger_account_id = await _account(connection, ALICE, "usd")
        with pytest.raises(DBAPIError, match="does not balance"):
            await insert_raw(
                connection, [("usd", 5), ("usd", -4)], account_id=ALICE, ledger_account_id=ledger_account_id
            )


async def test_a_new_order_never_needs_more_than_the_application_may_do(booked: AsyncEngine) -> None:
    result = await book(booked, charged("new", currency="jpy", account_id=uuid4()))
    assert len(result.booked) == 1


async def _account(connection: AsyncConnection, owner: Any, currency: str) -> int:
    return int((await connection.execute(RAW, {"owner": owner, "currency": currency})).scalar_one())
