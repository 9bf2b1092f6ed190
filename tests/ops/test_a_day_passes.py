"""A day that passes makes every moment that is stored a day older, or it is said here why one stays."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from service.foundation.postgres.schema import metadata
from service.ops.chaos.day import DAY_S, older
from tests.ledger.support import superuser

THEN = datetime(2026, 11, 28, 12, tzinfo=UTC)
# A table, or a column of one. A moment that is new is red until it becomes older, or stands here.
STAYS = {
    "audit": "is append-only",
    "journal_entries": "are append-only",
    "postings": "are append-only",
    "ledger_rollups": "are the sums of the ledger's days",
    "acknowledgements": "are append-only",
    "reconciliation_runs": "tell what a run saw, and when",
    "reconciliation_findings": "stand in a report as it was printed",
    "discrepancies": "tell in which run one was seen",
    "console_links": "whoever presses the switch stays signed in",
    "console_sessions": "whoever presses the switch stays signed in",
    "duties": "are in the hand of a process that runs, for seconds",
    "tally_writers": "are processes, forgotten when they are gone",
    "charges.fee_look_at": "nobody reads it",
    "refunds.stripe_created": "Stripe keeps the moments of refunds, too",
}
MOMENTS = {
    name: found
    for name, table in metadata.tables.items()
    if (found := [one.name for one in table.columns if isinstance(one.type, sa.DateTime | sa.Date)])
}
HISTORIES = [name for name, table in metadata.tables.items() if "history" in table.columns]


def stays(table: str, column: str) -> bool:
    return table in STAYS or f"{table}.{column}" in STAYS


async def test_a_day_makes_every_moment_older_that_is_not_said_to_stay(database: str) -> None:
    """In tables of the same columns and without any rule, so that a row may have nothing but its moments."""
    async with superuser(database) as connection:
        await connection.execute(sa.text("CREATE SCHEMA aged"))
        for name, made in metadata.tables.items():
            await connection.execute(sa.text(f"CREATE TABLE aged.{name} (LIKE public.{name})"))
            for column in made.columns:
                nullable = f'ALTER TABLE aged.{name} ALTER COLUMN "{column.name}" DROP NOT NULL'
                await connection.execute(sa.text(nullable))
        await connection.execute(sa.text("SET LOCAL search_path = aged, public"))
        for table, columns in MOMENTS.items():
            values = ", ".join([":then"] * len(columns))
            insert = sa.text(f"INSERT INTO aged.{table} ({', '.join(columns)}) VALUES ({values})")
            await connection.execute(insert.bindparams(sa.bindparam("then", THEN, sa.DateTime(timezone=True))))
        for table in HISTORIES:
            said = f"""UPDATE aged.{table} SET history = '[{{"at": "{THEN.isoformat()}", "what": "x"}}]'"""
            await connection.execute(sa.text(said.replace(":", r"\:")))
        await connection.execute(sa.text("UPDATE aged.balance_transactions SET source = 'ch_1'"))
        for statement in older(1).replace(":", r"\:").split(";"):
            if statement.strip():
                await connection.execute(sa.text(statement))

        async def value(table: str, column: str) -> Any:
            return (await connection.execute(sa.text(f"SELECT {column} FROM aged.{table}"))).scalar_one()

        for table, columns in MOMENTS.items():
            for moment in columns:
                found = await value(table, moment)
                then = THEN.date() if type(found) is date else THEN
                older_by = then - found
                assert older_by == timedelta(0) if stays(table, moment) else older_by >= timedelta(days=1), (
                    f"{table}.{moment}: make it older in day.py, or say here why it stays"
                )
        for table in HISTORIES:
            (entry,) = await value(table, "history")
            assert (THEN - datetime.fromisoformat(entry["at"]), entry["what"]) == (timedelta(seconds=DAY_S), "x"), table
        await connection.rollback()


def test_what_is_said_to_stay_exists() -> None:
    known = {*MOMENTS, *(f"{table}.{column}" for table, columns in MOMENTS.items() for column in columns)}
    assert known >= set(STAYS)
