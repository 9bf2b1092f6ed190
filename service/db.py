"""The way to PostgreSQL: engines, one driver, and the errors of the database in our words.

`service.sql` runs the statements of the hot path. What people ask for now and then goes through SQLAlchemy, in
`autocommit(engine).connect()` or `engine.begin()`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from random import uniform
from types import MappingProxyType
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import asyncpg
from sqlalchemy import event, make_url, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, EmulatedDBAPIException, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from service.errors import Misconfigured, Unavailable
from service.settings import Settings

T = TypeVar("T")

APP_ROLE = "eo_app"
DEADLOCK, SERIALIZATION, LOCK_TIMEOUT = "40P01", "40001", "55P03"
STATEMENT_REPEATS = 5
# For what is run again and again: else PostgreSQL plans a statement for a batch of one anew each time it is run.
GENERIC_PLAN = {"plan_cache_mode": "force_generic_plan"}
# For connections whose statements look up a handful of rows by key: a look-up for each is the only plan that is left.
# One made while a table was small, which reads it whole, would stay with the connection however the table grows.
# Bitmaps would also read all that is dead in the outbox, at every claim, and leave it there for the next.
BY_KEY: Mapping[str, str] = GENERIC_PLAN | dict.fromkeys(
    ("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "enable_material", "enable_bitmapscan"), "off"
)
_DRIVER_ERRORS = (asyncpg.InterfaceError, asyncpg.InternalClientError)
_DURABLE = ("fsync", "full_page_writes", "synchronous_commit")


def async_url(url: str) -> str:
    """`postgresql://…` as SQLAlchemy names our driver. Sockets: `postgresql://user:@/name?host=/folder`."""
    parsed = make_url(url.replace("postgres://", "postgresql://", 1))
    return parsed.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)


def create_engine(
    settings: Settings,
    *,
    name: str,
    pool: int | None = None,
    as_app: bool = True,
    session: Mapping[str, str] = MappingProxyType({}),
) -> AsyncEngine:
    """An engine whose connections bear `name` in pg_stat_activity and act as the role that can rewrite nothing.

    Time limits: 30 s per statement, 10 s idle in a transaction (a stuck process must not hold the xmin horizon).
    `session` are further settings of PostgreSQL for each connection.
    """
    if not settings.database_url:
        raise Misconfigured("DATABASE_URL is not set and no `eo up` runs here. Start `eo up`, or set DATABASE_URL.")
    engine = create_async_engine(
        async_url(settings.database_url),
        pool_size=pool or settings.db_pool,
        max_overflow=0,
        pool_use_lifo=True,  # the connection used last has its plans and caches at hand
        isolation_level="READ COMMITTED",
        hide_parameters=True,  # the texts of errors reach logs, the values of statements must not
        connect_args={
            "timeout": 5,
            "server_settings": {
                "application_name": f"eo {name}",
                "statement_timeout": "30s",
                "idle_in_transaction_session_timeout": "10s",
                "timezone": "UTC",
                "jit": "off",
                **session,
            },
        },
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    if as_app:
        event.listen(engine.sync_engine, "connect", _become_app)
    return engine


def autocommit(engine: AsyncEngine) -> AsyncEngine:
    """The same pool, where every statement is its own transaction."""
    made = _autocommit.get(engine)
    if made is None:  # once: SQLAlchemy makes another engine with listeners each time, a quarter of a statement's cost
        made = _autocommit[engine] = engine.execution_options(isolation_level="AUTOCOMMIT")
    return made


_autocommit: WeakKeyDictionary[AsyncEngine, AsyncEngine] = WeakKeyDictionary()


def _refuse_closed(connection: Any, _record: Any, _proxy: Any) -> None:
    """Replace a pooled connection that a restarted PostgreSQL closed before a statement fails on it.

    The driver knows that its socket was closed, so this asks nobody; what is cut silently still fails once.
    """
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def _become_app(connection: Any, _record: Any) -> None:
    """SET ROLE where migrations could create it; on databases where they could not, triggers alone hold."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT set_config('role', rolname, false) FROM pg_roles "
        f"WHERE rolname = '{APP_ROLE}' AND pg_has_role(session_user, oid, 'MEMBER')"
    )
    cursor.close()
    connection.commit()


def sqlstate(error: BaseException) -> str | None:
    """The five characters PostgreSQL gave for this error, or None where it did not come from the server."""
    state: str | None = getattr(_of_driver(error), "sqlstate", None)
    return state


def _of_driver(error: BaseException) -> BaseException:
    """The driver's error, also where SQLAlchemy has wrapped it."""
    return error.driver_exception if isinstance(error, (DBAPIError, EmulatedDBAPIException)) else error


def is_unreachable(error: BaseException) -> bool:
    """Whether PostgreSQL, or a free connection to it, could not be had, as opposed to its refusing the statement."""
    cause = _of_driver(error)
    if isinstance(cause, (OSError, TimeoutError, PoolTimeout, Unavailable)):
        return True
    state = sqlstate(cause)
    if state is None:  # the driver's own; among them the refusal of a value that no column holds
        return isinstance(cause, _DRIVER_ERRORS) and not isinstance(cause, ValueError)
    # 08: connection, 57P: shutdown or crash, 53: out of resources, 25006: read-only, 58030: disk error
    return state.startswith(("08", "57P", "53")) or state in ("25006", "58030")


async def repeat_on_deadlock(run: Callable[[], Awaitable[T]]) -> T:
    """Run a statement again, bounded and with jitter, when PostgreSQL chose it as a deadlock's victim (R5).

    Only ever wraps SQL, never a call to Stripe.
    """
    for attempt in range(STATEMENT_REPEATS - 1):
        try:
            return await run()
        except (asyncpg.PostgresError, DBAPIError) as error:
            if sqlstate(error) not in (DEADLOCK, SERIALIZATION):
                raise
            await asyncio.sleep(uniform(0.001, 0.005) * 2**attempt)  # noqa: S311  jitter
    return await run()


async def check_durable(engine: AsyncEngine) -> None:
    """Refuse a database that could forget what it committed (R30). Raises Misconfigured or Unavailable."""
    try:
        async with engine.connect() as connection:
            for name in _DURABLE:
                value = (await connection.execute(text(f"SHOW {name}"))).scalar_one()
                if value == "off":
                    raise Misconfigured(f"PostgreSQL runs with {name} = off: a 201 could be forgotten. Set it to on.")
    except (OSError, OperationalError) as error:
        raise Unavailable(f"PostgreSQL cannot be reached: {error}. Is it running? `eo up` starts one.") from error
