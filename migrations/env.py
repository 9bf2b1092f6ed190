"""Runs migrations: as the owner, one at a time, each in its own transaction, waiting only briefly for locks.

Two `eo migrate` at once are safe: the second waits for the first on an advisory lock and finds nothing left to do.
"""

import asyncio
import os
import time
from typing import Any

from alembic import context
from sqlalchemy import Connection, pool, text

from service.foundation.errors import Misconfigured
from service.foundation.postgres import roles
from service.foundation.postgres.db import bare_engine
from service.foundation.postgres.schema import metadata

LOCK_TIMEOUT_MS = 250
MIGRATION_LOCK = 0x656F_6D69  # "eomi"; any constant that nobody else on this database uses


def _configure(**kw: Any) -> None:
    context.configure(
        target_metadata=metadata,
        transaction_per_migration=True,
        compare_type=True,
        compare_server_default=False,
        **kw,
    )


def _run(connection: Connection) -> None:
    _take_turns(connection)
    # A DDL statement that waits for a lock blocks all later readers and writers of the table. So it gives up after
    # LOCK_TIMEOUT_MS, and `eo migrate` tries again. The wait for another migration, above, has no such limit.
    connection.execute(text(f"SET lock_timeout = {LOCK_TIMEOUT_MS}"))
    connection.commit()
    _configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
    if context.config.attributes.get("settle_roles"):
        _settle_roles(connection, context.config.attributes.get("grant_to", ""))
    connection.execute(text(f"SELECT pg_advisory_unlock({MIGRATION_LOCK})"))
    connection.commit()


def _take_turns(connection: Connection) -> None:
    """Take the advisory lock, trying every 100 ms.

    A statement that waited for it would hold a snapshot, and CREATE INDEX CONCURRENTLY in the other migration would
    wait for that statement.
    """
    while not connection.execute(text(f"SELECT pg_try_advisory_lock({MIGRATION_LOCK})")).scalar_one():
        connection.commit()
        time.sleep(0.1)


def _settle_roles(connection: Connection, grant_to: str) -> None:
    for statement in roles.SETTLE:
        connection.exec_driver_sql(statement)
    if grant_to:
        grant = connection.execute(text(roles.GRANT_TO), {"login": grant_to}).scalar()
        if grant is None:
            raise Misconfigured(
                f"{grant_to} cannot be let in: this user may not create roles, so there is none to give."
            )
        connection.exec_driver_sql(grant)
    connection.commit()


async def _online() -> None:
    url = context.config.attributes.get("database_url") or os.environ["DATABASE_URL"]
    engine = bare_engine(url, poolclass=pool.NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_run)
    finally:
        await engine.dispose()


if context.is_offline_mode():
    _configure(url="postgresql://", literal_binds=True, dialect_opts={"paramstyle": "named"})
    with context.begin_transaction():
        context.run_migrations()
else:
    asyncio.run(_online())
