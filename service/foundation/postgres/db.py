"""The way to PostgreSQL: engines, one driver, and the errors of the database in our words.

`sql` runs the statements. Migrations, and what tests ask, go through SQLAlchemy.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from random import uniform
from types import MappingProxyType
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import asyncpg
from sqlalchemy import Dialect, ExceptionContext, event
from sqlalchemy.exc import DBAPIError, DisconnectionError, EmulatedDBAPIException, InvalidRequestError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from service.foundation.addresses.postgres import postgres_address
from service.foundation.deadlines import CHECKOUT_S, LONG_STATEMENT_S, STATEMENT_S, TCP_USER_TIMEOUT_MS
from service.foundation.errors import Unavailable
from service.foundation.postgres import roles
from service.foundation.postgres.driver import NEXT_STEP, Connector, Driver, PostgresAway, Unreplicated, in_words
from service.foundation.settings import Settings

T = TypeVar("T")

DEADLOCK, SERIALIZATION, LOCK_TIMEOUT = "40P01", "40001", "55P03"
FULL = "53"  # the class of "out of resources": connections, memory, disk
STATEMENT_REPEATS = 5
# For what is run again and again: else PostgreSQL plans a statement for a batch of one anew each time it is run.
GENERIC_PLAN = {"plan_cache_mode": "force_generic_plan"}
# For connections whose statements look up a handful of rows by key: a look-up for each is the only plan that is left.
# One made while a table was small, which reads it whole, would stay with the connection however the table grows.
# Bitmaps would also read all that is dead in the outbox, at every claim, and leave it there for the next.
BY_KEY: Mapping[str, str] = GENERIC_PLAN | dict.fromkeys(
    ("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "enable_material", "enable_bitmapscan"), "off"
)
_SERVER_STATEMENT_MAX_S = 30.0  # where a single one may take longer, it says so itself (SET LOCAL statement_timeout)
# Classes: connection, authorization, no such database, rollback (after our own repeats), resources, intervention
# (shutdown, canceled, timeouts), system (disk).
_AWAY_CLASSES = ("08", "28", "3D", "40", "53", "57", "58")
# The session is not what it was: read-only after a role change, ended while idle in a transaction, its prepared
# statements gone or somebody else's.
_SPOILED = ("25006", "25P03", "25P04", "26000", "42P05")
# The pool's words where a second connection, made anew, was distrusted as well before it was handed out.
_REFUSED_TWICE = "This connection is closed"
Refused = asyncpg.PostgresError  # what the server answers to a statement that it does not run
_DRIVER_ERRORS = (asyncpg.InterfaceError, asyncpg.InternalClientError)
DRIVER_ERRORS = (Refused, *_DRIVER_ERRORS)


def create_engine(
    settings: Settings,
    *,
    name: str,
    pool: int | None = None,
    as_app: bool = True,
    session: Mapping[str, str] = MappingProxyType({}),
    statement_s: float = STATEMENT_S,
    patience_s: float = 0.0,
) -> AsyncEngine:
    """An engine whose connections bear `name` in pg_stat_activity and act as the role that can rewrite nothing.

    `session` are further settings of PostgreSQL for each connection; a statement may take `statement_s`. Who borrows a
    connection by `service.foundation.postgres.sql` waits `patience_s` for a PostgreSQL that is away.
    """
    settings.require("DATABASE_URL")
    engine = bare_engine(
        settings.database_url,
        session={**_session(name, statement_s), **session},
        statement_s=statement_s,
        patience_s=patience_s,
        pool_size=pool or settings.db_pool,
        max_overflow=0,
        pool_timeout=CHECKOUT_S,
        pool_use_lifo=True,  # the connection used last has its plans and caches at hand
        isolation_level="READ COMMITTED",
        hide_parameters=True,  # the texts of errors reach logs, the values of statements must not
    )
    if as_app:
        event.listen(engine.sync_engine, "connect", _become_app)
    return engine


def bare_engine(
    url: str,
    *,
    session: Mapping[str, str] = MappingProxyType({}),
    statement_s: float = LONG_STATEMENT_S,
    patience_s: float = 0.0,
    **more: Any,
) -> AsyncEngine:
    """An engine with bounds and nothing else of ours: connections keep what the server and the role say.

    `url` may name several hosts. Raises Misconfigured where it cannot be understood.
    """
    address = postgres_address(url)
    if session and address.application_name:
        session = {**session, "application_name": f"{address.application_name} {session['application_name']}"}
    connector = Connector(address, statement_s=statement_s, session=session, patience_s=patience_s)
    engine = create_async_engine("postgresql+asyncpg://", async_creator=connector, **more)
    event.listen(engine.sync_engine, "checkout", _refuse_distrusted)
    event.listen(engine.sync_engine, "handle_error", _throw_away)
    event.listen(engine.sync_engine, "after_cursor_execute", _refuse_unreplicated)
    _connectors[engine.dialect] = connector
    return engine


async def close(engine: AsyncEngine) -> None:
    """Say goodbye to the pool's connections, briefly, and end those that do not answer, or that are still in use."""
    await connector_of(engine).close()
    await engine.dispose()


def _session(name: str, statement_s: float) -> dict[str, str]:
    """What a connection of ours needs, whatever its role, its database or the server has for a default.

    The server ends a statement a little before we do, so that its locks are not kept by nobody. Not among them are
    synchronous_commit, which `check_durable` judges, and default_transaction_read_only, by which operators stop writes.
    """
    return {
        "application_name": f"eo {name}",
        "statement_timeout": f"{min(_SERVER_STATEMENT_MAX_S, 0.9 * statement_s):.1f}s",
        "idle_in_transaction_session_timeout": "10s",  # a stuck process must not hold the xmin horizon
        "lock_timeout": "0",
        "idle_session_timeout": "0",
        # The server's view of the same silence: a session whose client has gone must not keep its locks and its slot.
        "client_connection_check_interval": "2s",
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "2",
        "tcp_keepalives_count": "3",
        "tcp_user_timeout": str(TCP_USER_TIMEOUT_MS),
        "default_transaction_isolation": "read committed",  # R4
        "default_transaction_deferrable": "off",
        "client_min_messages": "warning",  # a COMMIT without its synchronous standby is told by a warning
        "timezone": "UTC",
        "datestyle": "ISO, MDY",
        "jit": "off",
    }


def autocommit(engine: AsyncEngine) -> AsyncEngine:
    """The same pool, where every statement is its own transaction."""
    made = _autocommit.get(engine)
    if made is None:  # once: SQLAlchemy makes another engine with listeners each time, a quarter of a statement's cost
        made = _autocommit[engine] = engine.execution_options(isolation_level="AUTOCOMMIT")
    return made


_autocommit: WeakKeyDictionary[AsyncEngine, AsyncEngine] = WeakKeyDictionary()


_connectors: WeakKeyDictionary[Dialect, Connector] = WeakKeyDictionary()


def connector_of(engine: AsyncEngine) -> Connector:
    """What makes this engine's connections."""
    return _connectors[engine.dialect]


def _refuse_distrusted(connection: Any, _record: Any, _proxy: Any) -> None:
    """Replace a pooled connection before a statement fails on it: one that a restarted PostgreSQL closed, or one whose
    neighbour has missed a deadline or found itself on a server that takes no writes any more.
    """
    driver: Driver = connection.driver_connection
    if not driver.is_trusted:
        driver.terminate()
        raise DisconnectionError


def _throw_away(context: ExceptionContext) -> None:
    """An error that spoils its connection, met by SQLAlchemy: the pool is made anew."""
    error = context.original_exception
    if context.connection is not None and spoils_its_connection(error):
        context.is_disconnect = True
        if (driver := context.connection.connection.driver_connection) is not None:
            driver.distrust()


def _refuse_unreplicated(connection: Any, *_: Any) -> None:
    connection.connection.driver_connection.refuse_unreplicated()


def _become_app(connection: Any, _record: Any) -> None:
    """SET ROLE where migrations could create it; on databases where they could not, triggers alone hold."""
    cursor = connection.cursor()
    cursor.execute(roles.BECOME)
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
    if isinstance(cause, (OSError, TimeoutError, PoolTimeout, Unavailable, asyncpg.InvalidCachedStatementError)):
        return True
    if isinstance(cause, InvalidRequestError):
        return str(cause) == _REFUSED_TWICE
    state = sqlstate(cause)
    if state is None:  # the driver's own; among them the refusal of a value that no column holds
        return isinstance(cause, _DRIVER_ERRORS) and not isinstance(cause, ValueError)
    return state.startswith(_AWAY_CLASSES) or state in _SPOILED


def as_unavailable(error: BaseException) -> Unavailable:
    """What to tell a person about an unreachable PostgreSQL: once, and with the reason."""
    cause = _of_driver(error)
    if isinstance(cause, Unavailable):
        return cause
    return PostgresAway(f"PostgreSQL cannot be reached: {in_words(cause)}. {NEXT_STEP}", sqlstate(cause))


def spoils_its_connection(error: BaseException) -> bool:
    """Whether no later statement should go to the connection that met this error."""
    cause = _of_driver(error)
    is_confused = isinstance(cause, _DRIVER_ERRORS) and not isinstance(cause, ValueError)  # half an answer was read
    return is_confused or isinstance(cause, (TimeoutError, Unreplicated)) or sqlstate(cause) in _SPOILED


def _is_outdated(error: BaseException) -> bool:
    """Whether a column's type was changed under a prepared statement; the driver has forgotten it by now."""
    return isinstance(_of_driver(error), asyncpg.InvalidCachedStatementError)


async def repeat_on_deadlock(run: Callable[[], Awaitable[T]]) -> T:
    """Run a statement again, bounded and with jitter, when PostgreSQL chose it as a deadlock's victim (R5), or when a
    migration changed what it returns.

    Only ever wraps SQL, never a call to Stripe.
    """
    for attempt in range(STATEMENT_REPEATS - 1):
        try:
            return await run()
        except (asyncpg.PostgresError, DBAPIError) as error:
            if sqlstate(error) not in (DEADLOCK, SERIALIZATION) and not _is_outdated(error):
                raise
            await asyncio.sleep(uniform(0.001, 0.005) * 2**attempt)  # noqa: S311  jitter
    return await run()
